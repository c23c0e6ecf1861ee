"""The fast way to write what becomes of a delivered batch: the bytes are protobuf's."""

from hypothesis import given
from hypothesis import strategies as st

from consent_ledger.state import EMPTY
from consent_ledger.storage.rows import PayloadRow, PermitRow, SubjectRow
from consent_ledger.v1 import batch_pb2, decisions_pb2
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.writing.delivered import acknowledged_template, released_template, unreasoned_part
from consent_ledger.writing.release import _Released, _signal

BATCH, TIME = b"b" * 16, 1_700_000_000_000
LEAD = pb.Event(time_ms=TIME, private_digest=b"d" * 32).SerializeToString()
NUMBERS = st.integers(0, 2**40)
TRACES = st.sampled_from([(b"", b""), (b"t" * 16, b"s" * 8)])


@given(st.integers(0, 1023), NUMBERS, st.integers(0, 4), TRACES, st.integers(0, 300))
def test_released(position, follows, severity, trace, version):
    header = batch_pb2.BatchHeader(
        batch_id=BATCH, sender="1" * 20, recipient="2" * 20, purpose="p", purpose_version=version
    )
    body = pb.ExchangeReleased(
        batch_id=BATCH,
        position=position,
        sender=header.sender,
        recipient=header.recipient,
        purpose=header.purpose,
        purpose_version=version,
        decided_index=follows,
        trace_id=trace[0],
        span_id=trace[1],
        severity=severity,
    )
    slow = pb.Event(time_ms=TIME, private_digest=b"d" * 32, exchange_released=body)
    fast = released_template(header, *trace).event(LEAD, position, follows, severity)
    assert fast == slow.SerializeToString(deterministic=True)


@given(st.integers(0, 1023), NUMBERS)
def test_acknowledged(position, follows):
    body = pb.ExchangeAcknowledged(batch_id=BATCH, position=position, recipient="2" * 20, released_index=follows)
    slow = pb.Event(time_ms=TIME, private_digest=b"d" * 32, exchange_acknowledged=body)
    fast = acknowledged_template(BATCH, "2" * 20).event(LEAD, position, follows)
    assert fast == slow.SerializeToString(deterministic=True)


@given(NUMBERS, st.booleans())
def test_a_private_part_without_a_reason(seq, first):
    last = b"" if first else b"l" * 32
    link = pb.SubjectLink(subject=b"s" * 32, subject_seq=seq + 1, previous=last)
    slow = pb.PrivatePart(nonce=b"n" * 32, links=[link])
    assert unreasoned_part(b"n" * 32, b"s" * 32, SubjectRow(seq, last, EMPTY)) == slow.SerializeToString()


@given(st.integers(0, 1023), NUMBERS, st.integers(0, 24), st.text(max_size=200))
def test_a_released_signal(position, index, hashes, sentence):
    preferences = pb.Preferences(channels=[pb.CHANNEL_EMAIL], language="nl")
    explanation, path = pb.Text(nl=sentence, en="x"), bytes(range(32)) * hashes
    permit = PermitRow(b"h" * 32, position, 7, b"o" * 32, b"s" * 32, index)
    payload = PayloadRow(index, b"a" * 32, b"event", b"private")
    slow = decisions_pb2.ReleasedSignal(
        position=position,
        opening=b"o" * 32,
        preferences=preferences,
        explanation=explanation,
        log_index=index,
        event=b"event",
        salt=b"a" * 32,
        path=path,
    )
    entry = _Released(permit, preferences.SerializeToString(), explanation.SerializeToString(), payload)
    assert _signal(entry, payload, path) == slow.SerializeToString(deterministic=True)

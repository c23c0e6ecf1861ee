"""Bytes of events: what is committed, what opens it, and that the fast way writes what protobuf writes."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_ledger.decide import Decision
from consent_ledger.events import (
    EventError,
    chain_hash,
    commitment,
    committed_entry,
    make_committed,
    open_event,
    open_private,
    parse_leaf,
    private_digest,
    public_entry,
)
from consent_ledger.hashing import hmac_sha256
from consent_ledger.state import EMPTY
from consent_ledger.storage.rows import SubjectRow
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.writing.leaves import DecidedTemplate, private_part, varint
from tests.support.ledger import NOW, SUPPLIER, Counter, Ledger, grant, subject


def test_commitment_and_digest_are_as_specified():
    salt, event = bytes(range(32)), b"event bytes"
    assert commitment(salt, event) == hmac.new(salt, b"regie/event/v1" + event, hashlib.sha256).digest()
    assert private_digest(b"private") == hashlib.sha256(b"regie/private/v1private").digest()
    entry = committed_entry(commitment(salt, event))
    assert entry == pb.Leaf(commitment=commitment(salt, event)).SerializeToString()
    assert chain_hash(b"x" * 32) == hashlib.sha256(b"x" * 32).digest()


def test_a_committed_event_opens_only_with_its_own_salt_event_and_private_part():
    event = pb.Event(time_ms=NOW, sharing_resumed=pb.SharingResumed(created_ms=4))
    made = make_committed(event, pb.PrivatePart(links=[pb.SubjectLink(subject=b"s" * 32, subject_seq=1)]), Counter())
    opened = open_event(made.entry, made.salt, made.event)
    assert opened == event
    assert open_private(opened, made.private).links[0].subject == b"s" * 32
    assert b"s" * 32 not in made.entry + made.event
    for entry, salt, data in (
        (made.entry, bytes(32), made.event),
        (made.entry, made.salt, made.event + b"\x08\x01"),
        (committed_entry(bytes(32)), made.salt, made.event),
        (public_entry(pb.PublicEvent(sequence=1)), made.salt, made.event),
    ):
        with pytest.raises(EventError):
            open_event(entry, salt, data)
    with pytest.raises(EventError):
        open_private(opened, made.private + b"\x18\x01")


@pytest.mark.parametrize("entry", [b"", b"\xff", b"\x0a\x1f" + bytes(31), b"\x0a\x21" + bytes(33)])
def test_entries_that_are_no_leaf(entry):
    with pytest.raises(EventError):
        parse_leaf(entry)


def test_salts_and_nonces_are_fresh_in_every_leaf(tmp_path):
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.decide(["anna"] * 600)
    with ledger.sequencer.reader.snapshot() as snapshot:
        rows = snapshot.payloads(range(snapshot.head().size)).values()
    assert len({row.salt for row in rows}) == len(rows) == 600
    assert len({pb.PrivatePart.FromString(row.private).nonce for row in rows}) == 600
    ledger.close()


@given(
    st.binary(min_size=16, max_size=16),
    st.integers(0, 1023),
    st.lists(st.sampled_from(["betalingsachterstand", "inkomen_gedaald"]), min_size=1, max_size=20),
    st.booleans(),
    st.sampled_from(pb.Outcome.values()[1:]),
    st.binary(min_size=16, max_size=16) | st.just(b""),
    st.integers(1, 2**53),
)
def test_the_fast_way_writes_what_protobuf_writes(batch_id, position, items, permitted, outcome, trace_id, time_ms):
    common = pb.ExchangeDecided(
        batch_id=batch_id, sender=SUPPLIER, purpose="p", items=items, root=bytes(32), basis=1, trace_id=trace_id
    )
    body = pb.ExchangeDecided()
    body.CopyFrom(common)
    body.position, body.permitted, body.outcome = position, permitted, outcome
    event = pb.Event(time_ms=time_ms, private_digest=b"d" * 32, exchange_decided=body)
    template = DecidedTemplate(common)
    fast = template.event(template.lead(time_ms), b"d" * 32, position, outcome, permitted=permitted)
    assert fast == event.SerializeToString(deterministic=True)


@given(st.integers(0, 2**40))
def test_varint(value):
    assert b"\x10" + varint(value) == (pb.SubjectLink(subject_seq=value).SerializeToString() or b"\x10\x00")


def test_the_chain_of_a_subject_links_every_event_to_the_one_before(tmp_path):
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.record("anna", grant=grant())
    header_hash, _ = ledger.decide(["anna", "bert", "anna"])
    ledger.release(header_hash)
    with ledger.sequencer.reader.snapshot() as snapshot:
        entries = snapshot.entries(0, 10_000)
        last = snapshot.subject(subject("anna"))
        assert sorted(snapshot.subject_indices(subject("anna"))) == [
            index for index, _, private in ledger.events() if private.links[0].subject == subject("anna")
        ]
    previous, seq = b"", 0
    for index, _, private in ledger.events():
        if private.links[0].subject == subject("anna"):
            seq += 1
            assert (private.links[0].previous, private.links[0].subject_seq) == (previous, seq)
            previous = chain_hash(parse_leaf(entries[index]).commitment)
    assert (last.seq, last.last) == (seq, previous) == (5, previous)
    ledger.close()


@given(
    seq=st.integers(min_value=0, max_value=2**40),
    first=st.booleans(),
    reason=st.sampled_from(pb.Reason.values()[1:]),
    decided_by=st.lists(st.integers(min_value=0, max_value=2**50), max_size=40),
)
def test_the_fast_private_part_is_what_protobuf_writes(seq, first, reason, decided_by):
    nonce, subject_id, last = b"n" * 32, b"s" * 32, b"" if first else b"l" * 32
    link = pb.SubjectLink(subject=subject_id, subject_seq=seq + 1, previous=last)
    slow = pb.PrivatePart(nonce=nonce, links=[link], reason=reason, decided_by=decided_by)
    fast = private_part(nonce, subject_id, SubjectRow(seq, last, EMPTY), Decision(reason, tuple(decided_by)))
    assert fast == slow.SerializeToString(deterministic=True)


@given(st.binary(max_size=130), st.binary(max_size=300))
def test_hmac_is_that_of_the_library(key, message):
    assert hmac_sha256(key, message) == hmac.digest(key, message, "sha256")

"""Release on pull, what travels with it, and what comes after."""

import pytest

from consent_ledger.clock import DAY_MS
from consent_ledger.errors import RegieError
from consent_ledger.events import commitment, committed_entry
from consent_ledger.hashing import sha256
from consent_ledger.log.checkpoint import open_checkpoint
from consent_ledger.log.merkle import leaf_hash, verify_inclusion
from consent_ledger.v1 import consents_pb2 as consents
from consent_ledger.v1 import decisions_pb2
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.writing.afterwards import AcknowledgeWork, OutcomeWork
from consent_ledger.writing.release import PULL_FRESH_MS, RELEASE_BASE, RELEASE_SLOT, pad
from tests.support.ledger import (
    CITY,
    NOW,
    OTHER_CITY,
    SIGNER,
    Ledger,
    change,
    content_of,
    grant,
    opening,
    pull,
    record_work,
    release_work,
    scope,
)


@pytest.fixture
def ledger(tmp_path):
    found = Ledger(tmp_path / "ledger.db")
    for person in ("anna", "bert", "chris"):
        found.record(person, grant=grant())
    yield found
    found.close()


def kinds(ledger: Ledger) -> list[str]:
    return [str(event.WhichOneof("body")) for _, event, _ in ledger.events()]


def refused(call) -> tuple[str, str]:
    with pytest.raises(RegieError) as caught:
        call()
    return caught.value.reason, caught.value.field


def test_a_release_carries_its_receipt_preferences_and_explanation(ledger):
    ledger.record(
        "bert", preferences=pb.Preferences(channels=[pb.CHANNEL_EMAIL], never=[pb.CHANNEL_TELEFOON], language="nl")
    )
    header_hash, answer = ledger.decide(["anna", "nobody", "bert"])
    assert [o == pb.OUTCOME_ACCEPTED for o in answer.outcomes] == [True, False, True]
    content = ledger.release(header_hash)
    checkpoint = open_checkpoint(content.checkpoint, [SIGNER.verifier])
    assert [signal.position for signal in content.signals] == [0, 4]
    for signal in content.signals:
        entry = committed_entry(commitment(signal.salt, signal.event))
        path = [signal.path[at : at + 32] for at in range(0, len(signal.path), 32)]
        verify_inclusion(signal.log_index, checkpoint.size, leaf_hash(entry), checkpoint.root, path)
        body = pb.Event.FromString(signal.event).exchange_released
        assert (body.position, body.decided_index) == (signal.position, answer.log_indices[signal.position // 2])
        assert signal.opening == opening(header_hash, signal.position)
        assert signal.explanation.nl.startswith(
            "U gaf op 1 januari 2026 toestemming: Organisatie 11 mag Organisatie 21"
        )
        assert signal.explanation.en.startswith("On 1 January 2026 you agreed: Organisatie 11 may tell Organisatie 21")
    first, second = content.signals
    assert list(first.preferences.channels) == [pb.CHANNEL_BRIEF]  # until chosen: letter only
    assert list(second.preferences.channels) == [pb.CHANNEL_EMAIL]
    assert list(second.preferences.never) == [pb.CHANNEL_TELEFOON]


def test_no_v_i_is_kept_for_a_refused_signal(ledger):
    header_hash, _ = ledger.decide(["nobody", "anna"])
    with ledger.sequencer.reader.snapshot() as snapshot:
        assert list(snapshot.permits(header_hash)) == [2]
    assert opening(header_hash, 0) not in ledger.path.read_bytes() + ledger.path.with_name("ledger.db-wal").read_bytes()


def test_withdrawn_between_decision_and_delivery_is_stopped_for_good(ledger):
    """AS4e: a leaf, no opening any more, and an answer of the same size."""
    header_hash, _ = ledger.decide(["anna", "bert"])
    ledger.record("anna", withdraw=consents.Withdraw(scope=scope()))
    sealed = ledger.sequencer.submit(release_work(pull(header_hash))).result(10).sealed
    assert len(sealed) == 3 + 64 + RELEASE_BASE + 2 * RELEASE_SLOT
    ledger.record("anna", grant=grant())
    assert [signal.position for signal in ledger.release(header_hash, 2).signals] == [2]
    assert kinds(ledger).count("exchange_withheld") == 1
    withheld = next((e, p) for _, e, p in ledger.events() if e.WhichOneof("body") == "exchange_withheld")
    assert withheld[1].reason == pb.REASON_WITHDRAWN
    with ledger.sequencer.reader.snapshot() as snapshot:
        permit = snapshot.permits(header_hash)[0]
    assert permit.opening is None
    assert permit.withheld_idx
    assert permit.released_idx is None


def test_the_size_of_an_answer_tells_only_how_many_were_permitted(ledger):
    header_hash, _ = ledger.decide(["anna", "bert", "chris"])
    size = RELEASE_BASE + 3 * RELEASE_SLOT + 67
    for nonce, person in enumerate(("anna", "bert", "chris"), 1):
        assert len(ledger.sequencer.submit(release_work(pull(header_hash, nonce))).result(10).sealed) == size
        ledger.record(person, pause=consents.Pause())
    assert not ledger.release(header_hash, 9).signals
    empty, _ = ledger.decide(["nobody"], 2)
    assert len(ledger.sequencer.submit(release_work(pull(empty))).result(10).sealed) == RELEASE_BASE + 67


@pytest.mark.parametrize("spare", [5, 6, 132, 133, 134, 16_388, 16_389, 16_390, 2_097_160])
def test_padding_reaches_every_size(spare):
    content = decisions_pb2.ReleaseContent(checkpoint="x").SerializeToString()
    padded = pad(content, len(content) + spare)
    assert len(padded) == len(content) + spare
    read = decisions_pb2.ReleaseContent.FromString(padded)
    assert read.checkpoint == "x"
    assert read.padding == bytes(spare - 5)


def test_pulling_again_gives_the_same_release_and_no_new_leaf(ledger):
    header_hash, _ = ledger.decide(["anna"])
    first = ledger.release(header_hash, 1)
    size = ledger.sequencer.head.size
    ledger.clock.forward(days=1)
    ledger.record("bert", withdraw=consents.Withdraw(scope=scope()))
    second = ledger.release(header_hash, 2)
    assert second.signals[0].log_index == first.signals[0].log_index
    assert second.signals[0].path != first.signals[0].path  # proven in the newer tree
    assert ledger.sequencer.head.size == size + 1


def test_released_then_withdrawn_is_withheld_on_the_next_pull(ledger):
    header_hash, _ = ledger.decide(["anna"])
    assert ledger.release(header_hash, 1).signals
    ledger.record("anna", withdraw=consents.Withdraw(scope=scope()))
    assert not ledger.release(header_hash, 2).signals
    assert kinds(ledger)[-3:] == ["consent_withdrawn", "stop_use_noticed", "exchange_withheld"]


def test_a_nonce_is_used_once(ledger):
    """Rule 8: the same pull gets the same bytes, also when consent changed since; another pull must be new."""
    header_hash, _ = ledger.decide(["anna"])
    wanted = pull(header_hash)
    first = ledger.sequencer.submit(release_work(wanted)).result(10)
    ledger.record("anna", withdraw=consents.Withdraw(scope=scope()))
    assert ledger.sequencer.submit(release_work(wanted)).result(10) == first
    other = pull(header_hash, now_ms=NOW + 1)
    assert refused(lambda: ledger.sequencer.submit(release_work(other)).result(10)) == ("NONCE_REUSED", "pull.nonce")


@pytest.mark.parametrize("off", [-PULL_FRESH_MS - 1, PULL_FRESH_MS + 1])
def test_a_pull_is_fresh(ledger, off):
    header_hash, _ = ledger.decide(["anna"])
    work = release_work(pull(header_hash, now_ms=NOW + off))
    assert refused(lambda: ledger.sequencer.submit(work).result(10)) == ("NOT_FRESH", "pull.time_ms")
    edge = release_work(pull(header_hash, now_ms=NOW + (off + 1 if off < 0 else off - 1)))
    assert content_of(ledger.sequencer.submit(edge).result(10)).signals


def test_another_recipients_batch_is_as_unknown_as_none(ledger):
    header_hash, _ = ledger.decide(["anna"])
    theirs = release_work(pull(header_hash, recipient=OTHER_CITY))
    absent = release_work(pull(sha256(b"none")))
    for work in (theirs, absent):
        with pytest.raises(RegieError, match="no batch of this name waits for this recipient"):
            ledger.sequencer.submit(work).result(10)


def test_the_statement_names_batch_root_nonce_and_sealed_content(ledger):
    header_hash, _ = ledger.decide(["anna"])
    response = ledger.sequencer.submit(release_work(pull(header_hash, 5))).result(10)
    statement = decisions_pb2.ReleaseStatement.FromString(response.statement)
    assert statement.header_hash == header_hash
    assert statement.root == sha256(b"root", header_hash)
    assert statement.nonce == (5).to_bytes(32, "big")
    assert statement.expires_ms == NOW + PULL_FRESH_MS
    assert statement.sealed_hash == sha256(response.sealed)


def test_ask_first_yes_serves_one_exchange(ledger):
    """AS4c, with two signals permitted on one yes: the second is stopped at the door."""
    ledger.record("dora", grant=grant(pb.MODE_VRAAG_MIJ_EERST))
    ledger.decide(["dora"], 1)
    ledger.record("dora", answer=consents.Answer(scope=scope(), yes=True))
    one, _ = ledger.decide(["dora"], 2)
    two, _ = ledger.decide(["dora"], 3)
    assert ledger.release(one, 1).signals
    assert not ledger.release(two, 1).signals
    assert ledger.release(one, 2).signals  # its own answer
    ledger.decide(["dora"], 4)
    assert ledger.reasons() == ["AWAITING_RESIDENT", "ALLOWED", "ALLOWED", "AWAITING_RESIDENT"]


def test_ask_first_silence_is_no(ledger):
    ledger.record("dora", grant=grant(pb.MODE_VRAAG_MIJ_EERST))
    ledger.decide(["dora"], 1)
    ledger.clock.forward(days=14)
    ledger.decide(["dora"], 2)
    ledger.clock.forward(ms=1)
    late = ledger.record("dora", answer=consents.Answer(scope=scope(), yes=True))
    assert (late.error.reason, late.error.field) == ("FIELD_INVALID", "answer.scope")
    ledger.decide(["dora"], 3)
    ledger.record("dora", grant=grant())
    ledger.decide(["dora"], 4)
    assert ledger.reasons() == ["AWAITING_RESIDENT", "AWAITING_RESIDENT", "REFUSED", "ALLOWED"]


def test_self_first_delivers_only_if_it_is_reported_again_in_time(ledger):
    """AS4d."""
    ledger.record("dora", grant=grant(pb.MODE_EERST_ZELF))
    ledger.decide(["dora"], 1)
    ledger.clock.forward(days=14)
    ledger.decide(["dora"], 2)
    ledger.clock.forward(days=1)
    again, _ = ledger.decide(["dora"], 3)
    assert ledger.release(again).signals
    ledger.decide(["dora"], 4)  # used up: a new window opens
    ledger.clock.forward(days=29)
    ledger.decide(["dora"], 5)  # too late: another one
    assert ledger.reasons() == ["SELF_FIRST_WINDOW"] * 2 + ["ALLOWED"] + ["SELF_FIRST_WINDOW"] * 2


def test_a_signal_withheld_does_not_count_towards_the_cap(ledger):
    ledger.record("anna", preferences=pb.Preferences(most_per_30_days=1))
    one, _ = ledger.decide(["anna"], 1)
    ledger.decide(["anna"], 2)
    ledger.record("anna", pause=consents.Pause())
    assert not ledger.release(one).signals
    ledger.record("anna", resume=consents.Resume())
    two, _ = ledger.decide(["anna"], 3)
    assert ledger.release(two).signals
    ledger.decide(["anna"], 4)
    ledger.clock.forward(ms=30 * DAY_MS - 1)
    ledger.decide(["anna"], 5)
    ledger.clock.forward(ms=1)
    ledger.decide(["anna"], 6)
    assert ledger.reasons() == ["ALLOWED", "RATE_CAP", "ALLOWED", "RATE_CAP", "RATE_CAP", "ALLOWED"]


def test_what_was_delivered_counts_also_when_a_later_pull_is_refused(ledger):
    ledger.record("anna", preferences=pb.Preferences(most_per_30_days=1))
    one, _ = ledger.decide(["anna"], 1)
    assert ledger.release(one, 1).signals
    ledger.record("anna", pause=consents.Pause())
    assert not ledger.release(one, 2).signals
    ledger.record("anna", resume=consents.Resume())
    ledger.decide(["anna"], 2)
    assert ledger.reasons() == ["ALLOWED", "RATE_CAP"]


def test_the_first_withdrawal_is_the_one_that_stopped_it(ledger):
    ledger.record("anna", withdraw=consents.Withdraw(scope=scope()))
    first = ledger.sequencer.head.size - 1
    ledger.clock.forward(days=1)
    ledger.record("anna", withdraw=consents.Withdraw(scope=scope()))
    ledger.decide(["anna"])
    assert first in ledger.events()[-1][2].decided_by
    assert first + 1 not in ledger.events()[-1][2].decided_by


# -- afterwards -----------------------------------------------------------------------------------------------------


def acknowledge(ledger: Ledger, header_hash: bytes, **fields):
    said = decisions_pb2.Acknowledgement(**{"header_hash": header_hash, "time_ms": NOW, "recipient": CITY, **fields})
    return ledger.sequencer.submit(AcknowledgeWork(said)).result(10)


def test_acknowledging_twice_is_recorded_once(ledger):
    header_hash, _ = ledger.decide(["anna", "bert"])
    acknowledge(ledger, header_hash)  # nothing released: nothing to acknowledge
    content = ledger.release(header_hash)
    acknowledge(ledger, header_hash)
    acknowledge(ledger, header_hash)
    said = [e.exchange_acknowledged for _, e, _ in ledger.events() if e.WhichOneof("body") == "exchange_acknowledged"]
    assert [each.released_index for each in said] == [signal.log_index for signal in content.signals]
    assert refused(lambda: acknowledge(ledger, header_hash, recipient=OTHER_CITY))[0] == "BATCH_UNKNOWN"
    assert refused(lambda: acknowledge(ledger, header_hash, time_ms=NOW + 120_001))[0] == "NOT_FRESH"


def outcome(ledger: Ledger, header_hash: bytes, name: bytes = b"one", **fields) -> int:
    values = {"position": 0, "offer": "gesprek", "channel": pb.CHANNEL_BRIEF, "when_ms": NOW} | fields
    report = decisions_pb2.OutcomeReport(**values)
    return ledger.sequencer.submit(OutcomeWork(header_hash, CITY, report, sha256(name))).result(10).log_index


def test_outcomes_are_recorded_once_and_only_for_what_was_released(ledger):
    header_hash, _ = ledger.decide(["anna"])
    assert refused(lambda: outcome(ledger, header_hash)) == ("FIELD_INVALID", "report.position")
    ledger.release(header_hash)
    assert outcome(ledger, header_hash) == outcome(ledger, header_hash)
    assert kinds(ledger).count("outcome_reported") == 1
    assert outcome(ledger, header_hash, b"two") == ledger.sequencer.head.size - 1
    assert refused(lambda: outcome(ledger, header_hash, b"3", position=2)) == ("FIELD_INVALID", "report.position")
    assert refused(lambda: outcome(ledger, header_hash, b"4", when_ms=NOW + 120_001))[0] == "NOT_FRESH"


@pytest.mark.parametrize(
    ("wishes", "used", "deviation"),
    [
        (None, pb.CHANNEL_BRIEF, False),
        (None, pb.CHANNEL_EMAIL, True),
        (pb.Preferences(channels=[pb.CHANNEL_EMAIL]), pb.CHANNEL_EMAIL, False),
        (pb.Preferences(channels=[pb.CHANNEL_EMAIL]), pb.CHANNEL_BRIEF, True),
        (pb.Preferences(channels=[pb.CHANNEL_BRIEF], never=[pb.CHANNEL_TELEFOON]), pb.CHANNEL_TELEFOON, True),  # AS4h
    ],
)
def test_deviation_is_judged_by_the_preferences_that_were_delivered(ledger, wishes, used, deviation):
    if wishes:
        ledger.record("anna", preferences=wishes)
    header_hash, _ = ledger.decide(["anna"])
    ledger.release(header_hash)
    ledger.record("anna", preferences=pb.Preferences(channels=[pb.CHANNEL_CHAT]))
    outcome(ledger, header_hash, channel=used)
    assert ledger.events()[-1][1].outcome_reported.deviation is deviation


def test_one_change_twice_in_a_request_and_again_later(ledger):
    made = change(77, "emma", NOW + 50, grant=grant())
    receipt = ledger.sequencer.submit(record_work(made, made)).result(10).receipt
    found = consents.RecordReceipt.FromString(receipt).results
    assert found[0] == found[1]
    assert found[0].log_index == ledger.sequencer.head.size - 1
    later = ledger.sequencer.submit(record_work(made)).result(10).receipt
    assert consents.RecordReceipt.FromString(later).results[0] == found[0]
    dated = change(77, "emma", NOW + 51, grant=grant())
    later = ledger.sequencer.submit(record_work(dated)).result(10).receipt
    assert consents.RecordReceipt.FromString(later).results[0] == found[0], "when it was written is no content"
    other = change(77, "emma", NOW + 50, grant=grant(months=3))
    receipt = ledger.sequencer.submit(record_work(other)).result(10).receipt
    assert consents.RecordReceipt.FromString(receipt).results[0].error.reason == "NONCE_REUSED"

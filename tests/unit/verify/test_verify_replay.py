"""replay.py: a ledger that decided by the rules matches; one that lied, at any place, is told from one that erased."""

import pytest

from consent_ledger.decide import Decision
from consent_ledger.log.checkpoint import Checkpoint, sign_checkpoint
from consent_ledger.log.cosignature import Ed25519CosignatureSigner
from consent_ledger.log.errors import VerificationError
from consent_ledger.log.quorum import Quorum, WitnessKeys
from consent_ledger.v1 import batch_pb2
from consent_ledger.v1 import consents_pb2 as consents
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.verify import replay as replaying
from consent_ledger.verify.replay import ReplayFailed, replay
from consent_ledger.verify.verdicts import Verdict
from consent_ledger.writing import release, transaction
from consent_ledger.writing.announce import Announcing
from tests.support.erasure import AnnounceWork, erase
from tests.support.ledger import CITY, NOW, SIGNER, SUPPLIER, Ledger, grant, scope, subject
from tests.support.lively import lively_ledger
from tests.support.tampering import copied, delete, opened, rows_of, set_column

VKEY = SIGNER.verifier.format()


@pytest.fixture(scope="module")
def lively(tmp_path_factory):
    return lively_ledger(tmp_path_factory.mktemp("lively") / "ledger.db", 120)


@pytest.fixture
def ledger(tmp_path):
    found = Ledger(tmp_path / "ledger.db")
    for person in ("anna", "bert"):
        found.record(person, grant=grant())
    yield found
    found.close()


def failed(path, **more):
    """The report of a replay that fails, and the findings that made it fail."""
    with pytest.raises(ReplayFailed) as raised:
        replay(path, VKEY, **more)
    report = raised.value.report
    assert report.broken > 0
    return report, [one for one in report.findings if one.verdict is not Verdict.ERASED]


class Forge:
    """Appends an event that no rule asked for."""

    weight = 1

    def __init__(self, event: pb.Event, person: str, reason: int = 0, decided_by: tuple[int, ...] = ()) -> None:
        self.event, self.person, self.reason, self.decided_by = event, person, reason, decided_by

    def apply(self, tx):
        index = tx.record(self.event, [subject(self.person)], reason=self.reason, decided_by=self.decided_by)
        return lambda _sealed: index


def forge(ledger: Ledger, event: pb.Event, person: str = "anna", **more) -> int:
    return ledger.sequencer.submit(Forge(event, person, **more)).result(10)


def decided(ledger: Ledger, **fields) -> pb.ExchangeDecided:
    values = {
        "batch_id": bytes(16),
        "position": 4,
        "sender": SUPPLIER,
        "recipient": CITY,
        "purpose": "vroegsignalering-energie",
        "purpose_version": 1,
        "items": ["betalingsachterstand"],
        "basis": batch_pb2.BASIS_OBSERVED,
        "permitted": True,
        "outcome": pb.OUTCOME_ACCEPTED,
    }
    return pb.ExchangeDecided(**{**values, **fields})


# -- ledgers that decided by the rules ------------------------------------------------------------------------------


def test_lives_of_every_kind_match(lively):
    seen = []
    report = replay(lively, VKEY, lambda done, total: seen.append((done, total)))
    assert set(report.counts) == {"decided", "released", "withheld", "task"}
    assert all(set(of_kind) == {"match"} for of_kind in report.counts.values())
    assert report.counts["decided"]["match"] > 150
    assert report.counts["task"]["match"] > 20
    assert (report.broken, report.beside, report.findings) == (0, 0, [])
    assert seen[-1] == (report.log.size, report.log.size)


@pytest.mark.parametrize("seed", [2, 3])
def test_lives_with_erasures_never_fail(tmp_path, seed):
    report = replay(lively_ledger(tmp_path / "ledger.db", 120, seed, erasing=True), VKEY)
    assert report.broken == 0
    assert report.counts["entry"]["erased"] > 20
    assert report.beside > 0
    assert all(one.verdict is Verdict.ERASED for one in report.findings)


def test_every_reason_of_a_whole_batch_is_found_again(ledger):
    """One batch about one person many times, and about strangers: each is judged after those before it."""
    ledger.record("anna", preferences=pb.Preferences(most_per_30_days=2))
    ledger.decide(["anna", "anna", "anna", "stranger", "bert"], 1)
    ledger.record("bert", pause=consents.Pause(until_ms=NOW + 1000))
    ledger.decide(["bert"], 2, items=["betalingsachterstand", "inkomen"])
    ledger.clock.forward(ms=1000)
    ledger.decide(["bert"], 3)
    assert ledger.reasons() == ["ALLOWED", "ALLOWED", "RATE_CAP", "NO_CONSENT", "ALLOWED", "PAUSED", "ALLOWED"]
    assert replay(ledger.path, VKEY).counts == {"decided": {"match": 7}}


# -- ledgers that lied ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (Decision(pb.REASON_ALLOWED), "reason: expected NO_CONSENT, got ALLOWED"),
        (Decision(pb.REASON_REFUSED), "reason: expected NO_CONSENT, got REFUSED"),
        (Decision(pb.REASON_NO_CONSENT, (7,)), r"decided by: expected leaves \[\], got \[7\]"),
    ],
)
def test_a_decision_against_the_rules_is_named(ledger, monkeypatch, said, why):
    monkeypatch.setattr(transaction, "judge_of", lambda *_: lambda *_args: said)
    ledger.decide(["stranger"])
    report, (found,) = failed(ledger.path)
    assert (found.index, found.kind, found.verdict) == (ledger.sequencer.head.size - 1, "decided", Verdict.MISMATCH)
    assert report.counts["decided"] == {"mismatch": 1}
    with pytest.raises(ReplayFailed, match=f"^leaf {found.index} .decided., mismatch: {why}$"):
        replay(ledger.path, VKEY)


def test_a_refusal_of_what_was_allowed_is_named(ledger, monkeypatch):
    refusal = Decision(pb.REASON_PAUSED, (5,), 1)
    monkeypatch.setattr(transaction, "judge_of", lambda *_: lambda *_args: refusal)
    ledger.decide(["anna"])
    _, (found,) = failed(ledger.path)
    assert found.why == "reason: expected ALLOWED, got PAUSED"


def test_a_release_after_a_withdrawal_is_named(ledger, monkeypatch):
    header_hash, _ = ledger.decide(["anna"])
    ledger.record("anna", withdraw=consents.Withdraw(scope=scope()))
    monkeypatch.setattr(release, "judge_of", lambda *_: lambda *_args: Decision(pb.REASON_ALLOWED, (38,), NOW))
    assert ledger.release(header_hash).signals
    report, (found,) = failed(ledger.path)
    assert (found.kind, found.why) == ("released", "reason: expected WITHDRAWN, got ALLOWED")
    assert report.counts["decided"] == {"match": 1}


def test_a_signal_that_was_stopped_for_no_reason_is_named(ledger, monkeypatch):
    header_hash, _ = ledger.decide(["anna"])
    monkeypatch.setattr(release, "judge_of", lambda *_: lambda *_args: Decision(pb.REASON_WITHDRAWN))
    assert not ledger.release(header_hash).signals
    _, (found,) = failed(ledger.path)
    assert (found.kind, found.why) == ("withheld", "reason: expected ALLOWED, got WITHDRAWN")


@pytest.mark.parametrize(
    ("fields", "reason", "why"),
    [
        ({"permitted": False}, pb.REASON_ALLOWED, "permitted: expected True, got False"),
        (
            {"outcome": pb.OUTCOME_GEEN_TOESTEMMING},
            pb.REASON_ALLOWED,
            "outcome: expected ACCEPTED, got GEEN_TOESTEMMING",
        ),
        ({}, pb.REASON_NO_CONSENT, "permitted: expected False, got True"),
        ({"purpose_version": 2}, pb.REASON_ALLOWED, "reason: expected PURPOSE_UNKNOWN, got ALLOWED"),
        ({"basis": batch_pb2.BASIS_INFERRED}, pb.REASON_ALLOWED, "reason: expected PURPOSE_PROHIBITED, got ALLOWED"),
        ({"recipient": SUPPLIER}, pb.REASON_ALLOWED, "reason: expected PARTY_UNKNOWN, got ALLOWED"),
    ],
)
def test_a_decision_that_contradicts_itself_or_the_directory_is_named(ledger, fields, reason, why):
    forge(ledger, pb.Event(exchange_decided=decided(ledger, **fields)), reason=reason)
    assert failed(ledger.path)[1][0].why == why


def test_what_follows_must_follow(ledger):
    """Releases of nothing, twice, of another subject or batch; acknowledgements and reports of nothing."""
    header_hash, answer = ledger.decide(["anna", "bert"])
    ledger.release(header_hash)
    permit, other = answer.log_indices
    body = {"batch_id": (1).to_bytes(16, "big"), "position": 0, "sender": SUPPLIER, "recipient": CITY}
    body |= {"purpose": "vroegsignalering-energie", "purpose_version": 1}
    released = pb.ExchangeReleased(**body, decided_index=permit)
    cases = [
        (pb.Event(exchange_released=released), "anna", "releases what leaf"),
        (pb.Event(exchange_released=pb.ExchangeReleased(**body, decided_index=3)), "anna", "releases what was not"),
        (pb.Event(exchange_withheld=pb.ExchangeWithheld(**body, decided_index=3)), "anna", "withholds what was not"),
        (pb.Event(exchange_withheld=pb.ExchangeWithheld(**body, decided_index=permit)), "bert", "is about another"),
        (pb.Event(exchange_withheld=pb.ExchangeWithheld(**body, decided_index=other)), "bert", "differs from the"),
        (
            pb.Event(exchange_acknowledged=pb.ExchangeAcknowledged(released_index=3)),
            "anna",
            "acknowledges what was not",
        ),
        (pb.Event(outcome_reported=pb.OutcomeReported(released_index=3)), "anna", "reports on what was not"),
    ]
    for event, person, _ in cases:
        forge(ledger, event, person, reason=pb.REASON_ALLOWED, decided_by=())
    _, found = failed(ledger.path)
    assert [one.why[: len(why)] for one, (_, _, why) in zip(found, cases, strict=True)] == [why for _, _, why in cases]


def test_a_backdated_decision_is_named(ledger):
    """Decided when the pause was not there yet: the time of the leaf before it says otherwise."""
    ledger.clock.forward(days=1)
    ledger.record("anna", pause=consents.Pause(until_ms=ledger.clock() + 1000))

    class Backdated(Forge):
        def apply(self, tx):
            tx.now_ms -= 2 * 86_400_000
            return super().apply(tx)

    event = pb.Event(exchange_decided=decided(ledger))
    ledger.sequencer.submit(Backdated(event, "anna", pb.REASON_ALLOWED, (38,))).result(10)
    _, found = failed(ledger.path)
    assert any(one.why.startswith("time: expected") for one in found)


def test_two_subjects_or_none_have_no_decision(ledger):
    class ForTwo(Forge):
        def apply(self, tx):
            index = tx.record(self.event, [subject("anna"), subject("bert")], reason=self.reason)
            return lambda _sealed: index

    event = pb.Event(exchange_decided=decided(ledger))
    ledger.sequencer.submit(ForTwo(event, "", pb.REASON_ALLOWED)).result(10)
    assert failed(ledger.path)[1][0].why == "expected one subject, got 2"


# -- payloads that are gone -----------------------------------------------------------------------------------------


def test_lost_and_false_payloads_are_unopenable(lively, tmp_path):
    rows = rows_of(lively, "payload")
    path = copied(lively, tmp_path)
    delete(path, "payload", rows[5])
    set_column(path, "payload", rows[9], "event", b"\x08\x01")
    report, found = failed(path)
    named = {one.index: (one.kind, one.verdict) for one in found}
    assert named[rows[5]["idx"]] == named[rows[9]["idx"]] == ("entry", Verdict.UNOPENABLE)
    # What rested on them is not called a lie.
    assert report.count(Verdict.MISMATCH) == 0


def test_decisions_that_rested_on_what_was_erased_are_erased(ledger):
    header_hash, answer = ledger.decide(["anna", "bert"])
    ledger.release(header_hash)
    erase(ledger, "anna")
    ledger.decide(["anna"], 2)  # judged again: nothing stands
    ledger.record("anna", grant=grant())
    ledger.decide(["anna"], 3)
    report = replay(ledger.path, VKEY)
    erased = [one for one in report.findings if one.verdict is Verdict.ERASED]
    assert {one.index for one in erased} == {35, answer.log_indices[0], 39}  # grant, decision, release
    assert {one.erased_by for one in erased} == {erased[0].erased_by} != {None}
    assert report.counts["decided"] == {"match": 3}
    assert report.beside == 0, "an erasure on request is a new beginning"


def lost_choice(path, index: int, ground: str = "") -> None:
    """Take a payload out, and every trace of it, as an operator could who wants to hide it."""
    connection = opened(path)
    connection.execute("DELETE FROM payload WHERE idx = ?", (index,))
    if ground:
        connection.execute("INSERT INTO erasure VALUES (?, ?, 1, ?)", (index, ground, NOW))
    connection.close()


def test_a_withdrawal_that_was_made_to_vanish_does_not_make_a_permit_right(ledger, monkeypatch):
    """The resident withdrew, the ledger permitted, and later calls the withdrawal erased by age: it was not old."""
    index = ledger.record("anna", withdraw=consents.Withdraw(scope=scope())).log_index
    monkeypatch.setattr(transaction, "judge_of", lambda *_: lambda *_args: Decision(pb.REASON_ALLOWED, (), NOW))
    ledger.decide(["anna"])
    ledger.close()
    lost_choice(ledger.path, index, "retention")
    report, (broken,) = failed(ledger.path)
    assert (broken.index, broken.why) == (index, "erased by age after 0 days: expected at least 60")
    (found,) = [one for one in report.findings if one.kind == "decided"]
    assert (found.verdict, found.why.partition(";")[0]) == (
        Verdict.ERASED,
        f"decided by: expected leaves [{index - 2}], got []",
    )


def test_what_was_announced_as_erased_before_excuses_nothing(ledger, monkeypatch):
    """A permit after the announcement cannot rest on the consent that is gone."""
    first = ledger.sequencer.head.size - 2
    ledger.sequencer.publish([pb.PublicEvent(entry_erased=pb.EntryErased(index=first, ground="retention"))]).result(10)
    monkeypatch.setattr(transaction, "judge_of", lambda *_: lambda *_args: Decision(pb.REASON_ALLOWED, (first,), NOW))
    ledger.decide(["anna"])
    ledger.close()
    lost_choice(ledger.path, first)
    _, found = failed(ledger.path)
    assert [one.why for one in found] == [
        "erased by age after 0 days: expected at least 60",
        "reason: expected NO_CONSENT, got ALLOWED; all that is erased was so before",
    ]


def test_a_request_to_erase_that_nobody_made_is_named(ledger, monkeypatch):
    """Only the resident's own chain can say that it was erased on request, and the resident reads it there."""
    index = ledger.record("anna", withdraw=consents.Withdraw(scope=scope())).log_index
    event = pb.EntryErased(index=index, ground="resident request")
    ledger.sequencer.publish([pb.PublicEvent(entry_erased=event)]).result(10)
    allowed = Decision(pb.REASON_ALLOWED, (index - 2,), NOW)  # as if the withdrawal had never been
    monkeypatch.setattr(transaction, "judge_of", lambda *_: lambda *_args: allowed)
    ledger.decide(["anna"])
    ledger.close()
    lost_choice(ledger.path, index)
    report, (found,) = failed(ledger.path)
    assert found.why.startswith("expected RecordErased: ")
    assert report.counts["decided"] == {"match": 1}
    assert report.beside == 1


def test_waiting_announcements_count_as_erased(ledger):
    ledger.decide(["anna"])
    erase(ledger, "anna", policy=Announcing(people=5))
    report = replay(ledger.path, VKEY)
    assert {one.why for one in report.findings} == {"erased, and waits to be announced"}
    ledger.clock.forward(days=8)
    ledger.sequencer.submit(AnnounceWork(Announcing())).result(10)
    assert {one.why[:15] for one in replay(ledger.path, VKEY).findings} == {"erased, as leaf"}


# -- the log itself, and its witnesses ------------------------------------------------------------------------------


def test_a_log_that_does_not_check_is_not_replayed(lively, tmp_path):
    path = copied(lively, tmp_path)
    set_column(path, "leaf", rows_of(path, "leaf")[60], "hash", bytes(32))
    with pytest.raises(VerificationError, match="leaf 60, hash") as raised:
        replay(path, VKEY)
    assert not isinstance(raised.value, ReplayFailed)


def published(path, note: str) -> None:
    connection = opened(path)
    connection.execute("DELETE FROM published")
    connection.execute("INSERT INTO published VALUES (1, 40, ?, 0)", (note,))
    connection.close()


def test_what_witnesses_cosigned_is_of_this_log(lively, tmp_path):
    witness = Ed25519CosignatureSigner("witness.example/w", b"\7" * 32)
    quorum = Quorum(1, (WitnessKeys.parse([witness.verifier.format()]),))
    path = copied(lively, tmp_path)
    root = replay(path, VKEY).log.root
    size = replay(path, VKEY).log.size
    head = Checkpoint(SIGNER.name, size, root)
    assert replay(path, VKEY, quorum=quorum).witnessed is None
    published(path, sign_checkpoint(head, [SIGNER]) + witness.line(head.body(), 1_767_139_200))
    assert replay(path, VKEY, quorum=quorum).witnessed == size
    published(path, sign_checkpoint(head, [SIGNER]))
    with pytest.raises(VerificationError, match="cosignatures of 1 witnesses"):
        replay(path, VKEY, quorum=quorum)
    fork = Checkpoint(SIGNER.name, 40, bytes(32))
    published(path, sign_checkpoint(fork, [SIGNER]) + witness.line(fork.body(), 1_767_139_200))
    with pytest.raises(VerificationError, match="root of size 40: expected"):
        replay(path, VKEY, quorum=quorum)


def test_findings_are_bounded_and_the_worst_are_kept(ledger, monkeypatch):
    monkeypatch.setattr(replaying, "MOST", 3)
    erase(ledger, "bert")
    for number in range(3):
        monkeypatch.setattr(transaction, "judge_of", lambda *_: lambda *_args: Decision(pb.REASON_ALLOWED))
        ledger.decide(["stranger"], number)
    report, found = failed(ledger.path)
    assert len(found) == len(report.findings) == 3
    assert report.left_out == 1
    assert report.count(Verdict.ERASED) == 1

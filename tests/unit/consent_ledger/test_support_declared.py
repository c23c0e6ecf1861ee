"""A recipient declares its channels (R34): what counts afterwards, what is refused, and that the log explains it."""

from hashlib import sha256

import pytest

from consent_ledger.registry import Registry
from consent_ledger.v1 import decisions_pb2
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.verify.replay import replay
from consent_ledger.writing.support import SupportWork
from tests.support.ledger import CITY, SIGNER, SUPPLIER, Ledger, grant, key_id, reason_of, sign

PHONE, EMAIL, LETTER = pb.CHANNEL_TELEFOON, pb.CHANNEL_EMAIL, pb.CHANNEL_BRIEF


@pytest.fixture
def ledger(tmp_path):
    found = Ledger(tmp_path / "ledger.db")
    found.record("anna", grant=grant())  # letter only, as long as she chose nothing else
    found.record("bert", grant=grant())
    found.record("bert", preferences=pb.Preferences(channels=[PHONE, EMAIL]))
    yield found
    found.close()


def work(*channels: int, time_ms: int, oin: str = CITY) -> SupportWork:
    said = pb.SupportDeclaration(oin=oin, channels=channels, time_ms=time_ms)
    data = said.SerializeToString(deterministic=True)
    signature = sign(oin, b"regie/s/support/v1", sha256(data).digest())
    request = decisions_pb2.DeclareSupportRequest(declaration=data, key_id=key_id(oin, "sign"), signature=signature)
    return SupportWork(said, request)


def declare(ledger: Ledger, *channels: int, **fields) -> int:
    ledger.clock.forward(ms=10_000)
    said = work(*channels, **{"time_ms": ledger.clock(), **fields})
    return ledger.sequencer.submit(said).result(10).log_index


def test_who_accepts_none_of_the_channels_is_not_reported(ledger):
    declare(ledger, PHONE, EMAIL)
    _, answer = ledger.decide(["anna", "bert"])
    assert list(answer.outcomes) == [pb.OUTCOME_GEEN_TOESTEMMING, pb.OUTCOME_ACCEPTED]
    assert ledger.reasons() == ["RECEIVER_CANNOT_HONOUR", "ALLOWED"]


def test_a_declaration_on_the_way_stops_the_delivery(ledger):
    header_hash, _ = ledger.decide(["anna", "bert"])
    declare(ledger, PHONE)
    assert [signal.position for signal in ledger.release(header_hash).signals] == [2]
    (withheld,) = [p.reason for _, e, p in ledger.events() if e.WhichOneof("body") == "exchange_withheld"]
    assert withheld == pb.REASON_RECEIVER_CANNOT_HONOUR


def test_the_last_word_counts_and_the_replay_follows(ledger):
    declare(ledger, PHONE)
    ledger.decide(["anna"], 1)
    declare(ledger, LETTER, PHONE)
    ledger.decide(["anna"], 2)
    assert ledger.reasons() == ["RECEIVER_CANNOT_HONOUR", "ALLOWED"]
    ledger.close()
    report = replay(ledger.path, SIGNER.verifier.format())
    assert report.broken == 0
    assert report.counts["decided"] == {"match": 2}


def test_the_same_again_changes_nothing(ledger):
    first = declare(ledger, PHONE, EMAIL)
    size = ledger.sequencer.reader
    assert declare(ledger, EMAIL, PHONE) == first
    with size.snapshot() as snapshot:
        assert snapshot.head().size == first + 1


def test_an_old_word_does_not_come_back(ledger):
    old = work(PHONE, time_ms=ledger.clock() + 1)
    ledger.sequencer.submit(old).result(10)
    declare(ledger, LETTER)
    assert reason_of(lambda: ledger.sequencer.submit(old).result(10)) == "WRITE_STALE"
    assert ledger.sequencer.registry.participant(CITY).channels == (LETTER,)


def test_only_recipients_declare_and_not_ahead_of_time(ledger):
    assert reason_of(lambda: declare(ledger, PHONE, oin=SUPPLIER)) == "PEER_KIND_NOT_SERVED"
    assert reason_of(lambda: declare(ledger, PHONE, time_ms=ledger.clock() + 600_000)) == "NOT_FRESH"
    assert ledger.sequencer.failure is None


def test_a_new_registration_forgets_no_declaration_time(ledger):
    """Else an old signed word could be played back after it."""
    declare(ledger, PHONE)
    registry: Registry = ledger.sequencer.registry
    before = registry.participant(CITY)
    again = pb.ParticipantRegistered(
        oin=CITY, kind=pb.PARTICIPANT_KIND_MUNICIPALITY, name=before.name, certificate=before.certificate
    )
    after = registry.apply(99, pb.PublicEvent(sequence=registry.sequence + 1, participant_registered=again))
    assert after.participant(CITY).support_ms == before.support_ms > 0


@pytest.mark.parametrize("declaration", [b"\xff\xff", b""])
def test_a_declaration_that_is_none_cannot_be_published(ledger, declaration):
    event = pb.ParticipantSupportDeclared(declaration=declaration, key_id=key_id(CITY, "sign"))
    assert reason_of(
        lambda: ledger.sequencer.publish([pb.PublicEvent(participant_support_declared=event)]).result(10)
    ) in {"FIELD_INVALID", "PARTY_UNKNOWN"}

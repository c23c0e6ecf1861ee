"""Creating, opening and opening again: one writer, one history, nothing implicit."""

import shutil

import pytest

from consent_ledger.errors import RegieError
from consent_ledger.sequencer import create_ledger, open_ledger
from consent_ledger.v1 import events_pb2 as pb
from tests.support.ledger import (
    CITY,
    SIGNER,
    Ledger,
    Time,
    first_events,
    grant,
    opening,
    pull,
    reason_of,
    release_work,
)

VKEY = SIGNER.verifier.format()


def test_two_writers_are_refused_and_the_first_goes_on(ledger):
    assert reason_of(lambda: open_ledger(ledger.path, SIGNER, ledger.clock)) == "LEDGER_UNAVAILABLE"
    assert ledger.decide(["anna"])[1].log_indices


def test_a_ledger_is_never_created_implicitly_nor_twice(path, tmp_path):
    assert reason_of(lambda: open_ledger(path, SIGNER, Time())) == "LEDGER_UNAVAILABLE"
    assert list(tmp_path.iterdir()) == []
    create_ledger(path, SIGNER, first_events(), Time())
    content = path.read_bytes()
    assert reason_of(lambda: create_ledger(path, SIGNER, first_events(), Time())) == "LEDGER_UNAVAILABLE"
    assert path.read_bytes() == content


def test_a_creation_that_did_not_finish_is_begun_again(path):
    bad = [pb.PublicEvent(participant_suspended=pb.ParticipantSuspended(oin=CITY))]
    assert reason_of(lambda: create_ledger(path, SIGNER, bad, Time())) == "PARTY_UNKNOWN"
    assert not path.exists()
    Ledger(path).close()


def test_an_older_copy_is_refused_when_a_newer_checkpoint_is_known(path, tmp_path):
    ledger = Ledger(path)
    ledger.decide(["anna"])
    ledger.close()
    old = tmp_path / "old.db"
    shutil.copy(path, old)
    ledger = Ledger(path, ledger.clock)
    ledger.decide(["bert"], 2)
    known = ledger.sequencer.head.checkpoint
    ledger.close()
    assert reason_of(lambda: open_ledger(old, SIGNER, ledger.clock, known_checkpoint=known)) == "LEDGER_UNAVAILABLE"
    open_ledger(path, SIGNER, ledger.clock, known_checkpoint=known).close()
    fork = Ledger(old, ledger.clock)
    fork.decide(["chris", "dora"], 3)
    fork.close()
    with pytest.raises(RegieError, match="not the one that signed"):
        open_ledger(old, SIGNER, ledger.clock, known_checkpoint=known)


def test_another_signing_key_is_refused(path):
    Ledger(path).close()
    other = type(SIGNER)(SIGNER.name, bytes(32))
    assert reason_of(lambda: open_ledger(path, other, Time())) == "LEDGER_UNAVAILABLE"


def test_the_registry_and_state_survive_a_restart(path):
    ledger = Ledger(path)
    ledger.record("anna", grant=grant())
    header_hash, _ = ledger.decide(["anna"])
    ledger.sequencer.publish([pb.PublicEvent(participant_suspended=pb.ParticipantSuspended(oin=CITY))]).result(10)
    ledger.close()
    again = Ledger(path, ledger.clock)
    assert again.sequencer.registry.participant(CITY).suspended
    assert not again.release(header_hash).signals  # the permit is known, and its recipient suspended since
    kinds = [event.WhichOneof("body") for _, event, _ in again.events()]
    assert kinds == ["consent_granted", "exchange_decided", "exchange_withheld"]
    again.close()


def test_expired_openings_and_old_answers_are_deleted(path):
    ledger = Ledger(path)
    for person in ("anna", "bert"):
        ledger.record(person, grant=grant())
    delivered, _ = ledger.decide(["anna"], 1)
    waiting, _ = ledger.decide(["bert"], 2)
    ledger.release(delivered)
    ledger.clock.forward(days=3, ms=1)
    late = release_work(pull(waiting, now_ms=ledger.clock()))
    assert reason_of(lambda: ledger.sequencer.submit(late).result(10)) == "NOT_FRESH"
    ledger.decide(["chris"], 3)
    with ledger.sequencer.reader.snapshot() as snapshot:
        assert snapshot.permits(waiting)[0].opening is None
        assert snapshot.permits(delivered)[0].opening  # the resident's copy opens with it
        assert snapshot._all("SELECT count(*) FROM pull_nonce") == [(0,)]
    files = path.read_bytes() + path.with_name("ledger.db-wal").read_bytes()
    assert opening(delivered, 0) in files
    assert opening(waiting, 0) not in files  # overwritten, in the -wal file too
    ledger.close()

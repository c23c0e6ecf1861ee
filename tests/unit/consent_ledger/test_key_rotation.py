"""A ledger that changes its keys: who signs which head, and what is refused."""

import pytest

from consent_ledger.errors import RegieError
from consent_ledger.log.checkpoint import open_checkpoint
from consent_ledger.log.cosignature import MlDsa44Signer
from consent_ledger.log.errors import NoteError
from consent_ledger.log.keys import LogKeys
from consent_ledger.log.note import Signer, open_note
from consent_ledger.sequencer import open_ledger
from consent_ledger.v1 import events_pb2 as pb
from tests.support.ledger import SIGNER, Ledger, Time, reason_of

NEW = Signer(SIGNER.name, b"\x31" * 32)
QUANTUM = MlDsa44Signer(SIGNER.name, b"\x32" * 32)
BOTH = LogKeys((SIGNER, NEW), (QUANTUM,))


def added(key):
    return pb.PublicEvent(log_key_added=pb.LogKeyAdded(verifier_key=key.verifier.format()))


def retired(key):
    return pb.PublicEvent(log_key_retired=pb.LogKeyRetired(verifier_key=key.verifier.format()))


def signers(note):
    return [one.key_id for one in open_note(note, BOTH.verifiers).signatures]


@pytest.fixture
def rotated(path):
    """A ledger under both keys, which said so; nothing is retired yet."""
    Ledger(path).close()
    found = open_ledger(path, BOTH, Time())
    found.publish([added(NEW), added(QUANTUM)]).result(10)
    yield found
    found.close()


def test_the_head_is_signed_by_all_that_are_not_retired(rotated):
    old, new = SIGNER.verifier.key_id, NEW.verifier.key_id
    assert signers(rotated.head.checkpoint) == [old, new]
    assert rotated.keys == BOTH
    rotated.publish([retired(SIGNER)]).result(10)
    assert signers(rotated.head.checkpoint) == [new], "already the head that retires it"
    assert rotated.keys == LogKeys((NEW,), (QUANTUM,))
    rotated.publish([retired(QUANTUM)]).result(10)
    assert rotated.keys == LogKeys((NEW,))


def test_what_would_leave_nobody_to_sign_is_refused_and_the_ledger_goes_on(path):
    Ledger(path).close()
    with open_ledger(path, SIGNER, Time()) as ledger:
        before = ledger.head
        # The log knows the new key; this ledger does not hold it.
        with pytest.raises(RegieError, match="no other key signs this log"):
            ledger.publish([added(NEW), retired(SIGNER)]).result(10)
        assert ledger.head == before
        ledger.publish([added(NEW)]).result(10)
        with pytest.raises(RegieError, match="no other key signs this log"):
            ledger.publish([retired(SIGNER)]).result(10)
        assert ledger.failure is None


def test_a_ledger_opens_with_any_key_that_signed_its_head(rotated, path):
    rotated.close()
    for keys in (SIGNER, NEW, BOTH, LogKeys((NEW,), (QUANTUM,))):
        open_ledger(path, keys, Time()).close()
    other = Signer(SIGNER.name, bytes(32))
    assert reason_of(lambda: open_ledger(path, other, Time())) == "LEDGER_UNAVAILABLE"


def test_a_retired_key_opens_nothing(rotated, path):
    rotated.publish([retired(SIGNER)]).result(10)
    rotated.close()
    assert reason_of(lambda: open_ledger(path, SIGNER, Time())) == "LEDGER_UNAVAILABLE"
    open_ledger(path, NEW, Time()).close()
    # Also when both are there and the head is signed by both again, it is not the one that signs.
    with open_ledger(path, BOTH, Time()) as ledger:
        assert ledger.keys == LogKeys((NEW,), (QUANTUM,))


def test_a_checkpoint_that_only_the_retired_key_signed_still_counts_against_an_old_copy(path):
    ledger = Ledger(path)
    known = ledger.sequencer.head.checkpoint
    ledger.close()
    with open_ledger(path, BOTH, Time()) as both:
        both.publish([added(NEW), retired(SIGNER)]).result(10)
    with pytest.raises(NoteError):
        open_checkpoint(known, [NEW.verifier])
    open_ledger(path, NEW, Time(), known_checkpoint=known).close()
    forged = known.replace(known.split("\n")[2], "A" * 43 + "=")
    assert reason_of(lambda: open_ledger(path, NEW, Time(), known_checkpoint=forged)) == "LEDGER_UNAVAILABLE"

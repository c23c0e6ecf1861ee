"""Erasure under attack: a resident's entries go all at once, are never half gone, and what is answered is gone for good."""

from __future__ import annotations

from pathlib import Path

from consent_ledger.sequencer import Sequencer, open_ledger
from consent_ledger.v1 import consents_pb2
from tests.ledger_faults.plan import WAIT, Tell, answer_of, ask, prepare, steps
from tests.ledger_faults.recheck import check_tables
from tests.support.erasure import erase_request, erase_work
from tests.support.ledger import NOW, SIGNER, Time, subject

PERSON = "anna"
CREATED_MS = NOW + 200


def prepare_erasure(path: Path) -> None:
    """Create a ledger in which the plan was gone through, so that there is something to erase of every kind."""
    prepare(path)
    with open_ledger(path, SIGNER, Time()) as ledger:
        for step in steps():
            assert ask(ledger, step, lambda _name, _answer: None)


def erase(ledger: Sequencer, tell: Tell) -> None:
    """Ask to erase everything about one person."""
    future = ledger.submit(erase_work(erase_request(PERSON, CREATED_MS)))
    future.exception(WAIT)
    tell("erasure/0", answer_of(future))


def salts(path: Path) -> frozenset[bytes]:
    """Return the salts of what is there about the person: random bytes that no other row has."""
    with open_ledger(path, SIGNER, Time()) as ledger, ledger.reader.snapshot() as snapshot:
        rows = snapshot.payloads(list(snapshot.subject_indices(subject(PERSON))))
    return frozenset(row.salt for row in rows.values())


def judge_erasure(path: Path, before: frozenset[bytes], answered: bytes | None) -> str:
    """Open the ledger after its process died, and fail unless all is there, or all is gone; then erase again."""
    heard: list[bytes] = []
    with open_ledger(path, SIGNER, Time()) as ledger:
        check_tables(path)
        with ledger.reader.snapshot() as snapshot:
            rows = snapshot.payloads(list(snapshot.subject_indices(subject(PERSON))))
        left = before & {row.salt for row in rows.values()}
        assert left in (before, frozenset()), "half erased"
        erase(ledger, lambda _name, answer: heard.append(answer))
    check_tables(path)
    if answered is not None:
        assert not left
        assert _said(heard[0]) == _said(answered)
    # By now it was answered in any case: by the one that died, or by us.
    files = b"".join(each.read_bytes() for each in path.parent.iterdir() if each.name.startswith(path.name))
    assert not [salt for salt in before if salt in files], "answered, and still in a file"
    return "nothing erased" if left else "erased, and answered" if answered is not None else "erased, unanswered"


def _said(answer: bytes) -> consents_pb2.Erased:
    return consents_pb2.EraseReceipt.FromString(consents_pb2.EraseResponse.FromString(answer).receipt).erased

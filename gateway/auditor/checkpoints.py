"""A checkpoint that somebody shows us, against the log as we know it (A6, A7): same, older, newer, or a fork.

What we trust is the newest checkpoint that we followed ourselves. Every other root is worth what a consistency proof to
that one says, so the ledger that gives us roots and proofs is not believed: it can only fail to prove.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from consent_ledger.log.checkpoint import Checkpoint, open_checkpoint
from consent_ledger.log.errors import FormatError, NoteError, VerificationError
from consent_ledger.log.keys import AnyVerifier, kind_of
from consent_ledger.log.merkle import EMPTY_ROOT, leaf_hash, root_by_path, verify_consistency
from consent_ledger.log.note import read_note
from consent_ledger.log.quorum import Quorum


class Standing(StrEnum):
    """How a checkpoint stands to our log; each is also the name of its text."""

    SAME = "same"
    OLDER = "older"
    NEWER = "newer"
    AHEAD = "ahead"
    """Signed by the log, and larger than all that the log shows us: it cannot be checked yet."""
    FORK = "fork"
    FOREIGN = "foreign"
    """Of another log: its origin is not ours."""
    UNKNOWN_KEY = "unknown_key"
    """It says that it is of our log, and no key of the log signed it: it proves nothing about the log."""
    FORGED = "forged"
    """A line under the name of a key that we know does not verify."""
    NONE = "none"
    """No checkpoint at all."""


class SignedBy(NamedTuple):
    """A key that signed, with the id that signature lines show."""

    name: str
    key_id: str
    kind: str


@dataclass(frozen=True, slots=True)
class Compared:
    """A checkpoint and how it stands; ``expected_root`` is the one that our log has at its size, where that is known.

    ``witnessed``: which witnesses cosigned what was shown, and when (seconds since 1970).
    """

    standing: Standing
    shown: Checkpoint | None = None
    expected_root: bytes | None = None
    signed_by: tuple[SignedBy, ...] = ()
    witnessed: tuple[tuple[str, int], ...] = ()
    problem: str = ""


class LogReads(Protocol):
    """What is read of a log, and not believed: gateway.auditor.log.Log has all of it."""

    async def entries(self, start: int, count: int) -> Sequence[bytes]:
        """Return leaf bytes from an index on."""
        ...

    async def inclusion(self, index: int, size: int) -> Sequence[bytes]:
        """Return the path of a leaf in the tree of ``size`` leaves."""
        ...

    async def consistency(self, old_size: int, new_size: int) -> Sequence[bytes]:
        """Return the proof that the larger tree begins with the smaller."""
        ...


async def root_at(log: LogReads, size: int, trusted: Checkpoint) -> bytes:
    """Return the root that our log had at an earlier size, proven to belong to the trusted checkpoint.

    Raises VerificationError when the log cannot prove it, and what ``log`` raises.
    """
    if not 0 <= size <= trusted.size:
        raise VerificationError(f"expected a size from 0 to {trusted.size}, got {size}")
    if size == trusted.size:
        return trusted.root
    found = await _claimed_root(log, size)
    proof = await log.consistency(size, trusted.size)
    verify_consistency(size, trusted.size, found, trusted.root, proof)
    return found


class Consistency(NamedTuple):
    """A proof that was verified: the log of ``new`` leaves begins with the log of ``old``."""

    old: int
    new: int
    old_root: bytes
    new_root: bytes
    proof: tuple[bytes, ...]


async def consistency_of(log: LogReads, old: int, new: int, trusted: Checkpoint) -> Consistency:
    """Prove that the log at one size begins with the log at another; raises VerificationError when it does not."""
    if not 0 <= old <= new:
        raise VerificationError(f"expected an old size from 0 to {new}, got {old}")
    old_root, new_root = await root_at(log, old, trusted), await root_at(log, new, trusted)
    proof = tuple(await log.consistency(old, new))
    verify_consistency(old, new, old_root, new_root, proof)
    return Consistency(old, new, old_root, new_root, proof)


@dataclass(frozen=True, slots=True)
class Known:
    """What we hold a log to: ``trusted`` is what we followed ourselves, ``newest`` what the log shows now.

    ``verifiers`` are all keys that the log ever had, ``quorum`` the witnesses we know.
    """

    trusted: Checkpoint
    newest: Checkpoint
    verifiers: Sequence[AnyVerifier]
    quorum: Quorum


async def compare(text: str, known: Known, log: LogReads) -> Compared:
    """Say how a checkpoint that was pasted stands to the log.

    Raises VerificationError when the log cannot prove its own past, and what ``log`` raises when it cannot be reached.
    """
    text, trusted, verifiers = as_note(text), known.trusted, known.verifiers
    try:
        shown = Checkpoint.parse(read_note(text).text)
    except (NoteError, FormatError) as error:
        return Compared(Standing.NONE, problem=str(error))
    if shown.origin != trusted.origin:
        return Compared(Standing.FOREIGN, shown)
    unsigned = _unsigned(text, shown, verifiers)
    if unsigned is not None:
        return unsigned
    try:
        witnessed = tuple(sorted(known.quorum.cosigned(text).items()))
    except NoteError as error:
        return Compared(Standing.FORGED, shown, problem=str(error))
    standing, expected, problem = await _stands(shown, trusted, known.newest, log)
    return Compared(standing, shown, expected, signers_of(text, verifiers), witnessed, problem)


def as_note(text: str) -> str:
    """Return pasted text as the note it was: a form sends other line ends, and people lose the last one."""
    return text.replace("\r\n", "\n").strip("\n ") + "\n"


def signers_of(note: str, verifiers: Sequence[AnyVerifier]) -> tuple[SignedBy, ...]:
    """Return which of these keys have a line on a note that was opened."""
    lines = {(line.name, line.key_id) for line in read_note(note).signatures}
    known = [key for key in verifiers if (key.name, key.key_id) in lines]
    return tuple(SignedBy(key.name, key.key_id.hex(), kind_of(key)) for key in known)


def _unsigned(text: str, shown: Checkpoint, verifiers: Sequence[AnyVerifier]) -> Compared | None:
    try:
        open_checkpoint(text, verifiers)
    except NoteError as error:
        standing = Standing.FORGED if signers_of(text, verifiers) else Standing.UNKNOWN_KEY
        return Compared(standing, shown, problem=str(error))
    return None


async def _stands(
    shown: Checkpoint, trusted: Checkpoint, newest: Checkpoint, log: LogReads
) -> tuple[Standing, bytes | None, str]:
    """Compare a checkpoint that the log did sign; whatever it does not continue is a fork."""
    if shown.size <= trusted.size:
        expected = await root_at(log, shown.size, trusted)
        if expected != shown.root:
            return Standing.FORK, expected, ""
        return (Standing.SAME if shown.size == trusted.size else Standing.OLDER), expected, ""
    if shown.size > newest.size:
        return Standing.AHEAD, None, ""
    # The log has grown since we followed it. Its root at that size counts only if it continues ours.
    try:
        expected = await root_at(log, shown.size, newest)
        proof = await log.consistency(trusted.size, shown.size)
        verify_consistency(trusted.size, shown.size, trusted.root, expected, proof)
    except VerificationError as error:
        return Standing.FORK, None, str(error)
    return (Standing.NEWER if expected == shown.root else Standing.FORK), expected, ""


async def _claimed_root(log: LogReads, size: int) -> bytes:
    """Return the root that the log claims for a size: what the path of its last leaf leads to."""
    if size == 0:
        return EMPTY_ROOT
    found = await log.entries(size - 1, 1)
    if not found:
        raise VerificationError(f"expected leaf {size - 1}, got none: the log is smaller than it was")
    path = await log.inclusion(size - 1, size)
    return root_by_path(size - 1, size, leaf_hash(found[0]), path)

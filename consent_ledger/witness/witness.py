"""The witness: it cosigns a log's checkpoints as long as each begins with the one before (c2sp.org/tlog-witness).

Durable order of one request, and what a crash at each step means:

1. Check form, origin, the log's signatures. Crash: nothing happened.
2. In one transaction: compare with the latest checkpoint of this log, check the proof, sign, store. Crash before the
   commit: as 1, and the signature was shown to nobody. Two requests cannot both start from one latest checkpoint.
3. Answer. Crash: stored but unanswered; the log asks again, is told the stored size (409), and goes on from there.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import structlog

from consent_ledger.clock import Clock
from consent_ledger.log.checkpoint import Checkpoint
from consent_ledger.log.cosignature import CosignatureSigner
from consent_ledger.log.errors import FormatError, NoteError, ProofError, VerificationError
from consent_ledger.log.merkle import EMPTY_ROOT, verify_consistency
from consent_ledger.log.note import NoteVerifier, OpenedNote, Signature, open_note, read_note
from consent_ledger.log.notekey import format_line
from consent_ledger.witness.memory import Cosigned, Memory
from consent_ledger.witness.message import AddCheckpoint, origin_hash

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class KnownLog:
    """A log that is witnessed: its origin, and its keys, one of which must sign every checkpoint."""

    origin: str
    verifiers: tuple[NoteVerifier, ...]

    def __post_init__(self) -> None:
        """Refuse a log that could never be checked."""
        if not self.verifiers or any(verifier.name != self.origin for verifier in self.verifiers):
            raise NoteError(f"the log {self.origin} needs keys, and all of them have its origin as their name")


class Refusal(Exception):  # noqa: N818  (an answer of the protocol, not a failure)
    """A checkpoint that is not cosigned: the HTTP status, why, and for a 409 the size to go on from."""

    def __init__(self, status: int, text: str, size: int | None = None) -> None:
        """Say it."""
        super().__init__(text)
        self.status, self.text, self.size = status, text, size


class Witness:
    """Cosigns for the logs it knows. Thread-safe."""

    def __init__(
        self, signers: Sequence[CosignatureSigner], logs: Collection[KnownLog], memory: Memory, clock: Clock
    ) -> None:
        """Take its keys (all of one name), the logs it knows, and its memory; raises NoteError on contradictions."""
        if len({signer.name for signer in signers}) != 1:
            raise NoteError("a witness has one name and at least one key")
        self.name = signers[0].name
        self._signers = tuple(signers)
        self._logs = {log.origin: log for log in logs}
        if len(self._logs) != len(logs):
            raise NoteError("a log is named twice")
        self._memory = memory
        self._clock = clock

    def add_checkpoint(self, body: bytes) -> str:
        """Cosign the checkpoint of a request and return the signature lines, once that is durable.

        Raises Refusal with the status of the specification, and WitnessMemoryError when nothing can be stored.
        """
        request, checkpoint, opened = self._admit(body)
        if request.old_size > checkpoint.size:
            raise Refusal(400, f"old size {request.old_size} is larger than the checkpoint's {checkpoint.size}")
        lines = ""

        def decide(latest: Cosigned | None) -> Cosigned:
            nonlocal lines
            _check_continues(latest, request, checkpoint)
            seconds = self._time(latest)
            lines = "".join(signer.line(opened.text, seconds) for signer in self._signers)
            note = f"{opened.text}\n{_log_lines(opened)}{lines}"
            origin, size, root = checkpoint.origin, checkpoint.size, checkpoint.root
            return Cosigned(origin, origin_hash(origin), size, root, seconds, note)

        try:
            self._memory.step(checkpoint.origin, decide)
        except _InconsistentError as problem:
            raise self._keep(checkpoint.origin, str(problem), body) from None
        return lines

    def latest(self, hashed_origin: str) -> str | None:
        """Return the latest cosigned checkpoint of the log whose origin has this SHA-256, with its signatures."""
        found = self._memory.by_hash(hashed_origin)
        return found and found.note

    def _admit(self, body: bytes) -> tuple[AddCheckpoint, Checkpoint, OpenedNote]:
        """Read a request and let only a log that is known and that signed it go on."""
        try:
            request = AddCheckpoint.parse(body)
            checkpoint = Checkpoint.parse(read_note(request.note).text)
        except (FormatError, NoteError) as error:
            raise Refusal(400, str(error)) from None
        log = self._logs.get(checkpoint.origin)
        if log is None:
            raise Refusal(404, "this witness does not know a log of this origin")
        try:
            return request, checkpoint, open_note(request.note, log.verifiers)
        except NoteError as error:
            raise Refusal(403, str(error)) from None

    def _time(self, latest: Cosigned | None) -> int:
        """Return the time to sign, in seconds; a cosignature never says an earlier time than the one before."""
        seconds = self._clock() // 1_000
        if latest is not None and seconds < latest.seconds:
            behind = latest.seconds - seconds
            _log.error("witness_clock_behind", role="witness", seconds=behind)
            raise Refusal(503, f"the clock of this witness is {behind} s before its latest cosignature of this log")
        return seconds

    def _keep(self, origin: str, problem: str, body: bytes) -> Refusal:
        """Keep what a log signed and should not have, and alarm: it may be the proof that the log shows two faces."""
        _log.critical("log_inconsistent", role="witness", reason=problem)
        self._memory.keep_evidence(origin, self._clock() // 1_000, problem, body)
        return Refusal(422, problem)


class _InconsistentError(VerificationError):
    """What the log signed does not continue what was cosigned."""


def _check_continues(latest: Cosigned | None, request: AddCheckpoint, checkpoint: Checkpoint) -> None:
    """Check that the checkpoint begins with the latest one (tlog-witness, "add-checkpoint")."""
    known_size = latest.size if latest else 0
    if request.old_size != known_size:
        raise Refusal(409, f"the latest cosigned checkpoint has size {known_size}", known_size)
    if request.old_size == checkpoint.size and latest and checkpoint.root != latest.root:
        raise _InconsistentError(f"two roots for size {checkpoint.size}: this is not the log that was cosigned")
    old_root = latest.root if latest else EMPTY_ROOT
    try:
        verify_consistency(request.old_size, checkpoint.size, old_root, checkpoint.root, request.proof)
    except ProofError as error:
        raise _InconsistentError(f"not the log that was cosigned at size {known_size}: {error}") from None


def _log_lines(opened: OpenedNote) -> str:
    """Return the lines of the log's keys, which were verified: what nobody here can check is not passed on."""
    return "".join(map(_line, opened.signatures))


def _line(signature: Signature) -> str:
    return format_line(*signature)

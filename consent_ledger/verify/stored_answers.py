"""The tables of answers given against the log: batches and pulls.

These tables are a memory of what callers were told. The parts of them that the log tells must be as it tells them, and
what the ledger signed must be signed; a pull's ``request_hash`` is bound by nothing (``fsck.UNCHECKED``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError

from consent_ledger.hashing import header_hash
from consent_ledger.log.errors import VerificationError
from consent_ledger.v1 import batch_pb2, decisions_pb2
from consent_ledger.verify.exchanges import Batch, BatchKey
from consent_ledger.verify.facts import Facts
from consent_ledger.verify.problems import Problems
from consent_ledger.verify.signatures import LedgerSignatures
from consent_ledger.verify.snapshot import Snapshot

FORGOTTEN_MS = 3_600_000
"""What is kept for a batch's own time only goes when it expires; the ledger looks every ten minutes."""

_TEXT = frozenset({"sender", "recipient", "purpose"})
CheckNote = Callable[[str, int], None]
"""(checkpoint, log index that it must cover): raises VerificationError."""


class Times(NamedTuple):
    """Times (ms) that tell what is over: by ``head``, that of the newest entry, it must be gone; by ``now`` it may be.

    A ledger also writes, and forgets, while there is nothing to append.
    """

    head: int
    now: int


class _Batch(NamedTuple):
    header_hash: bytes
    sender: bytes
    batch_id: bytes
    recipient: bytes
    purpose: bytes
    request_hash: bytes
    header: bytes
    root: bytes
    response: bytes
    expires_ms: int


class _Pull(NamedTuple):
    header_hash: bytes
    nonce: bytes
    request_hash: bytes
    response: bytes
    expires_ms: int


class KnownBatch(NamedTuple):
    """What other tables need of a batch's row."""

    key: BatchKey
    root: bytes
    expires_ms: int


class AnswerCheck:
    """Compares both tables with the log's decisions; what is wrong goes to ``problems``."""

    def __init__(
        self,
        snapshot: Snapshot,
        facts: Facts,
        problems: Problems,
        *,
        signatures: LedgerSignatures,
        check_note: CheckNote,
        times: Times,
    ) -> None:
        """Compare with complete ``facts``."""
        self.known: dict[bytes, KnownBatch] = {}  # by header hash
        self._snapshot = snapshot
        self._batches = facts.exchanges.batches
        self._gone = frozenset(facts.subjects.gone)
        self._signatures = signatures
        self._check_note = check_note
        self._times = times
        self._problems = problems

    # -- batches ------------------------------------------------------------------------------------------------------

    def batches(self) -> Iterator[int]:
        """Compare ``batch``; yields now and then how many rows were read."""
        seen: set[BatchKey] = set()
        for count, row in enumerate(self._snapshot.table("batch", _Batch._fields, text=_TEXT), 1):
            self._batch(_Batch(*row), seen)
            yield count
        for sender, batch_id in self._batches.keys() - seen:
            name = f"{sender}/{batch_id.hex()}"
            self._problems.wrong("batch", name, "row", "a row: the log has its decisions", "none")

    def _batch(self, row: _Batch, seen: set[BatchKey]) -> None:
        name, hashed = as_hex(row.header_hash), header_hash(as_bytes(row.header))
        self._problems.require("batch", name, "header", row.header_hash, hashed)
        header = parsed(batch_pb2.BatchHeader, row.header)
        told = (header.sender.encode(), header.batch_id, header.recipient.encode(), header.purpose.encode())
        for column, expected, got in zip(("sender", "batch_id", "recipient", "purpose"), told, row[1:5], strict=True):
            self._problems.require("batch", name, column, _text(expected), _text(got))
        self._problems.require("batch", name, "expires_ms", header.expires_ms, row.expires_ms)
        key = (header.sender, header.batch_id)
        seen.add(key)
        self.known[row.header_hash] = self.known[hashed] = KnownBatch(key, row.root, row.expires_ms)
        batch = self._batches.get(key)
        if batch is not None:
            asked = batch.asked.request
            self._problems.require("batch", name, "header", asked.purpose_version, header.purpose_version)
            self._problems.require("batch", name, "header", asked.items, tuple(header.items))
            self._problems.require("batch", name, "root", batch.asked.root, row.root)
        self._response(name, row, batch)

    def _response(self, name: str, row: _Batch, batch: Batch | None) -> None:
        """Check the answer, which is kept until its batch expires and not longer: it lists outcomes."""
        if row.response == b"" and row.expires_ms <= self._times.now:
            return
        if row.expires_ms <= self._times.head - FORGOTTEN_MS:
            self._problems.wrong("batch", name, "response", "none: the batch expired", "some")
        response = parsed(decisions_pb2.DecideResponse, row.response)
        listed = parsed(decisions_pb2.DecisionList, response.decision_list)
        self._signed("batch", name, b"regie/s/decision/v1", response.decision_list, response.signature)
        self._problems.require("batch", name, "response", row.header_hash, listed.header_hash)
        self._problems.require("batch", name, "request_hash", listed.request_hash, row.request_hash)
        self._problems.require("batch", name, "root", listed.root, row.root)
        answered = dict(zip(listed.log_indices, listed.outcomes, strict=False))
        for index, outcome in batch.listed() if batch else ():
            if (got := answered.pop(index, 0)) != outcome:
                self._problems.wrong("batch", name, "response", f"{outcome} for leaf {index}", got)
        unknown = [index for index in answered if index not in self._gone]
        if unknown or len(listed.log_indices) != len(listed.outcomes):
            self._problems.wrong("batch", name, "response", "the decisions of this batch", f"others: {unknown[:1]}")
        try:
            self._check_note(listed.checkpoint, max(listed.log_indices, default=0))
        except VerificationError as error:
            self._problems.wrong("batch", name, "response", "a checkpoint of this log over its decisions", error)

    # -- pulls --------------------------------------------------------------------------------------------------------

    def pulls(self) -> Iterator[int]:
        """Compare ``pull_nonce``, after ``batches``; yields now and then how many rows were read."""
        for count, row in enumerate(self._snapshot.table("pull_nonce", _Pull._fields), 1):
            self._pull(_Pull(*row))
            yield count

    def _pull(self, row: _Pull) -> None:
        name = f"{as_hex(row.header_hash)}/{as_hex(row.nonce)}"
        batch = self.known.get(row.header_hash)
        if batch is None:
            self._problems.wrong("pull_nonce", name, "header_hash", "one of a batch", "one of none")
        response = parsed(decisions_pb2.ReleaseResponse, row.response)
        said = parsed(decisions_pb2.ReleaseStatement, response.statement)
        self._signed("pull_nonce", name, b"regie/s/release/v1", response.statement, response.signature)
        self._problems.require("pull_nonce", name, "header_hash", said.header_hash, row.header_hash)
        self._problems.require("pull_nonce", name, "nonce", said.nonce, row.nonce)
        self._problems.require("pull_nonce", name, "expires_ms", said.expires_ms, row.expires_ms)
        self._problems.require("pull_nonce", name, "response", said.sealed_hash, sha256(response.sealed).digest())
        if batch is not None:
            self._problems.require("pull_nonce", name, "response", batch.root, said.root)

    def _signed(self, table: str, key: object, label: bytes, message: bytes, signature: bytes) -> None:
        try:
            self._signatures.require(label, message, signature)
        except VerificationError as error:
            self._problems.wrong(table, key, "response", "an answer signed by the ledger", error)


def parsed(kind: Callable[[], Any], data: object) -> Any:
    """Return a message; an empty one for other bytes, so that each of its fields is found wrong."""
    message = kind()
    try:
        message.MergeFromString(as_bytes(data))
    except DecodeError:
        return kind()
    return message


def as_bytes(value: object) -> bytes:
    """Return bytes as they are, and none for anything else that a damaged file may hold."""
    return value if isinstance(value, bytes) else b""


def as_hex(value: object) -> str:
    """Return how a key stands in a message."""
    return value.hex() if isinstance(value, bytes) else str(value)


def _text(value: bytes) -> str:
    return value.hex() if len(value) == 16 else value.decode("utf-8", "backslashreplace")

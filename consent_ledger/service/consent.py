"""ConsentService: the resident's choices, and the resident's record. Called by the viewer and the desk only."""

# ruff: noqa: N802  (methods have the names of the contract)
from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from hashlib import sha256
from typing import Any, TypeVar

import grpc.aio

from consent_ledger.clock import Clock
from consent_ledger.errors import RegieError
from consent_ledger.sequencer import Sequencer
from consent_ledger.service import own
from consent_ledger.service.company import others_of
from consent_ledger.service.decision import LEDGER_EPOCH, check_kind
from consent_ledger.service.entries import Row
from consent_ledger.service.exchanges import Page
from consent_ledger.service.ports import LedgerCrypto, Peer
from consent_ledger.service.records import record_of
from consent_ledger.service.summary import summary_of
from consent_ledger.storage.ports import Snapshot
from consent_ledger.v1 import consents_pb2 as pb
from consent_ledger.v1.consents_pb2_grpc import ConsentServiceServicer
from consent_ledger.writing.announce import Announcing
from consent_ledger.writing.erase import EraseWork, Opened, erasable, waiting
from consent_ledger.writing.record import PreparedChange, RecordWork

Context = grpc.aio.ServicerContext[Any, Any]
Result = TypeVar("Result")
_DEFAULT_LIMIT = 100


class ConsentService(ConsentServiceServicer):
    """Choices of residents, over one sequencer."""

    def __init__(
        self,
        sequencer: Sequencer,
        crypto: LedgerCrypto,
        clock: Clock,
        pool: Executor,
        peer: Peer,
        *,
        announcing: Announcing | None = None,
    ) -> None:
        """Serve with these keys; ``peer`` names who calls, ``pool`` runs group operations and reads.

        ``announcing`` says with how many others an erasure waits to be announced in the log.
        """
        self._announcing = announcing or Announcing()
        self._sequencer = sequencer
        self._crypto = crypto
        self._clock = clock
        self._pool = pool
        self._peer = peer

    async def Record(self, request: pb.RecordRequest, context: Context) -> pb.RecordResponse:
        """Record choices, each on its own; answers with a signed receipt once they are durable."""
        check_kind(self._peer(context), "viewer")
        work = await self._in_pool(lambda: self._prepare(request))
        return await asyncio.wrap_future(self._sequencer.submit(work))

    async def GetRecord(self, request: pb.GetRecordRequest, context: Context) -> pb.GetRecordResponse:
        """Return choices and exchanges of one resident, refusals with their exact reason; newest first."""
        check_kind(self._peer(context), "viewer")
        return await self._in_pool(lambda: self._read(request))

    async def PreviewErasure(self, request: pb.PreviewErasureRequest, context: Context) -> pb.PreviewErasureResponse:
        """Return what Erase would erase."""
        check_kind(self._peer(context), "viewer")
        return await self._in_pool(lambda: self._preview(request))

    async def Erase(self, request: pb.EraseRequest, context: Context) -> pb.EraseResponse:
        """Erase everything about one resident in these purposes; answers with a signed receipt once it is gone."""
        check_kind(self._peer(context), "viewer")
        work = await self._in_pool(lambda: self._prepare_erase(request))
        return await asyncio.wrap_future(self._sequencer.submit(work))

    async def GetEntry(self, request: pb.GetEntryRequest, context: Context) -> pb.GetEntryResponse:
        """Return one entry about these rows; raises ENTRY_UNKNOWN, the same for another's and for none."""
        return await self._own(
            context,
            request.rows,
            lambda snapshot, rows: own.entry_of(
                snapshot, self._sequencer.registry, rows, _index(request.log_index), self._clock()
            ),
        )

    async def GetProof(self, request: pb.GetProofRequest, context: Context) -> pb.GetProofResponse:
        """Return the proof of one entry about these rows; raises ENTRY_UNKNOWN."""
        index = _index(request.log_index)
        return await self._own(context, request.rows, lambda snapshot, rows: own.proof_of(snapshot, rows, index))

    async def GetChain(self, request: pb.GetChainRequest, context: Context) -> pb.GetChainResponse:
        """Return the chains of these rows, newest first."""
        limit, before = request.limit, _index(request.before_index)
        return await self._own(
            context, request.rows, lambda snapshot, rows: own.chain_of(snapshot, rows, limit, before)
        )

    async def OpenCopy(self, request: pb.OpenCopyRequest, context: Context) -> pb.OpenCopyResponse:
        """Return what opens the copy of one signal about these rows; raises ENTRY_UNKNOWN or COPY_GONE."""
        index = _index(request.log_index)
        return await self._own(context, request.rows, lambda snapshot, rows: own.opening_of(snapshot, rows, index))

    async def GetSummary(self, request: pb.GetSummaryRequest, context: Context) -> pb.GetSummaryResponse:
        """Return counts over the newest exchanges of these rows."""
        return await self._own(context, request.rows, lambda snapshot, rows: summary_of(snapshot, rows, self._clock()))

    async def GetOthers(self, request: pb.GetOthersRequest, context: Context) -> pb.GetOthersResponse:
        """Return who looked at these rows' record, and who acts in it."""
        return await self._own(context, request.rows, lambda snapshot, rows: others_of(snapshot, rows, self._clock()))

    async def _own(
        self, context: Context, rows: Iterable[pb.Rows], read: Callable[[Snapshot, list[Row]], Result]
    ) -> Result:
        """Read for the viewer in one consistent state of the ledger."""
        check_kind(self._peer(context), "viewer")

        def run() -> Result:
            wanted = self._rows(rows)
            with self._sequencer.reader.snapshot() as snapshot:
                return read(snapshot, wanted)

        return await self._in_pool(run)

    def _preview(self, request: pb.PreviewErasureRequest) -> pb.PreviewErasureResponse:
        subjects = self._of_rows(request.rows, {})
        with self._sequencer.reader.snapshot() as snapshot:
            indices = {index for key in subjects for index in snapshot.subject_indices(key)}
            goes, stays = erasable(snapshot, indices, subjects)
            return pb.PreviewErasureResponse(
                entries=map(_entry, goes), kept=map(_entry, stays), waiting=waiting(snapshot, goes)
            )

    def _prepare_erase(self, request: pb.EraseRequest) -> EraseWork:
        return EraseWork(
            request=request,
            subjects=tuple(self._of_rows(request.rows, {})),
            request_hash=sha256(b"regie/erase/v1" + request.SerializeToString(deterministic=True)).digest(),
            sign=lambda receipt: self._crypto.sign(b"regie/s/erase/v1", sha256(receipt).digest()),
            announcing=self._announcing,
        )

    def _prepare(self, request: pb.RecordRequest) -> RecordWork:
        subjects = self._subjects(change.rows for change in request.changes)
        return RecordWork(
            changes=[self._prepared(change, subjects) for change in request.changes],
            request_hash=record_request_hash(request),
            sign=lambda receipt: self._crypto.sign(b"regie/s/record/v1", sha256(receipt).digest()),
        )

    def _subjects(self, rows: Iterable[Sequence[pb.Rows]]) -> dict[tuple[str, bytes], bytes]:
        """Compute all subjects of a request, one list per purpose; a list with a bad element is left out."""
        wanted: dict[str, list[bytes]] = {}
        for row in (row for many in rows for row in many):
            wanted.setdefault(row.purpose, []).extend(row.elements)
        found: dict[tuple[str, bytes], bytes] = {}
        for purpose, elements in wanted.items():
            distinct = list(dict.fromkeys(elements))
            try:
                computed = self._crypto.subjects(purpose, LEDGER_EPOCH, distinct)
            except RegieError:
                continue  # each change of this purpose is then tried alone, and answers for its own elements
            found.update(((purpose, element), subject) for element, subject in zip(distinct, computed, strict=True))
        return found

    def _prepared(self, change: pb.Change, known: dict[tuple[str, bytes], bytes]) -> PreparedChange:
        try:
            return PreparedChange(change, tuple(self._of_rows(change.rows, known)))
        except RegieError as error:
            return PreparedChange(change, (), RegieError(error.reason, error.message, field="rows.elements"))

    def _of_rows(self, rows: Iterable[pb.Rows], known: dict[tuple[str, bytes], bytes]) -> list[bytes]:
        found: list[bytes] = []
        for row in rows:
            if all((row.purpose, element) in known for element in row.elements):
                found += [known[row.purpose, element] for element in row.elements]
            else:
                found += self._crypto.subjects(row.purpose, LEDGER_EPOCH, row.elements)
        return found

    def _read(self, request: pb.GetRecordRequest) -> pb.GetRecordResponse:
        rows = self._rows(request.rows)
        page = Page(
            request.limit or _DEFAULT_LIMIT,
            _index(request.before_index),
            request.organisation,
            request.purpose,
        )
        with self._sequencer.reader.snapshot() as snapshot:
            return record_of(snapshot, self._sequencer.registry, rows, self._clock(), page)

    def _rows(self, rows: Iterable[pb.Rows]) -> list[Row]:
        """Return the subjects of rows with their purposes, each once."""
        found = (
            Row(row.purpose, subject)
            for row in rows
            for subject in self._crypto.subjects(row.purpose, LEDGER_EPOCH, row.elements)
        )
        return list(dict.fromkeys(found))

    async def _in_pool(self, function: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function)


def _index(value: int) -> int:
    """Return an index that fits the databases' integers; a larger one names nothing."""
    return min(value, 2**62)


def _entry(entry: Opened) -> pb.ErasableEntry:
    return pb.ErasableEntry(log_index=entry.idx, time_ms=entry.event.time_ms, kind=entry.kind)


def record_request_hash(request: pb.RecordRequest) -> bytes:
    """Return SHA-256("regie/record/v1" || RecordRequest bytes, fields in the order of their numbers)."""
    return sha256(b"regie/record/v1" + request.SerializeToString(deterministic=True)).digest()

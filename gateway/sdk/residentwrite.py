"""Writing for a resident by rows: changes in order, each later than the last, done only on the ledger's receipt."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.message import Message
from sqlalchemy import Connection, select

from consent_ledger.errors import STATUS_OF, RegieError
from consent_ledger.v1 import consents_pb2 as pb
from consent_ledger.v1 import events_pb2
from consent_ledger.viewer.changes import fill
from consent_ledger.viewer.port import AllRows, Result
from gateway.database import Database, table_of
from gateway.sdk.agency import Agency
from gateway.sdk.evaluation import PATIENCE_SECONDS
from gateway.sdk.local import KeyedHash
from gateway.sdk.portal import WrittenAt, remember_written
from gateway.sdk.receipts import read_erased, read_recorded
from gateway.sdk.remote import patiently

_WRITTEN = table_of(WrittenAt)
_TRIES = 3
"""A change is made when the resident clicks. If another process of this portal, with a clock that is ahead, wrote just
before, it is dated again and sent again."""


class Writer:
    """Records and erases for one portal."""

    def __init__(self, agency: Agency, database: Database) -> None:
        """Remember in ``database`` when each row was last written: keyed hashes of rows only."""
        self._agency, self._database = agency, database
        self._hash = KeyedHash(agency.organisation, "portal-rows")

    async def record(
        self, rows: AllRows, capture: events_pb2.Capture, what: Sequence[Message], change_ids: Sequence[bytes] = ()
    ) -> list[Result]:
        """Record changes; raises RegieError when the ledger cannot be reached, or its receipt does not verify."""
        results: dict[int, Result] = {}
        ids = change_ids or [self._agency.rng(16) for _ in what]
        todo = list(range(len(what)))
        for _ in range(_TRIES):
            request = await self._request(rows, capture, [(ids[number], what[number]) for number in todo])
            results.update(zip(todo, await self._send(request), strict=True))
            todo = [number for number in todo if _is_stale(results[number])]
            if not todo:
                break
        return [results[number] for number in range(len(what))]

    async def _request(
        self, rows: AllRows, capture: events_pb2.Capture, what: Sequence[tuple[bytes, Message]]
    ) -> pb.RecordRequest:
        times = await self.times(rows, len(what))
        request = pb.RecordRequest()
        for (change_id, each), created_ms in zip(what, times, strict=True):
            change = request.changes.add(change_id=change_id, created_ms=created_ms, capture=capture)
            fill(change, rows, each)
        return request

    async def _send(self, request: pb.RecordRequest) -> list[Result]:
        agency = self._agency
        answer = await patiently(lambda: agency.remote.record(request), PATIENCE_SECONDS, agency.pause)
        receipt = read_recorded(answer, request, await agency.registry(), agency.log_verifiers)
        return [_result(result) for result in receipt.results]

    async def erase(self, rows: AllRows, capture: events_pb2.Capture, change_id: bytes = b"") -> pb.Erased:
        """Erase everything about these rows; raises as ``record``."""
        agency = self._agency
        (created_ms,) = await self.times(rows, 1)
        request = pb.EraseRequest(
            change_id=change_id or agency.rng(16), rows=rows, created_ms=created_ms, capture=capture
        )
        answer = await patiently(lambda: agency.remote.erase(request), PATIENCE_SECONDS, agency.pause)
        return read_erased(answer, request, await agency.registry(), agency.log_verifiers).erased

    async def times(self, rows: AllRows, count: int) -> list[int]:
        """Return when each of ``count`` changes is written: now, but later than this portal's last about these rows."""
        keys = [self._hash(row.purpose.encode(), element) for row in rows for element in row.elements]
        now = self._agency.clock()

        def take(connection: Connection) -> list[int]:
            query = select(_WRITTEN.c.created_ms).where(_WRITTEN.c.person.in_(keys))
            first = max([now, *(last + 1 for last in connection.execute(query).scalars())])
            remember_written(connection, dict.fromkeys(keys, first + count - 1))
            return list(range(first, first + count))

        return await self._database.run(take)


def _is_stale(result: Result) -> bool:
    return isinstance(result, RegieError) and result.reason == "WRITE_STALE"


def _result(result: pb.ChangeResult) -> Result:
    if result.HasField("log_index"):
        return int(result.log_index)
    reason = result.error.reason if result.error.reason in STATUS_OF else "INTERNAL"
    return RegieError(reason, result.error.description, result.error.field)


def only(results: Sequence[Result]) -> int:
    """Return the log index of the one change that was recorded; raises the ledger's refusal."""
    (result,) = results
    if isinstance(result, RegieError):
        raise result
    return result

"""The portal's side of an erasure: what would go, and that it is gone, on the ledger's signed receipt."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import TypeVar

from consent_ledger.errors import RegieError
from consent_ledger.v1 import consents_pb2, events_pb2
from gateway.sdk.agency import Agency
from gateway.sdk.evaluation import PATIENCE_SECONDS, RowEvaluator
from gateway.sdk.portal import Portal, portal_database, rows_for
from gateway.sdk.receipts import read_erased
from gateway.sdk.remote import patiently
from gateway.sdk.rows import Resident

Answer = TypeVar("Answer")


class Erasing:
    """Has the ledger erase what it holds about a resident, in some purposes or (none named) in all."""

    def __init__(self, agency: Agency) -> None:
        """Act for this agency, whose kind must be viewer."""
        self._agency = agency
        self._portal = Portal(agency)

    async def preview(self, resident: Resident, purposes: Collection[str] = ()) -> consents_pb2.PreviewErasureResponse:
        """Return what would be erased, what would stay, and how many signals would wait in vain."""
        rows = await self._rows(resident, purposes)
        request = consents_pb2.PreviewErasureRequest(rows=rows)
        return await self._patiently(lambda: self._agency.remote.preview_erasure(request))

    async def erase(
        self,
        resident: Resident,
        purposes: Collection[str] = (),
        *,
        via: events_pb2.CapturedVia.ValueType = events_pb2.CAPTURED_VIA_WEB,
        language: str = "nl",
    ) -> consents_pb2.EraseReceipt:
        """Erase; this portal then remembers no choice of the resident either.

        Raises RegieError when the ledger refuses, cannot be reached, or its receipt does not verify: then nothing
        counts as erased, and asking again does no harm.
        """
        agency = self._agency
        chosen = await self._portal.look_up(resident, limit=1)
        rows = await self._rows(resident, purposes)
        with portal_database(agency) as database:
            created_ms = (await database.run(lambda connection: self._portal.times(connection, [resident])))[0]
            capture = events_pb2.Capture(via=via, by=agency.oin, language=language)
            request = consents_pb2.EraseRequest(
                change_id=agency.rng(16), rows=rows, created_ms=created_ms, capture=capture
            )
            answer = await self._patiently(lambda: agency.remote.erase(request))
            receipt = read_erased(answer, request, await agency.registry(), agency.log_verifiers)
            named = {row.purpose for row in rows}
            scopes = [choice.scope for choice in chosen.choices if choice.scope.purpose in named]
            await database.run(lambda connection: self._portal.forget(connection, resident, scopes))
        return receipt

    async def _rows(self, resident: Resident, purposes: Collection[str]) -> list[consents_pb2.Rows]:
        """Return the resident's rows; raises RegieError PURPOSE_UNKNOWN, or FIELD_INVALID when no identifier fits."""
        registry = await self._agency.registry()
        for purpose in purposes:
            registry.purpose(purpose)
        wanted = [purpose.id for purpose in registry.purposes if not purposes or purpose.id in purposes]
        elements: dict[tuple[str, bytes], bytes] = {}
        with portal_database(self._agency) as database:
            evaluator = RowEvaluator(self._agency, database, "ledger")
            await self._portal.evaluate(evaluator, registry, [(purpose, resident) for purpose in wanted], elements)
        rows = [rows_for(registry, purpose, resident, elements) for purpose in wanted]
        found = [row for row in rows if row.elements]
        if not found:
            raise RegieError("FIELD_INVALID", "these purposes go by another identifier than the file has", "resident")
        return found

    async def _patiently(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        return await patiently(call, PATIENCE_SECONDS, self._agency.pause)

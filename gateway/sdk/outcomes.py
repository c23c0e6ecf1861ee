"""Reporting what was done with deliveries (R22): sealed to the ledger, recorded once, and shown to the resident."""

from __future__ import annotations

from dataclasses import asdict
from hashlib import sha256

from sqlalchemy import Connection

from consent_ledger.dates import local_time
from consent_ledger.errors import RegieError
from consent_ledger.hashing import length_prefixed
from consent_ledger.v1 import decisions_pb2, events_pb2
from gateway.crypto import hpke, signatures
from gateway.database import Database
from gateway.sdk import outcomestore
from gateway.sdk.agency import Agency
from gateway.sdk.describe import CHANNELS
from gateway.sdk.inbox import SignalRecord, find_signal, traceparents
from gateway.sdk.outcomestore import Reported
from gateway.sdk.remote import UNREACHABLE, patiently
from gateway.sdk.rows import OutcomeRow
from gateway.telemetry import traces
from gateway.v1 import exchange_pb2

LABEL_OUTCOME = b"regie/s/outcome/v1"
PATIENCE_SECONDS = 10.0


class Reporter:
    """Reports for one recipient, over its open inbox."""

    def __init__(self, agency: Agency, database: Database) -> None:
        """Report as this agency."""
        self._agency, self._database = agency, database

    async def report(self, row: OutcomeRow) -> tuple[int, bool]:
        """Report one row; returns its log index, and whether it was reported before: the same again changes nothing.

        Raises RegieError FIELD_INVALID for an unknown delivery or channel, and as the ledger refuses.
        """
        channel = _channel(row.channel)
        record = await self._find(row.delivery_id)
        trails = await traceparents(self._database, [record.header_hash])
        with self._agency.tracing.begin("outcome", trails.get(record.header_hash, "")):
            traces.describe(purpose=record.purpose, sender=record.sender, recipient=self._agency.oin, count=1)
            return await self._report(row, record, channel)

    async def _report(
        self, row: OutcomeRow, record: SignalRecord, channel: events_pb2.Channel.ValueType
    ) -> tuple[int, bool]:
        content = _content(row)
        kept = Reported(
            record.header_hash,
            record.position,
            row.when_ms,
            row.channel,
            row.result,
            row.reached,
            row.part_of_day,
            outcomestore.PENDING,
        )
        fresh = (await self._request(record, row, channel)).SerializeToString()

        def claim(connection: Connection) -> tuple[bytes, int]:
            return outcomestore.claim(connection, kept, content, fresh)

        data, before = await self._database.run(claim)
        if before != outcomestore.PENDING:
            return before, True
        index = await self._send(exchange_pb2.ReportOutcomeRequest.FromString(data), kept, content)
        await self._database.run(lambda connection: outcomestore.answered(connection, kept, content, index))
        return index, False

    async def _send(self, message: exchange_pb2.ReportOutcomeRequest, kept: Reported, content: bytes) -> int:
        agency = self._agency
        try:
            answer = await patiently(lambda: agency.remote.report(message), PATIENCE_SECONDS, agency.pause)
        except RegieError as error:
            if error.reason not in UNREACHABLE | {"INTERNAL"}:  # else it may be recorded: the same bytes go again
                await self._database.run(lambda connection: outcomestore.drop(connection, kept, content))
            raise
        return int(answer.log_index)

    async def _find(self, delivery_id: str) -> SignalRecord:
        batch, _, position = delivery_id.partition("-")
        try:
            record = await find_signal(self._database, bytes.fromhex(batch), int(position))
        except ValueError:
            record = None
        if record is None:
            raise RegieError("FIELD_INVALID", "no delivery has this id: see `regie receive --json`", "delivery_id")
        return record

    async def _request(
        self, record: SignalRecord, row: OutcomeRow, channel: events_pb2.Channel.ValueType
    ) -> exchange_pb2.ReportOutcomeRequest:
        agency = self._agency
        registry = await agency.registry()
        report = decisions_pb2.OutcomeReport(
            position=record.position,
            offer=row.offer or row.result,
            channel=channel,
            when_ms=row.when_ms,
            language=row.language,
            form_of_address=row.form_of_address,
            other_person=row.other_person,
        )
        public = registry.operator("ledger").key("hpke").public
        sealed = hpke.seal(public, b"regie/outcome/v1" + record.header_hash, report.SerializeToString())
        key = signatures.signing_key(agency.organisation.key("sign"))
        digest = sha256(sealed).digest()
        return exchange_pb2.ReportOutcomeRequest(
            report=decisions_pb2.ReportOutcomeRequest(
                header_hash=record.header_hash,
                sealed=sealed,
                recipient=agency.oin,
                recipient_key_id=registry.participant(agency.oin).key("sign").key_id,
                signature=signatures.sign(key, LABEL_OUTCOME, record.header_hash, digest),
            )
        )


def _content(row: OutcomeRow) -> bytes:
    """Return what tells reports about one delivery apart. Of the time only the day: a row of today has no other."""
    said = asdict(row) | {"when_ms": local_time(row.when_ms).date()}
    return sha256(length_prefixed(*(str(value).encode() for value in said.values()))).digest()


def _channel(name: str) -> events_pb2.Channel.ValueType:
    if not name:
        return events_pb2.CHANNEL_UNSPECIFIED
    if name not in CHANNELS:
        raise RegieError("FIELD_INVALID", f"expected one of {', '.join(CHANNELS)}", "channel")
    return CHANNELS[name]

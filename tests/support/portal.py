"""The port of the residents' pages in memory: a real ledger behind it, a transparent crypto, no gateway and no network.

    portal = MemoryPortal()
    rows = await portal.rows(ANNA)
    await portal.change(rows, BY_WEB, grant())
    sent = portal.send(ANNA)          # a supplier reports arrears; sent.log_index is the decision
    portal.collect(sent)              # the city collects it ...
    portal.report(sent, "gesprek", events_pb2.CHANNEL_TELEFOON)  # ... and says what it did

Decisions, records, refusals and times are those of the real ledger; ``portal.clock.forward(days=8)`` moves its clock.
``portal.fails = "LEDGER_UNAVAILABLE"`` makes every call fail so.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any

from consent_ledger.errors import RegieError
from consent_ledger.log.keys import LogKeys
from consent_ledger.opening import load, write_first
from consent_ledger.registry import Registry
from consent_ledger.sequencer import Limits, Sequencer
from consent_ledger.service.consent import ConsentService
from consent_ledger.service.log import LogService
from consent_ledger.storage.memory import MemoryLedger
from consent_ledger.v1 import consents_pb2 as pb
from consent_ledger.v1 import decisions_pb2, events_pb2, log_pb2
from consent_ledger.viewer.changes import fill, rows_of
from consent_ledger.viewer.port import AllRows, DeskCode, Invitation, Person, Result, What, normal_code
from consent_ledger.writing.afterwards import AcknowledgeWork, OutcomeWork
from tests.support.ledger import (
    ARREARS,
    CITY,
    SIGNER,
    SUPPLIER,
    VIEWER,
    Counter,
    Ledger,
    Time,
    element,
    first_events,
    grant,
)
from tests.support.ledger_crypto import FakeCrypto
from tests.support.ledger_services import Context

__all__ = ["ANNA", "BEN", "BY_DESK", "BY_WEB", "MemoryPortal", "Sent", "grant"]

ANNA, BEN = Person(bsn="999990019"), Person(bsn="999990020")
BY_WEB = events_pb2.Capture(via=events_pb2.CAPTURED_VIA_WEB, by="self", language="nl")
BY_DESK = events_pb2.Capture(via=events_pb2.CAPTURED_VIA_DESK, by="balie-7", language="nl")


class Sent:
    """A signal that was decided: its batch, and the index of the decision."""

    def __init__(self, header_hash: bytes, log_index: int) -> None:
        self.header_hash, self.log_index = header_hash, log_index


class MemoryPortal:
    """Answers ``consent_ledger.viewer.port.Portal``."""

    def __init__(self, clock: Time | None = None, ledger: Ledger | None = None) -> None:
        self.clock = ledger.clock if ledger else clock or Time()
        self.ledger = ledger or _ledger(self.clock)
        self.fails = ""
        self.calls: list[str] = []
        self.codes: list[tuple[Person, str]] = []  # what was sent to residents: whom, and the code
        self._random = Counter()
        self._batch = 0
        self._pool = ThreadPoolExecutor(1)
        self._texts: dict[bytes, str] = {}
        viewer = lambda _context: self.ledger.sequencer.registry.participant(VIEWER)  # noqa: E731  (one line)
        self._service = ConsentService(self.ledger.sequencer, FakeCrypto(), self.clock, self._pool, viewer)
        self._log = LogService(self.ledger.sequencer, self._pool, viewer)

    def close(self) -> None:
        self.ledger.close()
        self._pool.shutdown()

    # -- what organisations do -------------------------------------------------------------------------------------

    def send(self, person: Person, *, sender: str = SUPPLIER, purpose: str = ARREARS, **header: Any) -> Sent:
        """An organisation reports something about somebody."""
        self._batch += 1
        header_hash, listed = self.ledger.decide([_name(person)], self._batch, sender=sender, purpose=purpose, **header)
        return Sent(header_hash, listed.log_indices[0])

    def collect(self, sent: Sent, *, acknowledge: bool = True) -> None:
        """The recipient collects it, as far as the ledger releases it."""
        self._batch += 1
        self.ledger.release(sent.header_hash, self._batch)
        if acknowledge:
            said = decisions_pb2.Acknowledgement(header_hash=sent.header_hash, time_ms=self.clock(), recipient=CITY)
            self.ledger.sequencer.submit(AcknowledgeWork(said)).result(10)

    def report(self, sent: Sent, offer: str, channel: int, **how: Any) -> None:
        """The recipient says what it did."""
        self._batch += 1
        report = decisions_pb2.OutcomeReport(position=0, offer=offer, channel=channel, when_ms=self.clock(), **how)
        name = sha256(b"outcome" + self._batch.to_bytes(8, "big")).digest()
        self.ledger.sequencer.submit(OutcomeWork(sent.header_hash, CITY, report, name)).result(10)

    # -- the port --------------------------------------------------------------------------------------------------

    @property
    def log_verifier_keys(self) -> str:
        return SIGNER.verifier.format()

    async def registry(self) -> Registry:
        self._called("registry")
        return self.ledger.sequencer.registry

    async def rows(self, person: Person) -> tuple[pb.Rows, ...]:
        self._called("rows")
        if not _name(person):
            raise RegieError("FIELD_INVALID", "must be 8 or 9 digits", "bsn")
        purposes = self.ledger.sequencer.registry.purposes
        return tuple(pb.Rows(purpose=purpose.id, elements=[element(_name(person))]) for purpose in purposes)

    def login_hash(self, login: str) -> bytes:
        return sha256(b"login" + login.encode()).digest()

    async def record(self, rows: AllRows, **page: Any) -> pb.GetRecordResponse:
        self._called("record")
        page.setdefault("limit", 20)
        return await self._service.GetRecord(pb.GetRecordRequest(rows=rows, **page), Context())

    async def summary(self, rows: AllRows) -> pb.GetSummaryResponse:
        self._called("summary")
        return await self._service.GetSummary(pb.GetSummaryRequest(rows=rows), Context())

    async def entry(self, rows: AllRows, log_index: int) -> pb.GetEntryResponse:
        self._called("entry")
        return await self._service.GetEntry(pb.GetEntryRequest(rows=rows, log_index=log_index), Context())

    async def proof(self, rows: AllRows, log_index: int) -> pb.GetProofResponse:
        self._called("proof")
        return await self._service.GetProof(pb.GetProofRequest(rows=rows, log_index=log_index), Context())

    async def public_entries(self) -> list[log_pb2.PublicEntry]:
        self._called("public_entries")
        return list((await self._log.GetPublicEvents(log_pb2.GetPublicEventsRequest(), Context())).entries)

    async def checkpoint(self) -> str:
        self._called("checkpoint")
        return (await self._log.GetCheckpoint(log_pb2.GetCheckpointRequest(published=True), Context())).checkpoint

    async def inclusion(self, index: int, size: int) -> list[bytes]:
        self._called("inclusion")
        request = log_pb2.GetInclusionProofRequest(index=index, size=size)
        return list((await self._log.GetInclusionProof(request, Context())).hashes)

    async def consistency(self, old_size: int, new_size: int) -> list[bytes]:
        self._called("consistency")
        request = log_pb2.GetConsistencyProofRequest(old_size=old_size, new_size=new_size)
        return list((await self._log.GetConsistencyProof(request, Context())).hashes)

    async def chain(
        self, rows: AllRows, purpose: str, *, limit: int = 100, before_index: int = 0
    ) -> pb.GetChainResponse:
        self._called("chain")
        chosen = rows_of(rows, purpose)
        return await self._service.GetChain(
            pb.GetChainRequest(rows=chosen, limit=limit, before_index=before_index), Context()
        )

    async def copy(self, rows: AllRows, log_index: int) -> pb.SignalCopy:
        """What a supplier says about arrears, whatever was sent: this ledger holds no signals."""
        self._called("copy")
        await self._service.OpenCopy(pb.OpenCopyRequest(rows=rows, log_index=log_index), Context())
        label = events_pb2.Text(nl="Hoe lang", en="How long")
        value = events_pb2.Text(nl="1 tot 2 maanden", en="1 to 2 months")
        not_shared = events_pb2.Text(nl="Niet gedeeld: het bedrag.", en="Not shared: the amount.")
        return pb.SignalCopy(lines=[pb.CopyLine(label=label, value=value)], not_shared=not_shared)

    async def questions(self, rows: AllRows) -> list[pb.QuestionInClear]:
        self._called("questions")
        record = await self._service.GetRecord(pb.GetRecordRequest(rows=rows, limit=1), Context())
        return [pb.QuestionInClear(record=each, text=self._texts[each.question_id]) for each in record.questions]

    async def others(self, rows: AllRows) -> pb.GetOthersResponse:
        self._called("others")
        return await self._service.GetOthers(pb.GetOthersRequest(rows=rows), Context())

    async def change(
        self, rows: AllRows, capture: events_pb2.Capture, *what: What, change_ids: Sequence[bytes] = ()
    ) -> list[Result]:
        self._called("change")
        return await self._record(rows, capture, *what, ids=change_ids)

    async def view(self, rows: AllRows, capture: events_pb2.Capture, kind: events_pb2.ViewKind.ValueType) -> int:
        self._called("view")
        return _index(await self._record(rows, capture, pb.View(kind=kind)))

    async def ask(
        self,
        rows: AllRows,
        capture: events_pb2.Capture,
        *,
        organisation: str,
        purpose: str,
        text: str,
        about_index: int = 0,
        change_id: bytes = b"",
    ) -> pb.QuestionInClear:
        self._called("ask")
        sealed = pb.Ask(
            organisation=organisation,
            about_index=about_index,
            sealed=b"sealed",
            organisation_key_id=self.ledger.sequencer.registry.participant(organisation).key("hpke").key_id,
            sealed_viewer=b"sealed",
            viewer_key_id=self.ledger.sequencer.registry.participant(VIEWER).key("hpke").key_id,
        )
        index = _index(await self._record(rows_of(rows, purpose), capture, sealed, ids=_ids(change_id)))
        record = await self._service.GetRecord(pb.GetRecordRequest(rows=rows, limit=1), Context())
        asked = next(each for each in record.questions if each.log_index == index)
        self._texts[asked.question_id] = text
        return pb.QuestionInClear(record=asked, text=text)

    async def invite(
        self,
        rows: AllRows,
        capture: events_pb2.Capture,
        *,
        mandate: events_pb2.Mandate.ValueType,
        relation: events_pb2.Relation.ValueType,
        months: int,
        purposes: Sequence[str] = (),
        change_id: bytes = b"",
    ) -> Invitation:
        self._called("invite")
        reference, code = self._code("ABCD", change_id)
        added = pb.AddRepresentative(
            reference=reference,
            mandate=mandate,
            relation=relation,
            months=months,
            purposes=purposes,
            code_hash=sha256(b"regie/invitation/v1" + reference + code.encode()).digest(),
        )
        return Invitation(_index(await self._record(rows, capture, added, ids=_ids(change_id))), reference, code)

    async def accept(
        self, rows: AllRows, login: bytes, code: str, *, change_id: bytes = b""
    ) -> pb.RepresentativeRecord:
        self._called("accept")
        capture = events_pb2.Capture(via=events_pb2.CAPTURED_VIA_REPRESENTATIVE)
        taken = pb.AcceptRepresentative(who=login, code=normal_code(code))
        _index(await self._record(rows, capture, taken, ids=_ids(change_id)))
        return await self.mandate(rows, login)

    async def mandate(self, rows: AllRows, login: bytes) -> pb.RepresentativeRecord:
        self._called("mandate")
        others = await self._service.GetOthers(pb.GetOthersRequest(rows=rows), Context())
        for each in others.representatives:
            if each.who == login and not each.ended_ms and self.clock() < each.valid_until_ms:
                return each
        raise RegieError("BEYOND_MANDATE", "this login represents nobody here")

    async def send_code(
        self,
        rows: AllRows,
        capture: events_pb2.Capture,
        channel: events_pb2.CodeChannel.ValueType,
        person: Person,
        *,
        change_id: bytes = b"",
    ) -> DeskCode:
        self._called("send_code")
        case_id, code = self._code("WXYZ", change_id)
        issued = pb.IssueCode(
            case_id=case_id,
            channel=channel,
            code_hash=sha256(b"regie/presence/v1" + case_id + code.encode()).digest(),
        )
        _index(await self._record(rows, capture, issued, ids=_ids(change_id)))
        self.codes.append((person, code))
        return DeskCode(case_id, self.clock() + 3_600_000)

    async def preview_erasure(self, rows: AllRows) -> pb.PreviewErasureResponse:
        self._called("preview_erasure")
        return await self._service.PreviewErasure(pb.PreviewErasureRequest(rows=rows), Context())

    async def erase(self, rows: AllRows, capture: events_pb2.Capture, *, change_id: bytes = b"") -> pb.Erased:
        self._called("erase")
        name = change_id or self._random(16)
        request = pb.EraseRequest(change_id=name, rows=rows, created_ms=self._written(), capture=capture)
        answer = await self._service.Erase(request, Context())
        return pb.EraseReceipt.FromString(answer.receipt).erased

    def _code(self, begins: str, change_id: bytes) -> tuple[bytes, str]:
        """A reference and a code; the same again for the same change."""
        reference = sha256(change_id).digest()[:16] if change_id else self._random(16)
        return reference, f"{begins}{int.from_bytes(reference) % 10_000 if change_id else self._random.count:04d}"

    async def _record(
        self, rows: AllRows, capture: events_pb2.Capture, *what: Any, ids: Sequence[bytes] = ()
    ) -> list[Result]:
        request = pb.RecordRequest()
        for number, each in enumerate(what):
            name = ids[number] if ids else self._random(16)
            change = request.changes.add(change_id=name, created_ms=self._written(), capture=capture)
            fill(change, rows, each)
        answer = await self._service.Record(request, Context())
        results = pb.RecordReceipt.FromString(answer.receipt).results
        return [
            RegieError(each.error.reason, each.error.description, each.error.field)
            if each.HasField("error")
            else each.log_index
            for each in results
        ]

    def _written(self) -> int:
        self.clock.writes += 1
        return self.clock() + self.clock.writes

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if self.fails:
            raise RegieError(self.fails, "as the test wants it")


def _ledger(clock: Time) -> Ledger:
    memory, keys = MemoryLedger(), LogKeys.of(SIGNER)
    store = memory.open()
    write_first(store, keys, first_events(), clock(), Counter())
    ledger = Ledger.__new__(Ledger)
    ledger.path, ledger.clock = "memory", clock
    ledger.sequencer = Sequencer(
        store, load(store, keys), keys, clock, rng=Counter(), limits=Limits(), again=lambda _note: (store, None)
    )
    return ledger


def _name(person: Person) -> str:
    return person.bsn or f"{person.postcode}{person.house_number}{person.birth_date}"


def _ids(change_id: bytes) -> list[bytes]:
    return [change_id] if change_id else []


def _index(results: Sequence[Result]) -> int:
    (result,) = results
    if isinstance(result, RegieError):
        raise result
    return result

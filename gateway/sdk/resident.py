"""The port of the residents' pages over gRPC: rows at the gateway, records at the ledger, copies from both.

Holds the viewer's keys. An identifier is known while ``rows`` or ``send_code`` runs and is kept nowhere here; all else
is asked with rows. What the ledger says is believed when it is signed or proven, never because it was said.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import TypeVar

from consent_ledger.errors import RegieError
from consent_ledger.others import CODE_MS, invitation_hash, presence_hash
from consent_ledger.registry import Registry
from consent_ledger.v1 import consents_pb2 as pb
from consent_ledger.v1 import events_pb2, log_pb2
from consent_ledger.viewer.changes import rows_of
from consent_ledger.viewer.port import AllRows, DeskCode, Invitation, Person, Result, What, normal_code
from gateway.crypto.identifiers import AddressBirthDate, Bsn, IdentifierError
from gateway.database import Database
from gateway.home import Home
from gateway.sdk import codes
from gateway.sdk.agency import Agency
from gateway.sdk.evaluation import RowEvaluator
from gateway.sdk.local import KeyedHash
from gateway.sdk.portal import Portal, portal_database, rows_for
from gateway.sdk.post import Post, SpoolPost
from gateway.sdk.receipts import check_proof
from gateway.sdk.remote import Remote, patiently
from gateway.sdk.residentcopy import Reader, sealed_question
from gateway.sdk.residentwrite import Writer, only
from gateway.sdk.rows import Resident

Answer = TypeVar("Answer")
READ_SECONDS = 4.0
"""How long a page waits for a ledger or gateway that is just starting; then it says that there is a disturbance."""
REGISTRY_MS = 5_000


class ResidentPortal:
    """Answers ``consent_ledger.viewer.port.Portal``. Made by ``open_portal``."""

    def __init__(self, agency: Agency, database: Database, post: Post) -> None:
        """Act for this agency, whose kind must be viewer."""
        self._agency, self._database, self._post = agency, database, post
        self._writer, self._reader = Writer(agency, database), Reader(agency)
        self._login_hash = KeyedHash(agency.organisation, "login")
        self._fetched_ms = 0

    @property
    def log_verifier_keys(self) -> str:
        """The log's verifier keys, one a line."""
        return self._agency.home.log_verifier_key

    async def registry(self) -> Registry:
        """Return the verified directory, at most some seconds old.

        While the gateway does not answer, the one known before: whoever wants to stop something still can.
        """
        now = self._agency.clock()
        if 0 <= now - self._fetched_ms < REGISTRY_MS:
            return await self._agency.registry()
        self._fetched_ms = now
        return await self._agency.refreshed()

    async def rows(self, person: Person) -> tuple[pb.Rows, ...]:
        """Turn an identifier into rows in every purpose, all purposes at once."""
        agency, registry = self._agency, await self.registry()
        resident = _resident(person, agency.clock())
        portal, evaluator = Portal(agency), RowEvaluator(agency, self._database, "ledger")
        elements: dict[tuple[str, bytes], bytes] = {}
        wanted = [purpose.id for purpose in registry.purposes]
        await asyncio.gather(
            *(portal.evaluate(evaluator, registry, [(purpose, resident)], elements) for purpose in wanted)
        )
        found = (rows_for(registry, purpose, resident, elements) for purpose in wanted)
        return tuple(row for row in found if row.elements)

    def login_hash(self, login: str) -> bytes:
        """Return 32 bytes that stand for a login, keyed by this portal."""
        return self._login_hash(login.encode())

    # -- reading --------------------------------------------------------------------------------------------------

    async def record(
        self, rows: AllRows, *, limit: int = 20, before_index: int = 0, organisation: str = "", purpose: str = ""
    ) -> pb.GetRecordResponse:
        """Return choices, pause, preferences and one page of exchanges."""
        request = pb.GetRecordRequest(
            rows=rows, limit=limit, before_index=before_index, organisation=organisation, purpose=purpose
        )
        return await self._read(lambda remote: remote.get_record(request))

    async def summary(self, rows: AllRows) -> pb.GetSummaryResponse:
        """Return counts over the newest exchanges."""
        return await self._read(lambda remote: remote.get_summary(pb.GetSummaryRequest(rows=rows)))

    async def entry(self, rows: AllRows, log_index: int) -> pb.GetEntryResponse:
        """Return one entry; raises ENTRY_UNKNOWN."""
        return await self._read(lambda remote: remote.get_entry(pb.GetEntryRequest(rows=rows, log_index=log_index)))

    async def proof(self, rows: AllRows, log_index: int) -> pb.GetProofResponse:
        """Return the proof of one entry once it checks; raises ENTRY_UNKNOWN, PROOF_INVALID."""
        answer = await self._read(lambda remote: remote.get_proof(pb.GetProofRequest(rows=rows, log_index=log_index)))
        check_proof(answer, log_index, self.log_verifier_keys)
        return answer

    async def chain(
        self, rows: AllRows, purpose: str, *, limit: int = 100, before_index: int = 0
    ) -> pb.GetChainResponse:
        """Return the chains of one purpose."""
        request = pb.GetChainRequest(rows=rows_of(rows, purpose), limit=limit, before_index=before_index)
        return await self._read(lambda remote: remote.get_chain(request))

    async def copy(self, rows: AllRows, log_index: int) -> pb.SignalCopy:
        """Return the readable copy of a signal; raises ENTRY_UNKNOWN, COPY_GONE."""
        return await patiently(lambda: self._reader.copy(rows, log_index), READ_SECONDS, self._agency.pause)

    async def questions(self, rows: AllRows) -> list[pb.QuestionInClear]:
        """Return questions and answers."""
        record = await self.record(rows, limit=1)
        return [self._reader.question(question) for question in record.questions]

    async def others(self, rows: AllRows) -> pb.GetOthersResponse:
        """Return who looked, who represents, and what was tried."""
        return await self._read(lambda remote: remote.get_others(pb.GetOthersRequest(rows=rows)))

    # -- the log --------------------------------------------------------------------------------------------------

    async def public_entries(self) -> Sequence[log_pb2.PublicEntry]:
        """Return the log's public events; the browser checks them against the log itself."""
        return list((await self._read(lambda remote: remote.public_events())).entries)

    async def checkpoint(self) -> str:
        """Return the newest published checkpoint."""
        return await self._read(lambda remote: remote.published_checkpoint())

    async def inclusion(self, index: int, size: int) -> Sequence[bytes]:
        """Return the proof that an entry is in the tree of a size."""
        return await self._read(lambda remote: remote.inclusion(index, size))

    async def consistency(self, old_size: int, new_size: int) -> Sequence[bytes]:
        """Return the proof that one tree begins with another."""
        return await self._read(lambda remote: remote.consistency(old_size, new_size))

    async def _read(self, call: Callable[[Remote], Awaitable[Answer]]) -> Answer:
        remote = self._agency.remote
        return await patiently(lambda: call(remote), READ_SECONDS, self._agency.pause)

    # -- choosing -------------------------------------------------------------------------------------------------

    async def change(
        self, rows: AllRows, capture: events_pb2.Capture, *what: What, change_ids: Sequence[bytes] = ()
    ) -> list[Result]:
        """Record changes in order."""
        return await self._writer.record(rows, capture, what, change_ids)

    async def view(self, rows: AllRows, capture: events_pb2.Capture, kind: events_pb2.ViewKind.ValueType) -> int:
        """Record that somebody looks."""
        return only(await self._writer.record(rows, capture, [pb.View(kind=kind)]))

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
        """Ask an organisation a question."""
        question_id = change_id or self._agency.rng(16)
        asked = sealed_question(
            await self.registry(),
            self._agency.oin,
            question_id,
            organisation=organisation,
            text=text,
            language=capture.language,
            about_index=about_index,
        )
        chosen = rows_of(rows, purpose)
        (result,) = await self._writer.record(chosen, capture, [asked], [question_id])
        if isinstance(result, RegieError) and result.reason != "NONCE_REUSED":
            raise result  # reused: asked before, and sealed anew since, so it is the same question in other bytes
        record = await self.record(chosen, limit=1)
        found = next((question for question in record.questions if question.question_id == question_id), None)
        if found is None:
            raise RegieError("INTERNAL", "the question is recorded, and not in the record")
        return self._reader.question(found)

    # -- representatives ------------------------------------------------------------------------------------------

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
        """Add a representative and return the code for them."""
        reference, code = self._new_code("invitation", change_id)
        added = pb.AddRepresentative(
            reference=reference,
            mandate=mandate,
            relation=relation,
            months=months,
            purposes=purposes,
            code_hash=invitation_hash(reference, code),
        )
        index = only(await self._writer.record(rows, capture, [added], _ids(change_id)))
        return Invitation(index, reference, codes.shown(code))

    async def accept(
        self, rows: AllRows, login: bytes, code: str, *, change_id: bytes = b""
    ) -> pb.RepresentativeRecord:
        """Take up an invitation; raises BEYOND_MANDATE."""
        capture = events_pb2.Capture(via=events_pb2.CAPTURED_VIA_REPRESENTATIVE)
        taken = pb.AcceptRepresentative(who=login, code=normal_code(code))
        only(await self._writer.record(rows, capture, [taken], _ids(change_id)))
        return await self.mandate(rows, login)

    async def mandate(self, rows: AllRows, login: bytes) -> pb.RepresentativeRecord:
        """Return what a login may do; raises BEYOND_MANDATE."""
        now = self._agency.clock()
        for each in (await self.others(rows)).representatives:
            if each.who == login and not each.ended_ms and now < each.valid_until_ms:
                return each
        raise RegieError("BEYOND_MANDATE", "this login represents nobody here")

    # -- desk and paper -------------------------------------------------------------------------------------------

    async def send_code(
        self,
        rows: AllRows,
        capture: events_pb2.Capture,
        channel: events_pb2.CodeChannel.ValueType,
        person: Person,
        *,
        change_id: bytes = b"",
    ) -> DeskCode:
        """Record that a code was sent, then send it: what is not recorded proves nothing."""
        case_id, code = self._new_code("desk-code", change_id)
        issued = pb.IssueCode(case_id=case_id, channel=channel, code_hash=presence_hash(case_id + code.encode()))
        only(await self._writer.record(rows, capture, [issued], _ids(change_id)))
        expires_ms = self._agency.clock() + CODE_MS[channel]
        await asyncio.to_thread(self._post.send, channel, person, codes.shown(code), expires_ms)
        return DeskCode(case_id, expires_ms)

    def _new_code(self, use: str, change_id: bytes) -> tuple[bytes, str]:
        """Return a reference (16 bytes) and a code; the same again for the same change, to nobody without our key."""
        if not change_id:
            return self._agency.rng(16), codes.new_code(self._agency.rng)
        made = KeyedHash(self._agency.organisation, use)(change_id)
        return made[:16], codes.new_code(lambda size: made[16 : 16 + size])

    # -- erasure --------------------------------------------------------------------------------------------------

    async def preview_erasure(self, rows: AllRows) -> pb.PreviewErasureResponse:
        """Return what would be erased."""
        return await self._read(lambda remote: remote.preview_erasure(pb.PreviewErasureRequest(rows=rows)))

    async def erase(self, rows: AllRows, capture: events_pb2.Capture, *, change_id: bytes = b"") -> pb.Erased:
        """Erase everything about these rows."""
        return await self._writer.erase(rows, capture, change_id)


def _ids(change_id: bytes) -> list[bytes]:
    return [change_id] if change_id else []


def _resident(person: Person, now_ms: int) -> Resident:
    """Return the identifiers of a person; raises FIELD_INVALID naming the field and the rule, never the value."""
    today = datetime.fromtimestamp(now_ms / 1000, UTC).date()
    try:
        bsn = Bsn(person.bsn) if person.bsn else None
        address = None
        if person.postcode or person.birth_date:
            address = AddressBirthDate(
                person.postcode,
                person.house_number,
                person.house_letter,
                person.house_addition,
                person.birth_date,
                today=today,
            )
    except IdentifierError as error:
        raise RegieError("FIELD_INVALID", error.message, error.field) from None
    if bsn is None and address is None:
        raise RegieError("FIELD_INVALID", "is needed, or else a whole address with a birth date", "bsn")
    return Resident(bsn, address)


@asynccontextmanager
async def open_portal(
    home: Home, agency: Agency | None = None, post: Post | None = None
) -> AsyncIterator[ResidentPortal]:
    """Connect the viewer of a home; codes go to ``post``, else into ``data/post`` of the viewer (``SpoolPost``)."""
    async with AsyncExitStack() as stack:
        if agency is None:
            agency = await stack.enter_async_context(Agency.open(home, home.operators["viewer"]))
        database = stack.enter_context(portal_database(agency))
        yield ResidentPortal(agency, database, post or SpoolPost(agency.organisation.data / "post"))

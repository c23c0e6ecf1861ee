"""What the residents' pages ask of the rest: one Protocol, whose values are the messages of consent_ledger.v1.

``gateway/sdk/resident.py`` answers it over gRPC, ``tests/support/portal.py`` from memory. After a login the identifier
becomes rows and is forgotten; everything else is asked with these rows, so that no page can ask about somebody else.

Every method may raise RegieError: LEDGER_UNAVAILABLE, EVALUATOR_UNAVAILABLE or GATEWAY_UNAVAILABLE when somebody does
not answer (a page then says "storing"), PROOF_INVALID or SIGNATURE_INVALID when an answer does not check.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from consent_ledger.errors import RegieError
from consent_ledger.registry import Registry
from consent_ledger.v1 import consents_pb2 as pb
from consent_ledger.v1 import events_pb2, log_pb2

AllRows = Sequence[pb.Rows]
"""One resident's rows, one element per purpose and identifier scheme: all that a session keeps of an identifier."""

What = (
    pb.Grant
    | pb.Refuse
    | pb.Withdraw
    | pb.Pause
    | pb.Resume
    | pb.Answer
    | events_pb2.Preferences
    | pb.EndRepresentative
    | pb.Confirm
)
"""What a resident can change. A yes, no, stop or answer is about one scope; the others about all the rows."""

Result = int | RegieError
"""The log index of what is recorded and durable, or why the ledger refused it."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who logged in: at least a BSN, or a whole address with a birth date (YYYY-MM-DD). Never stored, never printed."""

    bsn: str = field(default="", repr=False)
    postcode: str = field(default="", repr=False)
    house_number: str = field(default="", repr=False)
    house_letter: str = field(default="", repr=False)
    house_addition: str = field(default="", repr=False)
    birth_date: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Invitation:
    """The code that a resident gives to a representative: shown once, kept nowhere."""

    log_index: int
    reference: bytes
    code: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class DeskCode:
    """A one-time code is on its way to the resident; who types it in proves that the resident is there."""

    case_id: bytes
    expires_ms: int


class Portal(Protocol):
    """Acts for the viewer's operator at the ledger and the gateway."""

    @property
    def log_verifier_keys(self) -> str:
        """The log's verifier keys (c2sp.org/signed-note), one a line: what proofs are checked with."""
        ...

    # -- who ------------------------------------------------------------------------------------------------------

    async def registry(self) -> Registry:
        """Return the verified directory of participants and purposes, at most some seconds old."""
        ...

    async def rows(self, person: Person) -> tuple[pb.Rows, ...]:
        """Turn an identifier into rows, blinded for both evaluators; raises FIELD_INVALID naming the field at fault."""
        ...

    def login_hash(self, login: str) -> bytes:
        """Return 32 bytes that stand for a login (its pairwise ``sub``), keyed by this portal."""
        ...

    # -- reading --------------------------------------------------------------------------------------------------

    async def record(
        self,
        rows: AllRows,
        *,
        limit: int = 20,
        before_index: int = 0,
        organisation: str = "",
        purpose: str = "",
    ) -> pb.GetRecordResponse:
        """Return choices, pause, preferences, questions, notices, and one page of exchanges, newest first.

        The next page is ``next_before_index``. ``organisation`` and ``purpose`` choose among the exchanges.

        What time makes of a choice is in its record: ``ends_within_days`` (30 or 7, R6), ``quiet_until_ms`` (do not
        offer it again before, R9), ``asked`` (a question card while ``asked.open``; answered with ``pb.Answer``),
        ``self_first`` (until when the resident tries it alone). An exchange has ``solved_by_self`` ("U loste het zelf
        op."), ``outcome_overdue`` (R22), ``outcome.deviations``, and when its recipient was told to stop using it.
        Words for a threshold are those of ``severity.words`` up to ``severity.bands``; "Er is iets veranderd" is
        ``lifeevents.LIFE_EVENTS``, and what it leads to is a Grant of 3 months with ``OCCASION_LIFE_EVENT``.
        """
        ...

    async def summary(self, rows: AllRows) -> pb.GetSummaryResponse:
        """Return counts over the newest exchanges, for charts and cards."""
        ...

    async def entry(self, rows: AllRows, log_index: int) -> pb.GetEntryResponse:
        """Return one entry with what decided and what followed it; raises ENTRY_UNKNOWN when not of these rows."""
        ...

    async def proof(self, rows: AllRows, log_index: int) -> pb.GetProofResponse:
        """Return the proof of one entry, checked; raises ENTRY_UNKNOWN when not of these rows."""
        ...

    async def chain(
        self, rows: AllRows, purpose: str, *, limit: int = 100, before_index: int = 0
    ) -> pb.GetChainResponse:
        """Return the chains of events of one purpose, newest first; raises PURPOSE_UNKNOWN without rows in it."""
        ...

    async def copy(self, rows: AllRows, log_index: int) -> pb.SignalCopy:
        """Return the readable copy of the signal that was decided at this index, checked against the log (R18).

        Raises ENTRY_UNKNOWN when it is not of these rows; COPY_GONE when it was refused, stopped, or is past its time.
        """
        ...

    async def questions(self, rows: AllRows) -> list[pb.QuestionInClear]:
        """Return the resident's questions and their answers, newest first."""
        ...

    async def others(self, rows: AllRows) -> pb.GetOthersResponse:
        """Return who looked, who represents, and what was tried and refused."""
        ...

    # -- the log ---------------------------------------------------------------------------------------------------

    async def public_entries(self) -> Sequence[log_pb2.PublicEntry]:
        """Return the log's public events, as verified for the directory; their paths are for an unnamed size."""
        ...

    async def checkpoint(self) -> str:
        """Return the newest published checkpoint, with the lines of its witnesses; not checked here."""
        ...

    async def inclusion(self, index: int, size: int) -> Sequence[bytes]:
        """Return the proof that an entry is in the tree of a size; not checked here."""
        ...

    async def consistency(self, old_size: int, new_size: int) -> Sequence[bytes]:
        """Return the proof that one tree begins with another; raises FIELD_INVALID for sizes the log has not."""
        ...

    # -- choosing -------------------------------------------------------------------------------------------------

    async def change(
        self, rows: AllRows, capture: events_pb2.Capture, *what: What, change_ids: Sequence[bytes] = ()
    ) -> list[Result]:
        """Record changes in order, each on its own; a result is an index only on the ledger's signed receipt.

        ``change_ids``: 16 bytes for each. The same change under the same id is recorded once, and has the same answer;
        another change under it is NONCE_REUSED. So it is for ``change_id`` below. Without one, each is a new one.

        ``capture`` says how and by whom, with the hash of the wording shown. At a desk it carries
        ``presence_proof(case_id, code)`` for what staff may not do alone; of a representative ``by`` is the reference
        of the representation in hexadecimal. Refusals: PRESENCE_REQUIRED, BEYOND_MANDATE, BEYOND_PURPOSE, WRITE_STALE,
        PURPOSE_PROHIBITED, PURPOSE_UNKNOWN, PARTY_UNKNOWN, FIELD_INVALID.
        """
        ...

    async def view(self, rows: AllRows, capture: events_pb2.Capture, kind: events_pb2.ViewKind.ValueType) -> int:
        """Record that somebody looks: at most once per person, kind and day. Call it before showing anything (R23)."""
        ...

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
        """Ask an organisation a question, sealed to it; returns it with its reference and due date (R21)."""
        ...

    # -- representatives (R38) ------------------------------------------------------------------------------------

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
        """Add a representative, who takes part once they logged in and typed the code."""
        ...

    async def accept(
        self, rows: AllRows, login: bytes, code: str, *, change_id: bytes = b""
    ) -> pb.RepresentativeRecord:
        """Take up an invitation. ``rows`` are the represented resident's, from what the login service said.

        Raises BEYOND_MANDATE when no open invitation has this code.
        """
        ...

    async def mandate(self, rows: AllRows, login: bytes) -> pb.RepresentativeRecord:
        """Return what this login may do for the resident of these rows; raises BEYOND_MANDATE when nothing."""
        ...

    # -- desk and paper (R36, R37) --------------------------------------------------------------------------------

    async def send_code(
        self,
        rows: AllRows,
        capture: events_pb2.Capture,
        channel: events_pb2.CodeChannel.ValueType,
        person: Person,
        *,
        change_id: bytes = b"",
    ) -> DeskCode:
        """Send a one-time code to the resident's own phone or address; whoever asks for it never sees it."""
        ...

    # -- erasure --------------------------------------------------------------------------------------------------

    async def preview_erasure(self, rows: AllRows) -> pb.PreviewErasureResponse:
        """Return what would be erased and what would stay."""
        ...

    async def erase(self, rows: AllRows, capture: events_pb2.Capture, *, change_id: bytes = b"") -> pb.Erased:
        """Erase everything about these rows; the resident alone may, not a representative nor a desk."""
        ...


def presence_proof(case_id: bytes, code: str) -> bytes:
    """Return what a capture carries as proof that the resident typed the code of a case."""
    return case_id + normal_code(code).encode("ascii", "ignore")


def normal_code(code: str) -> str:
    """Return a code as it was made: without spaces and dashes, in capitals, with letters that look like digits read so.

    The alphabet is Crockford's base 32: nobody has to tell O from 0 or I from 1.
    """
    kept = "".join(code.split()).replace("-", "").upper()
    return kept.translate(str.maketrans("OIL", "011"))

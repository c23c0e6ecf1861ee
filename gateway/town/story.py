"""What a scene of the demo is made of, and what it may do in the town.

Scenes talk to a :class:`Stage`; the real one (world.py) is the running system. A scene never decides whether it went
well: it lists what was expected and what was seen.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from gateway.directory.participants import NewParticipant
from gateway.town.people import Resident

NAMES = (
    *("Anna", "Bram", "Carmen", "Daan", "Els", "Fatima", "Gijs", "Hanna"),
    *("Ivo", "Jolanda", "Karim", "Lotte", "Milan", "Noor", "Otto", "Petra"),
)
"""First names of the cast, in the order of the town's first residents."""

Answer = Literal["JA", "NEE", "VRAAG_MIJ_EERST", "EERST_ZELF"]


@dataclass(frozen=True, slots=True)
class Words:
    """One sentence in the product's two languages."""

    nl: str
    en: str


@dataclass(frozen=True, slots=True)
class Person:
    """A resident in the story; the name exists in the story only, no file or message carries it."""

    name: str
    resident: Resident


@dataclass(frozen=True, slots=True)
class Seen:
    """One exchange as its resident reads it. ``withheld`` is the reason it was stopped at delivery, or empty."""

    reason: str
    words: Words
    log_index: int
    released: bool = False
    withheld: str = ""
    deviates: bool = False  # the recipient did otherwise than the resident asked


@dataclass(frozen=True, slots=True)
class Received:
    """One signal as its recipient has it, after all checks of the recipient's own software."""

    resident_ref: str | None
    sender: str
    purpose: str
    signal: dict[str, object]
    preferences: dict[str, object]
    explanation: Words
    receipt: str
    delivery_id: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """Something that must be so."""

    what: str
    expected: object
    got: object

    @property
    def holds(self) -> bool:
        """Whether it is so."""
        return self.expected == self.got


@dataclass(frozen=True, slots=True)
class Scene:
    """What happened in one scene."""

    code: str
    title: Words
    happened: Sequence[Words]
    agency: str
    resident: Words | None
    checks: Sequence[Check]

    @property
    def holds(self) -> bool:
        """Whether everything that must be so is so."""
        return all(check.holds for check in self.checks)


@dataclass(frozen=True, slots=True)
class Report:
    """How a sender reports one resident. ``items`` empty: what the purpose lists; ``recipient``: the municipality."""

    sender: NewParticipant
    purpose: str
    recipient: NewParticipant
    items: tuple[str, ...] = ()
    inferred: bool = False


class Stage(Protocol):
    """What scenes can do. Every method waits until the system has answered."""

    def person(self, name: str) -> Person:
        """Return one of the cast."""

    async def report_arrears(self, person: Person, report: Report) -> str:
        """Send a signal about a bill; returns the sender's answer, for example "geen_toestemming"."""

    async def report_income(self, person: Person, report: Report) -> str:
        """Send a signal about an income; returns the sender's answer."""

    async def newest(self, person: Person, purpose: str) -> Seen:
        """Return the newest exchange about a resident for a purpose, as the resident reads it."""

    async def collect(self, municipality: NewParticipant) -> list[Received]:
        """Let a municipality receive everything that waits for it."""

    async def choose(self, person: Person, report: Report, answer: Answer, months: str = "6") -> str:
        """Record a choice; returns "" or the reason why the ledger did not take it."""

    async def withdraw(self, person: Person, report: Report) -> None:
        """Record that a resident stops a consent."""

    async def answer_question(self, person: Person, report: Report, *, yes: bool) -> None:
        """Record the answer to a question that is open."""

    async def prefer(self, person: Person, purpose: str, preferences: dict[str, object]) -> None:
        """Record how a resident wants to be approached."""

    async def pause(self, person: Person, purpose: str) -> None:
        """Record that a resident pauses everything."""

    async def say_what_was_done(self, municipality: NewParticipant, one: Received, offer: str, channel: str) -> None:
        """Let a municipality report what it did about a signal that it received."""

    async def stop_using(self, municipality: NewParticipant) -> int:
        """Let a municipality acknowledge all stop-use notices; returns how many there were."""

    async def ask(self, person: Person, report: Report, text: str) -> None:
        """Ask the municipality of a report something, as its resident."""

    async def answer_questions(self, municipality: NewParticipant, text: str) -> int:
        """Let a municipality answer all questions that wait for it, alike; returns how many there were."""

    async def invite_helper(self, person: Person, login: str) -> None:
        """Let somebody help a resident: who logs in at the demo as ``login``."""

    async def log_size(self) -> int:
        """Return the number of entries in the log."""


Play = Callable[[Stage], Awaitable[Scene]]

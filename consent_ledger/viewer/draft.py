"""A choice that is being made: what was answered so far, and which question comes next. One choice per screen (R39).

Everything is in the address, so that it works without JavaScript, with the browser's own back button, and is gone when
the resident leaves. Only what is offered is read; anything else counts as not answered.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from starlette.datastructures import ImmutableMultiDict

from consent_ledger import severity
from consent_ledger.purpose import Purpose
from consent_ledger.registry import Registry
from consent_ledger.v1 import consents_pb2
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.viewer.parties import Party, choosable, parties_of
from consent_ledger.viewer.wording import MONTHS, Terms

Step = Literal["doel", "van", "naar", "wat", "antwoord", "maanden", "vanaf", "controle"]
ANSWERS: dict[str, pb.Mode.ValueType] = {
    "ja": pb.MODE_JA,
    "nee": pb.MODE_NEE,
    "vraag": pb.MODE_VRAAG_MIJ_EERST,
    "zelf": pb.MODE_EERST_ZELF,
}
"""In the order of the screen: yes and no come first, beside each other."""
Sent = ImmutableMultiDict[str, str]


@dataclass(frozen=True, slots=True)
class Draft:
    """What was answered so far."""

    purpose: Purpose | None = None
    sender: Party | None = None
    recipient: Party | None = None
    items: tuple[str, ...] = ()
    answer: str = ""
    months: int = 0
    threshold: int | None = None

    @property
    def step(self) -> Step:  # noqa: PLR0911  (one return per screen)
        """The question that comes next; "controle" when all are answered."""
        if self.purpose is None:
            return "doel"
        if self.sender is None:
            return "van"
        if self.recipient is None:
            return "naar"
        if not self.answer:
            return "antwoord" if self.items else "wat"
        if self.answer == "nee":
            return "controle"
        if not self.months:
            return "maanden"
        return "vanaf" if self.threshold is None else "controle"

    def fields(self) -> Iterator[tuple[Step, str]]:
        """Yield what was answered as form fields, in the order of the screens."""
        if self.purpose:
            yield "doel", self.purpose.id
        if self.sender:
            yield "van", self.sender.oin
        if self.recipient:
            yield "naar", self.recipient.oin
        if self.purpose and len(self.purpose.items) > 1:
            yield from (("wat", name) for name in self.items)
        if self.answer:
            yield "antwoord", self.answer
        if self.months:
            yield "maanden", str(self.months)
        if self.threshold is not None and self.purpose and severity.bands(self.purpose):
            yield "vanaf", str(self.threshold)

    def before(self, step: Step) -> list[tuple[str, str]]:
        """Return the fields of the screens before this one."""
        at = ORDER.index(step)
        return [(name, value) for name, value in self.fields() if ORDER.index(name) < at]

    @property
    def scope(self) -> pb.Scope:
        """For whom the choice counts; raises ValueError before purpose, sender and recipient are known."""
        purpose, sender, recipient = self.purpose, self.sender, self.recipient
        if purpose is None or sender is None or recipient is None:
            raise ValueError(f"the screen {self.step!r} comes first")
        return pb.Scope(sender=sender.oin, recipient=recipient.oin, purpose=purpose.id, purpose_version=purpose.version)

    @property
    def terms(self) -> Terms:
        """What the wording says."""
        return Terms(self.scope, ANSWERS[self.answer], self.items, self.months, self.threshold or 0)

    def change(self) -> consents_pb2.Grant | consents_pb2.Refuse:
        """Return the choice as the ledger records it."""
        if self.answer == "nee":
            return consents_pb2.Refuse(scope=self.scope)
        return consents_pb2.Grant(
            scope=self.scope,
            items=self.items,
            mode=ANSWERS[self.answer],
            months=self.months,
            threshold=self.threshold or 0,
        )


ORDER: tuple[Step, ...] = ("doel", "van", "naar", "wat", "antwoord", "maanden", "vanaf", "controle")


def read_draft(sent: Sent, registry: Registry, purposes: frozenset[str]) -> Draft:
    """Read what was answered; ``purposes`` are those the resident has rows in."""
    offered = [purpose for purpose in choosable(registry) if purpose.id in purposes]
    purpose = next((each for each in offered if each.id == sent.get("doel")), None)
    if purpose is None:
        return Draft()
    answer = sent.get("antwoord", "")
    return Draft(
        purpose=purpose,
        sender=_one_of(parties_of(registry, purpose.sender_kinds), sent.get("van")),
        recipient=_one_of(parties_of(registry, purpose.recipient_kinds), sent.get("naar")),
        items=_items(purpose, sent),
        answer=answer if answer in ANSWERS else "",
        months=_number(sent.get("maanden"), months_of(purpose)) or 0,
        threshold=_number(sent.get("vanaf"), thresholds_of(purpose)),
    )


def months_of(purpose: Purpose) -> list[int]:
    """Return for how long one can choose (R6)."""
    return [months for months in MONTHS if months <= purpose.longest_validity_months]


def thresholds_of(purpose: Purpose) -> list[int]:
    """Return from which bands on one can share; 0 is everything, and the smallest band is no more than that (R4)."""
    return [0, *range(2, severity.bands(purpose) + 1)]


def _one_of(parties: list[Party], oin: str | None) -> Party | None:
    """Return the one that was chosen; the only one there is needs no choosing."""
    return parties[0] if len(parties) == 1 else next((each for each in parties if each.oin == oin), None)


def _items(purpose: Purpose, sent: Sent) -> tuple[str, ...]:
    if len(purpose.items) == 1:
        return (purpose.items[0].name,)
    chosen = set(sent.getlist("wat"))
    return tuple(item.name for item in purpose.items if item.name in chosen)


def _number(text: str | None, offered: list[int]) -> int | None:
    """Return the number that was chosen; the only one offered needs no choosing."""
    return offered[0] if len(offered) == 1 else next((number for number in offered if str(number) == text), None)

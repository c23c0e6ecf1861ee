"""A choice that staff writes down for a resident, one question per screen; kept in the address until recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from consent_ledger.purpose import Purpose
from consent_ledger.registry import Registry
from consent_ledger.v1 import consents_pb2, events_pb2
from consent_ledger.viewer.parties import Party, choosable, parties_of
from consent_ledger.viewer.wording import Terms

MONTHS = (3, 6)
"""At the desk and on paper at most six months (R37)."""
MODES: dict[str, events_pb2.Mode.ValueType] = {
    "ja": events_pb2.MODE_JA,
    "vraag": events_pb2.MODE_VRAAG_MIJ_EERST,
    "zelf": events_pb2.MODE_EERST_ZELF,
    "nee": events_pb2.MODE_NEE,
}
STEPS = ("doel", "van", "aan", "antwoord", "maanden")


class Draft(NamedTuple):
    """What is answered so far, and what there is to choose from."""

    purposes: list[Purpose]
    senders: list[Party]
    recipients: list[Party]
    purpose: Purpose | None = None
    sender: Party | None = None
    recipient: Party | None = None
    answer: str = ""
    months: int = 0

    @property
    def step(self) -> str:
        """The next question; "" when every one is answered."""
        months = self.months or self.answer == "nee"
        answered = (self.purpose, self.sender, self.recipient, self.answer, months)
        return next((step for step, value in zip(STEPS, answered, strict=True) if not value), "")

    @property
    def kept(self) -> dict[str, str]:
        """What is answered, for the next address or form."""
        values = (
            self.purpose.id if self.purpose else "",
            self.sender.oin if self.sender else "",
            self.recipient.oin if self.recipient else "",
            self.answer,
            str(self.months or ""),
        )
        return {step: value for step, value in zip(STEPS, values, strict=True) if value}

    @property
    def terms(self) -> Terms:
        """What is chosen; only when every question is answered."""
        assert self.purpose, "every question is answered"
        assert self.sender, "every question is answered"
        assert self.recipient, "every question is answered"
        scope = events_pb2.Scope(
            sender=self.sender.oin,
            recipient=self.recipient.oin,
            purpose=self.purpose.id,
            purpose_version=self.purpose.version,
        )
        return Terms(scope, MODES[self.answer], (), self.months)

    @property
    def change(self) -> consents_pb2.Grant | consents_pb2.Refuse:
        """What the ledger is asked to record."""
        terms = self.terms
        if terms.mode == events_pb2.MODE_NEE:
            return consents_pb2.Refuse(scope=terms.scope)
        items = sorted(self.purpose.item_names) if self.purpose else ()
        return consents_pb2.Grant(scope=terms.scope, items=items, mode=MODES[self.answer], months=self.months)


def draft(registry: Registry, answers: Mapping[str, str], within: frozenset[str]) -> Draft:
    """Read what is answered so far; what was not offered counts as not answered. ``within``: the case's purposes."""
    purposes = [each for each in choosable(registry) if each.id in within]
    purpose = next((each for each in purposes if each.id == answers.get("doel")), None)
    if purpose is None:
        return Draft(purposes, [], [])
    senders, recipients = parties_of(registry, purpose.sender_kinds), parties_of(registry, purpose.recipient_kinds)
    answer = answers.get("antwoord", "")
    months = answers.get("maanden", "")
    return Draft(
        purposes,
        senders,
        recipients,
        purpose,
        _chosen(senders, answers.get("van", "")),
        _chosen(recipients, answers.get("aan", "")),
        answer if answer in MODES else "",
        int(months) if months in map(str, months_of(purpose)) else 0,
    )


def months_of(purpose: Purpose) -> list[int]:
    """Return how long a choice for this purpose may hold when it is recorded here."""
    return [months for months in MONTHS if months <= purpose.longest_validity_months]


def _chosen(parties: list[Party], oin: str) -> Party | None:
    if len(parties) == 1:
        return parties[0]
    return next((each for each in parties if each.oin == oin), None)

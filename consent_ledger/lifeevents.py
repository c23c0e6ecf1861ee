"""'Er is iets veranderd': changes in a life, and the purposes they are a reason to think about (R33).

An offer, never a choice: nothing is recorded until the resident says yes, and then for 3 months. Which change it was is
never sent to the ledger: a divorce or an illness is nobody's business here.
"""

from __future__ import annotations

from dataclasses import dataclass

from consent_ledger.purpose import Text
from consent_ledger.registry import Registry

MONTHS = 3


@dataclass(frozen=True, slots=True)
class LifeEvent:
    """One change; ``signal_types`` are what it may lead to."""

    id: str
    text: Text
    signal_types: tuple[str, ...]


LIFE_EVENTS: tuple[LifeEvent, ...] = (
    LifeEvent("werk-kwijt", Text("Ik ben mijn werk kwijt", "I lost my job"), ("INCOME_DROP", "ARREARS")),
    LifeEvent("minder-werk", Text("Ik werk minder uren", "I work fewer hours"), ("INCOME_DROP",)),
    LifeEvent(
        "uit-elkaar",
        Text("Mijn partner en ik gaan uit elkaar", "My partner and I are separating"),
        ("INCOME_DROP", "ARREARS"),
    ),
    LifeEvent("ziek", Text("Ik ben lang ziek", "I am ill for a long time"), ("INCOME_DROP", "ARREARS")),
    LifeEvent(
        "overleden",
        Text("Iemand in mijn gezin is overleden", "Someone in my family has died"),
        ("INCOME_DROP", "ARREARS"),
    ),
    LifeEvent("kind", Text("Er is een kind gekomen", "A child has come"), ("INCOME_DROP",)),
    LifeEvent("verhuisd", Text("Ik ben verhuisd", "I moved house"), ("ARREARS",)),
    LifeEvent("hoge-rekening", Text("Mijn energierekening is hoger", "My energy bill is higher"), ("ARREARS",)),
    LifeEvent("anders", Text("Er is iets anders veranderd", "Something else has changed"), ("INCOME_DROP", "ARREARS")),
)


def purposes_for(registry: Registry, identity: str) -> list[str]:
    """Return the purposes that a change is a reason to think about, as published; none for a change we do not know."""
    types = {kind for event in LIFE_EVENTS if event.id == identity for kind in event.signal_types}
    active = (purpose for purpose in registry.purposes if not (purpose.prohibited or purpose.retired))
    return [purpose.id for purpose in active if purpose.signal_type in types]

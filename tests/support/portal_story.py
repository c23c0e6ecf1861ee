"""A resident with something to see, over the portal in memory: choices of all kinds, and exchanges of all kinds.

portal = await lively()        # Anna's; Ben's pages are those of a first visit
portal.story["shared"]         # log index of the decision of each exchange, and of each choice, by name
"""

from __future__ import annotations

from consent_ledger.clock import DAY_MS
from consent_ledger.v1 import consents_pb2 as pb
from consent_ledger.v1 import events_pb2
from consent_ledger.viewer import wording
from consent_ledger.viewer.capture import text_hash
from consent_ledger.viewer.catalogue import load_catalogue
from consent_ledger.writing.publish import PublishWork
from tests.support.ledger import (
    CITY,
    INCOME,
    ITEM,
    KINDS,
    NOW,
    OTHER_CITY,
    OTHER_SUPPLIER,
    SUPPLIER,
    TAX_OFFICE,
    Time,
    scope,
)
from tests.support.portal import ANNA, MemoryPortal, Sent

NAMES = {
    SUPPLIER: "Lampje Energie B.V.",
    OTHER_SUPPLIER: "Warmbron Gas en Licht B.V.",
    TAX_OFFICE: "Belastingkantoor Voorbeeldland",
    CITY: "Gemeente Zonneveen",
    OTHER_CITY: "Gemeente Lindewaard",
}
_WORDS = load_catalogue()["nl"]


class StoryPortal(MemoryPortal):
    """The portal in memory, with organisations that have names, and companies among them."""

    def __init__(self, clock: Time | None = None) -> None:
        super().__init__(clock)
        self.story: dict[str, int] = {}
        events = [
            pb_registered(oin, name, private=KINDS[oin] == events_pb2.PARTICIPANT_KIND_ENERGY_SUPPLIER)
            for oin, name in NAMES.items()
        ]
        self.ledger.sequencer.submit(PublishWork(events)).result(10)

    async def choose(self, name: str, what: pb.Grant | pb.Refuse | pb.Withdraw) -> int:
        """Anna chooses, in the words of the pages."""
        registry = await self.registry()
        where = what.scope
        match what:
            case pb.Grant():
                terms = wording.Terms(where, what.mode, tuple(what.items), what.months, what.threshold)
                shown = wording.of_choice(_WORDS, registry, terms)
            case pb.Refuse():
                shown = wording.of_choice(_WORDS, registry, wording.Terms(where, events_pb2.MODE_NEE))
            case _:
                shown = wording.of_stop(_WORDS, registry, where)
        via = events_pb2.CAPTURED_VIA_WEB
        capture = events_pb2.Capture(via=via, by="self", text_hash=text_hash(shown), language="nl")
        (result,) = await self.change(await self.rows(ANNA), capture, what)
        assert isinstance(result, int), result
        self.story[name] = result
        return result

    def happens(self, name: str, sender: str = SUPPLIER, **header: object) -> Sent:
        """Somebody reports something about Anna."""
        sent = self.send(ANNA, sender=sender, **header)
        self.story[name] = sent.log_index
        return sent


def pb_registered(oin: str, name: str, *, private: bool) -> events_pb2.PublicEvent:
    """The same organisation, registered again under its real name."""
    who = events_pb2.ParticipantRegistered(
        oin=oin, kind=KINDS[oin], name=name, private_party=private, certificate=oin.encode()
    )
    return events_pb2.PublicEvent(participant_registered=who)


def yes(mode: int, where: events_pb2.Scope, months: int = 6, **more: object) -> pb.Grant:
    """A consent of the story."""
    return pb.Grant(scope=where, items=[ITEM[where.purpose]], mode=mode, months=months, **more)  # type: ignore[arg-type]


async def lively() -> StoryPortal:
    """Return a portal in which a year of Anna's went by."""
    portal = StoryPortal(Time(NOW - 170 * DAY_MS))
    own, other = scope(), scope(OTHER_SUPPLIER)
    income, elsewhere = scope(TAX_OFFICE, CITY, INCOME), scope(TAX_OFFICE, OTHER_CITY, INCOME)
    portal.happens("no_consent")
    portal.clock.forward(days=2)
    await portal.choose("ended", yes(events_pb2.MODE_JA, scope(recipient=OTHER_CITY), 3))
    await portal.choose("refused_before", pb.Refuse(scope=own))
    portal.clock.forward(days=30)
    portal.happens("refused")
    await portal.choose("stopped", yes(events_pb2.MODE_JA, elsewhere, 12))
    portal.clock.forward(days=25)
    await portal.choose("withdrawal", pb.Withdraw(scope=elsewhere))
    portal.happens("prohibited", TAX_OFFICE, purpose="handhaving", items=["inkomen_gedaald"])
    portal.clock.forward(days=30)
    await portal.choose("shared_by", yes(events_pb2.MODE_JA, own, 3, threshold=2))
    shared = portal.happens("shared", severities=[3])
    portal.clock.forward(days=1)
    portal.collect(shared)
    portal.clock.forward(days=20)
    portal.report(shared, "Gesprek over betalen in delen", events_pb2.CHANNEL_TELEFOON)
    await portal.choose("asked_by", yes(events_pb2.MODE_VRAAG_MIJ_EERST, income, 12))
    await portal.choose("no", pb.Refuse(scope=scope(OTHER_SUPPLIER, OTHER_CITY)))
    portal.clock.forward(days=26)
    await portal.choose("self_by", yes(events_pb2.MODE_EERST_ZELF, other))
    portal.happens("self_first", OTHER_SUPPLIER)
    portal.happens("too_much", items=["betalingsachterstand", "bedrag"], severities=[3])
    portal.clock.forward(days=1)
    portal.happens("asked", TAX_OFFICE, purpose=INCOME)
    portal.happens("waiting", severities=[4])
    portal.clock.forward(days=1)
    return portal

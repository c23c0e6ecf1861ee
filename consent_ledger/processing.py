"""The register of processing activities: what is done with data about residents, by whom, why, and for how long.

Records of the processing log (Logboek Dataverwerkingen) name an activity by its address in this register. A version
that was published is never changed: whoever reads an old record finds what held when it was made. What changes gets
the next version, and the old one stays (`test_a_published_activity_never_changes`).

Texts are for residents: plain Dutch (B1) and equal English.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from consent_ledger.purpose import Text

Party = Literal["ledger", "sender", "recipient"]
PATH = "/verwerkingen"
"""Below it the register is published: the list here, an activity at ``/<id>/<version>``."""


@dataclass(frozen=True, slots=True)
class Activity:
    """One version of a processing activity; ``party`` is who does it, ``ground`` the legal ground."""

    id: str
    version: int
    party: Party
    title: Text
    purpose: Text
    ground: Text
    data: Text
    subjects: Text
    recipients: Text
    retention: Text

    @property
    def path(self) -> str:
        """Where it is published, below the address of the register's host."""
        return f"{PATH}/{self.id}/{self.version}"

    def document(self) -> dict[str, Any]:
        """Return it as JSON has it; texts in both languages."""
        told = ("title", "purpose", "ground", "data", "subjects", "recipients", "retention")
        texts = {name: {"nl": getattr(self, name).nl, "en": getattr(self, name).en} for name in told}
        return {"id": self.id, "version": self.version, "path": self.path, "party": self.party, **texts}


_RESIDENTS = Text("Inwoners over wie een organisatie een bericht wil delen.", "Residents about whom a message is sent.")
_GROUND = Text(
    "De grond van het doel waarvoor wordt gedeeld. Die staat bij dat doel. Daarbovenop beslist de inwoner zelf.",
    "The ground of the purpose of the sharing. It stands with that purpose. On top of that, residents decide.",
)
_ACCOUNT = Text(
    "Verantwoording: de inwoner en de toezichthouder moeten kunnen nagaan wat er is gebeurd (AVG, artikel 5, lid 2).",
    "Accountability: residents and the supervisor must be able to check what happened (GDPR, article 5(2)).",
)
_AT_THE_LEDGER = Text(
    "Zo lang als bij het doel staat, of tot de inwoner het laat wissen.",
    "As long as it says with the purpose, or until the resident has it erased.",
)
_AT_THE_AGENCY = Text(
    "Zo lang als de organisatie het nodig heeft. Vraag het aan de organisatie.",
    "As long as the organisation needs it. Ask the organisation.",
)
_NOBODY = Text("Niemand anders dan de inwoner en de toezichthouder.", "Nobody but the resident and the supervisor.")
_CODE = Text(
    "Een geheime code van de inwoner, het doel, de organisaties en het tijdstip. Geen naam, geen nummer, geen bedrag.",
    "A secret code of the resident, the purpose, the organisations and the time. No name, no number, no amount.",
)

# What activities of one party have in common; a text that changes makes a next version, which says so itself.
_first = partial(Activity, version=1, subjects=_RESIDENTS)
_of_the_ledger = partial(_first, party="ledger", retention=_AT_THE_LEDGER)
_of_an_agency = partial(_first, retention=_AT_THE_AGENCY)

DECIDE = _of_the_ledger(
    id="uitwisseling-beoordelen",
    title=Text("Nagaan of delen mag", "Checking whether sharing is allowed"),
    purpose=Text(
        "Vóór er iets wordt gedeeld: kijken of de inwoner dat goed vindt. Mag het niet, dan gaat er niets door.",
        "Before anything is shared: looking whether the resident agrees. If not, nothing goes through.",
    ),
    ground=_GROUND,
    data=Text(
        "Een geheime code van de inwoner, de keuze van de inwoner, het doel, de organisaties en het tijdstip.",
        "A secret code of the resident, the choice of the resident, the purpose, the organisations and the time.",
    ),
    recipients=Text(
        "De verzender hoort alleen of het mag, niet waarom niet.",
        "The sender only hears whether it is allowed, not why not.",
    ),
)
RELEASE = _of_the_ledger(
    id="signaal-vrijgeven",
    title=Text("Een bericht vrijgeven", "Releasing a message"),
    purpose=Text(
        "Kijken of delen nog steeds mag op het moment dat de ontvanger het bericht ophaalt, en het dan vrijgeven.",
        "Looking whether sharing is still allowed when the recipient collects the message, and then releasing it.",
    ),
    ground=_GROUND,
    data=Text(
        "Een geheime code van de inwoner, de contactwensen van de inwoner, het doel, de organisaties en het tijdstip.",
        "A secret code of the resident, how they want to be approached, the purpose, the organisations and the time.",
    ),
    recipients=Text("De organisatie die de inwoner heeft toegestaan.", "The organisation that the resident allowed."),
)
WITHHOLD = _of_the_ledger(
    id="signaal-tegenhouden",
    title=Text("Een bericht tegenhouden", "Stopping a message"),
    purpose=Text(
        "Een bericht niet afgeven, omdat de inwoner intussen is gestopt of delen heeft gepauzeerd.",
        "Not handing over a message, because the resident stopped or paused sharing in the meantime.",
    ),
    ground=_GROUND,
    data=_CODE,
    recipients=_NOBODY,
)
ACKNOWLEDGE = _of_the_ledger(
    id="ontvangst-vastleggen",
    title=Text("Vastleggen dat een bericht is aangekomen", "Recording that a message arrived"),
    purpose=Text(
        "De inwoner laten zien dat de ontvanger het bericht heeft.",
        "Showing the resident that the recipient has the message.",
    ),
    ground=_ACCOUNT,
    data=_CODE,
    recipients=_NOBODY,
)
OUTCOME = _of_the_ledger(
    id="uitkomst-vastleggen",
    title=Text("Vastleggen wat er met een bericht is gedaan", "Recording what was done with a message"),
    purpose=Text(
        "De inwoner laten zien wat de ontvanger heeft gedaan, en of dat was zoals de inwoner het wilde.",
        "Showing the resident what the recipient did, and whether it was as the resident wished.",
    ),
    ground=_ACCOUNT,
    data=Text(
        "Een geheime code van de inwoner, het aanbod, hoe er contact is gezocht, en het tijdstip.",
        "A secret code of the resident, the offer, how contact was sought, and the time.",
    ),
    recipients=_NOBODY,
)
OFFER = _of_an_agency(
    id="signaal-aanbieden",
    party="sender",
    title=Text("Een bericht aanbieden", "Offering a message"),
    purpose=Text(
        "Een bericht versleuteld aanbieden, zodat de ontvanger hulp kan bieden als de inwoner dat goed vindt.",
        "Offering an encrypted message, so that the recipient can offer help if the resident agrees.",
    ),
    ground=_GROUND,
    data=Text(
        "Wat er bij het doel staat, versleuteld voor de ontvanger.",
        "What it says with the purpose, encrypted for the recipient.",
    ),
    recipients=Text("De organisatie die de inwoner heeft toegestaan.", "The organisation that the resident allowed."),
)
RECEIVE = _of_an_agency(
    id="signaal-ontvangen",
    party="recipient",
    title=Text("Een bericht ontvangen", "Receiving a message"),
    purpose=Text(
        "Een bericht ophalen, nagaan of het mocht, en het klaarzetten voor wie de inwoner helpt.",
        "Collecting a message, checking that it was allowed, and giving it to who helps the resident.",
    ),
    ground=_GROUND,
    data=Text("Wat er bij het doel staat.", "What it says with the purpose."),
    recipients=Text("Wie de inwoner helpt.", "Who helps the resident."),
)
REPORT = _of_an_agency(
    id="uitkomst-melden",
    party="recipient",
    title=Text("Melden wat er met een bericht is gedaan", "Reporting what was done with a message"),
    purpose=Text(
        "Versleuteld melden wat er is gedaan, zodat de inwoner dat kan lezen.",
        "Reporting, encrypted, what was done, so that the resident can read it.",
    ),
    ground=_ACCOUNT,
    data=Text(
        "Het aanbod, hoe er contact is gezocht, en het tijdstip.",
        "The offer, how contact was sought, and the time.",
    ),
    recipients=Text("De bewaarder van de keuzes van de inwoner.", "The keeper of the choices of the resident."),
)

REGISTER: tuple[Activity, ...] = (DECIDE, RELEASE, WITHHOLD, ACKNOWLEDGE, OUTCOME, OFFER, RECEIVE, REPORT)
"""Every version that was ever published, in the order in which a signal meets them."""


def find(identity: str, version: str) -> Activity | None:
    """Return a version of an activity as an address names it; None when there is none."""
    return next((one for one in REGISTER if (one.id, str(one.version)) == (identity, version)), None)


def published(path: str) -> dict[str, Any] | None:
    """Return what is published at a path of the log's host, as JSON has it; None when it is not of the register."""
    if path == PATH:
        return {"activities": [activity.document() for activity in REGISTER]}
    if not path.startswith(f"{PATH}/") or path.count("/") != 3:
        return None
    _, _, identity, version = path.split("/")
    activity = find(identity, version)
    return activity.document() if activity else None

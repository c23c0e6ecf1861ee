"""Every page of the viewer, with addresses at which there is something to see: what tests of all pages go through.

A new page has to be entered here (tests/unit/viewer/test_viewer_places.py): then it is checked like the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.routing import Route

from consent_ledger.processing import REGISTER
from consent_ledger.v1 import events_pb2
from consent_ledger.viewer import pages, wishes
from consent_ledger.viewer.desk import pages as desk_pages
from consent_ledger.viewer.desk.login import DemoStaff
from consent_ledger.viewer.login import entering
from consent_ledger.viewer.login.demo import DemoLogin
from consent_ledger.viewer.port import AllRows, presence_proof
from consent_ledger.viewer.routing import collect, in_languages
from consent_ledger.viewer.settings import ViewerSettings
from tests.support.ledger import ARREARS, CITY, INCOME, OTHER_CITY, SUPPLIER, TAX_OFFICE, scope
from tests.support.portal import ANNA, BY_DESK, BY_WEB
from tests.support.portal_story import StoryPortal, lively, yes

SETTINGS = ViewerSettings("http://127.0.0.1", demo=True)
CHOOSING = f"doel={ARREARS}&van={SUPPLIER}&naar={CITY}"
AT_THE_DESK = {"doel": ARREARS, "van": SUPPLIER, "aan": CITY, "antwoord": "ja", "maanden": "6"}
"""What staff fills in for Anna, in the order in which it is asked."""

PUBLIC: dict[str, tuple[str, ...]] = {
    "home": ("/",),
    "how": ("/uitleg",),
    "accessibility": ("/toegankelijkheid",),
    "privacy": ("/privacy",),
    "contact": ("/contact",),
    "organisations": ("/organisaties",),
    "organisation": (f"/organisaties/{CITY}", f"/organisaties/{SUPPLIER}"),
    "purposes": ("/doelen",),
    "processing": ("/verwerkingen",),
    "processing_one": tuple(activity.path for activity in REGISTER),
    "log": ("/logboek",),
    "figures": ("/cijfers",),
    "controle": ("/controle",),
    "login": ("/inloggen",),
    "left": ("/uitgelogd",),
}
"""For anybody; by the name of the route."""

MINE: dict[str, tuple[str, ...]] = {
    "mijn": ("/mijn",),
    "mijn_controle": ("/mijn/controle",),
    "uitwisselingen": ("/mijn/uitwisselingen", f"/mijn/uitwisselingen?wie={SUPPLIER}"),
    "uitwisseling": tuple(
        f"/mijn/uitwisselingen/{{{name}}}"
        for name in ("shared", "refused", "prohibited", "too_much", "self_first", "asked", "waiting")
    ),
    "bewijs": ("/mijn/uitwisselingen/{shared}/bewijs", "/mijn/uitwisselingen/{no}/bewijs"),
    "toestemmingen": ("/mijn/toestemmingen",),
    "toestemming": tuple(
        f"/mijn/toestemmingen/{{{name}}}" for name in ("shared_by", "asked_by", "self_by", "no", "stopped", "ended")
    ),
    "kiezen": (
        "/mijn/toestemmingen/nieuw",
        f"/mijn/toestemmingen/nieuw?doel={ARREARS}",
        f"/mijn/toestemmingen/nieuw?{CHOOSING}",
        f"/mijn/toestemmingen/nieuw?{CHOOSING}&antwoord=ja",
        f"/mijn/toestemmingen/nieuw?{CHOOSING}&antwoord=ja&maanden=6",
        f"/mijn/toestemmingen/nieuw?{CHOOSING}&antwoord=ja&maanden=6&vanaf=0",
        f"/mijn/toestemmingen/nieuw?{CHOOSING}&antwoord=nee",
    ),
    "kieshulp": (f"/mijn/toestemmingen/nieuw/hulp?{CHOOSING}",),
    "organisatiekaart": (f"/mijn/organisaties/{CITY}", f"/mijn/organisaties/{TAX_OFFICE}"),
    "pauze": ("/mijn/pauze",),
    "questions": ("/mijn/vragen",),
    "question": ("/mijn/vragen/antwoord/{asked}",),
    "recorded": ("/mijn/vragen/bevestigen/{desk}",),
    "question_new": ("/mijn/vragen/nieuw", "/mijn/vragen/nieuw?over={shared}"),
    "question_own": ("/mijn/vraag/{question}",),
    "wishes": ("/mijn/contact",),
    "wishes_part": tuple(f"/mijn/contact/{part}" for part in wishes.PARTS),
    "change": ("/mijn/verandering",),
    "change_options": ("/mijn/verandering/keuzes",),
    "change_offer": (f"/mijn/verandering/keuzes/{INCOME}",),
    "representatives": ("/mijn/machtigingen",),
    "representative_new": ("/mijn/machtigingen/nieuw",),
    "viewed": ("/mijn/ingezien",),
    "printout": ("/mijn/afdruk",),
    "download": ("/mijn/download", "/mijn/download?bewijzen=alle"),
    "erasure": ("/mijn/wissen", "/mijn/wissen?tellen=ja"),
}
"""For Anna; a name in braces is one of ``Town.story``."""

INVITED: dict[str, tuple[str, ...]] = {"invitation": ("/inloggen/uitnodiging",)}
"""For somebody whom Anna invited and who did not type the code yet."""

DESK: dict[str, tuple[str, ...]] = {
    "desk_login": ("/balie/inloggen",),
    "desk": ("/balie",),
    "desk_case": ("/balie/zaak",),
    "desk_choice": tuple(
        f"/balie/zaak/keuze?{urlencode(list(AT_THE_DESK.items())[:given])}".rstrip("?")
        for given in range(len(AT_THE_DESK), -1, -1)
    ),
    "desk_letter": ("/balie/zaak/brief/{desk}",),
}
"""For staff, in this order: before logging in, before a case is opened, and with Anna's case."""

FILES = {
    *("controle_programma", "controle_plaats", "controle_samenhang", "mijn_controle_keten"),
    *("bewijs_bestand", "bewijs_namen", "download_all", "download_consents", "download_proofs"),
}
"""Routes whose answers are no pages."""


def page_routes() -> dict[str, Route]:
    """The routes of all pages that one can go to, by name, without their language."""
    routes = [*collect(pages), *in_languages([*entering.ROUTES, *DemoLogin(()).routes(SETTINGS)])]
    shown = [route for route in routes if "GET" in (route.methods or ()) and route.name not in FILES]
    return {route.name: route for route in shown}


def desk_page_routes() -> set[str]:
    """The names of the routes of all pages of the desk."""
    routes = [*collect(desk_pages), *in_languages(DemoStaff({}).routes(SETTINGS))]
    return {route.name for route in routes if "GET" in (route.methods or ())}


@dataclass
class Town:
    """Anna's portal, and where she finds what."""

    portal: StoryPortal
    story: dict[str, Any]

    def places(self, templates: dict[str, tuple[str, ...]], *, each: bool = True) -> list[str]:
        """The addresses that templates stand for; of each page all that is known, or one."""
        names = {name: str(value) for name, value in self.story.items()}
        return [one.format(**names) for known in templates.values() for one in (known if each else known[:1])]


async def town() -> Town:
    """The story of portal_story.py, and what it does not tell: a question, a representative, a grant at the desk."""
    portal = await lively()
    rows = await portal.rows(ANNA)
    story: dict[str, Any] = dict(portal.story)
    asked = await portal.ask(
        rows, BY_WEB, organisation=CITY, purpose=ARREARS, text="Wie belt mij?", about_index=portal.story["shared"]
    )
    story["question"] = asked.record.reference
    helper = await portal.invite(
        rows, BY_WEB, mandate=events_pb2.MANDATE_LOOK, relation=events_pb2.RELATION_FAMILY, months=3
    )
    story["representative"] = helper.reference.hex()
    story["desk"] = await _at_the_desk(portal, rows)
    return Town(portal, story)


async def _at_the_desk(portal: StoryPortal, rows: AllRows) -> int:
    """Anna came to the desk with a code and said yes; she did not confirm it yet."""
    case = await portal.send_code(rows, BY_DESK, events_pb2.CODE_CHANNEL_PHONE, ANNA)
    capture = events_pb2.Capture()
    capture.CopyFrom(BY_DESK)
    capture.presence_proof = presence_proof(case.case_id, portal.codes[-1][1])
    where = scope(TAX_OFFICE, OTHER_CITY, INCOME)
    (index,) = await portal.change(rows, capture, yes(events_pb2.MODE_JA, where))
    assert isinstance(index, int), index
    return index


__all__ = [
    "AT_THE_DESK",
    "DESK",
    "FILES",
    "INVITED",
    "MINE",
    "PUBLIC",
    "Town",
    "desk_page_routes",
    "page_routes",
    "town",
]

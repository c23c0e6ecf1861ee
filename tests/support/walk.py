"""Every route as every role: who walks, over which addresses of Anna's, and what each is told (role_table.py).

made = await town()
for step in steps(made):                     # every route and method of the residents' pages, filled in for Anna
    answer = ask(await walker(made, "ben"), step)
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import httpx2
from starlette.applications import Starlette
from starlette.testclient import TestClient

from consent_ledger.lifeevents import LIFE_EVENTS
from consent_ledger.v1 import events_pb2
from consent_ledger.viewer.once import FIELD, new_form
from tests.support.ledger import ARREARS, CITY, INCOME, ITEM, SUPPLIER
from tests.support.places import AT_THE_DESK, CHOOSING, Town
from tests.support.portal import ANNA, BEN, BY_WEB
from tests.support.viewer import DESK_ORIGIN, ORIGIN, at_the_desk, desk_client, log_in, post, viewer_client

MANDATES = {
    "look": events_pb2.MANDATE_LOOK,
    "stop": events_pb2.MANDATE_STOP,
    "choose": events_pb2.MANDATE_CHOOSE,
    "limited": events_pb2.MANDATE_CHOOSE,
}
"""What Anna lets her helper do; the limited one may choose, about one purpose that is not that of her newest entries."""
LIMITED_TO = (INCOME,)
_CHOICE = {"doel": ARREARS, "van": SUPPLIER, "naar": CITY, "wat": ITEM[ARREARS]}
FORMS: dict[str, dict[str, str]] = {
    "accept": {"code": "AAAA AAAA"},
    "change_choose": {"van": SUPPLIER, "aan": CITY, "antwoord": "nee"},
    "change_said": {"wat": LIFE_EVENTS[0].id},
    "desk_code": {**AT_THE_DESK, "kanaal": "1", "bsn": ANNA.bsn},
    "desk_login_demo": {"wie": "mia"},
    "desk_open": {"via": "balie", "gecontroleerd": "ja", "bsn": ANNA.bsn},
    "desk_record": AT_THE_DESK,
    "erase": {"zeker": "ja"},
    "kiezen_vast": {**_CHOICE, "antwoord": "ja", "maanden": "6", "vanaf": "0"},
    "login_demo": {"wie": "ben"},
    "organisatiekaart_stop": {"doe": "stop"},
    "pauze_anders": {"doe": "pauze"},
    "question_answer": {"antwoord": "ja"},
    "question_send": {"aan": f"{SUPPLIER}/{ARREARS}", "tekst": "Waarom?"},
    "recorded_confirm": {"antwoord": "ja"},
    "representative_invite": {"relatie": "1", "mag": "1", "maanden": "3"},
    "toestemming_stop": {"doe": "stop"},
    "wishes_save": {"persoon": "nee", "samen": "nee"},
}
"""What is sent: whatever it takes to succeed for whoever may."""
QUERIES = {
    "controle_plaats": "?nr=1",
    "controle_samenhang": "?van=1&tot=2",
    "kieshulp": f"?{CHOOSING}",
    "mijn_controle_keten": "?keten=0",
}
FIRST = ("change_said",)
LAST = (
    *("question_answer", "organisatiekaart_stop", "pauze_anders", "erase", "accept", "leave", "login_demo"),
    *("desk_open", "desk_close", "desk_leave", "desk_login_demo"),
)
"""Sent in this order after all others, because they change what the others find or who is walking."""
_PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")


@dataclass(frozen=True)
class Step:
    """One request of a walk."""

    name: str
    method: str
    path: str
    form: dict[str, str] = field(default_factory=dict)


def steps(made: Town, app: Starlette) -> list[Step]:
    """Every route and method of an application in Dutch, filled in with what is Anna's."""
    values = {
        "nr": made.story["shared"],
        "id": made.story["shared_by"],
        "index": made.story["asked"],
        "reference": made.story["question"],
        "purpose": ARREARS,
        "part": "wie",
        "oin": CITY,
        "number": 1,
        "activity": "signaal-vrijgeven",
        "version": 1,
    }
    own = {"recorded": made.story["desk"], "recorded_confirm": made.story["desk"], "desk_letter": made.story["desk"]}
    own |= {"desk_stop": made.story["shared_by"], "representative_end": made.story["representative"]}
    found = []
    for route in app.routes:
        name, path = getattr(route, "name", ""), getattr(route, "path", "")
        if path == "/nl" or path.startswith("/nl/"):
            filled = _PARAMETER.sub(lambda match, name=name: str(own.get(name, values.get(match[1], CITY))), path)
            filled = f"/nl/organisaties/{CITY}" if name == "organisation" else filled
            methods = sorted(route.methods - {"HEAD"})
            filled += QUERIES.get(name, "")
            found += [Step(name, each, filled, FORMS.get(name, {}) if each == "POST" else {}) for each in methods]
    return sorted(found, key=_turn)


def _turn(step: Step) -> tuple[int, int, str]:
    """First what others need, then what only shows, then what changes, then what ends it all."""
    if step.name in FIRST:
        return 0, FIRST.index(step.name), step.name
    if step.name in LAST and step.method == "POST":
        return 3, LAST.index(step.name), step.name
    return (2 if step.method == "POST" else 1), 0, step.name


def ask(client: TestClient, step: Step, origin: str = ORIGIN) -> httpx2.Response:
    """Ask as a browser does from our own pages."""
    if step.method == "GET":
        return client.get(step.path)
    return client.post(step.path, data={FIELD: new_form(), **step.form}, headers={"Origin": origin})


async def walker(made: Town, role: str) -> TestClient:
    """Somebody's browser at the residents' pages, logged in as far as this role is."""
    client = viewer_client(made.portal)
    if role == "nobody":
        return client
    if role in ("anna", "ben"):
        log_in(client, role)
        return client
    log_in(client, "helper")
    if role == "invited":
        return client
    rows, purposes = await made.portal.rows(ANNA), LIMITED_TO if role == "limited" else ()
    invited = await made.portal.invite(
        rows, BY_WEB, mandate=MANDATES[role], relation=events_pb2.RELATION_FAMILY, months=3, purposes=purposes
    )
    assert post(client, "/nl/inloggen/uitnodiging", {"code": invited.code}).status_code == 303
    return client


def desk_walker(made: Town, role: str) -> TestClient:
    """Somebody's browser at the desk: nobody's, that of staff, with Ben's case open, or with Anna's."""
    client = desk_client(made.portal)
    if role != "nobody":
        at_the_desk(client, {"of anna": ANNA, "of ben": BEN}.get(role))
    return client


def told(answer: httpx2.Response) -> str:
    """What an answer comes down to: its status, or to whose login page it sends."""
    where = answer.headers.get("location", "").split("?")[0]
    known = {
        "/nl/inloggen": "login",
        "/nl/balie/inloggen": "login",
        "/nl/balie": "desk",
        "/nl/mijn": "mine",
        "/nl/uitgelogd": "left",
    }
    return known.get(where, str(answer.status_code)) if answer.status_code == 303 else str(answer.status_code)


__all__ = ["DESK_ORIGIN", "LIMITED_TO", "MANDATES", "Step", "ask", "desk_walker", "steps", "told", "walker"]

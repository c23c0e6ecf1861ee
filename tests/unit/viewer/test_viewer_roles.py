"""Every route as every role: nothing of Anna's is for anybody whom she or the law did not let in (R23, R36-R38)."""

from __future__ import annotations

import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import pytest
import pytest_asyncio

from consent_ledger.viewer.desk.app import desk_app
from consent_ledger.viewer.desk.login import DemoStaff
from consent_ledger.viewer.login.oidc import OidcLogin
from consent_ledger.viewer.session import MemoryStore
from consent_ledger.viewer.settings import SettingsError, ViewerSettings
from tests.support.ledger import ARREARS, INCOME, subject
from tests.support.oidc import LoginService
from tests.support.places import FILES, INVITED, MINE, PUBLIC, Town, town
from tests.support.portal import ANNA
from tests.support.role_table import DESK_RECORDED, DESK_TABLE, RECORDED, RESIDENTS, STAFF, TABLE
from tests.support.viewer import DESK_ORIGIN, ORIGIN, post, viewer_client
from tests.support.walk import LIMITED_TO, Step, ask, desk_walker, steps, told, walker

HERS = ("Gesprek over betalen in delen", "Wie belt mij")
"""Words that stand in Anna's record only."""
UNKNOWN = 987_654_321
"""An index that the log does not have."""
BY_NUMBER = (
    "/mijn/uitwisselingen/{n}",
    "/mijn/uitwisselingen/{n}/bewijs",
    "/mijn/uitwisselingen/{n}/bewijs/tlog-proof",
    "/mijn/uitwisselingen/{n}/bewijs/json",
    "/mijn/toestemmingen/{n}",
    "/mijn/vragen/antwoord/{n}",
    "/mijn/vragen/bevestigen/{n}",
    "/mijn/vragen/nieuw?over={n}",
)
_CHANCE = re.compile(r'(?<=name="keer" value=")[^"]*')
SENT_BY_NUMBER = ("/mijn/toestemmingen/{n}", "/mijn/vragen/antwoord/{n}", "/mijn/vragen/bevestigen/{n}")


@pytest_asyncio.fixture
async def made():
    found = await town()
    yield found
    found.portal.close()


def in_record(made: Town) -> dict[int, tuple[set[str], str]]:
    """Anna's entries: of which purposes each is, and its kind."""
    subjects = {subject(ANNA.bsn, purpose.id): purpose.id for purpose in made.portal.ledger.sequencer.registry.purposes}
    found = {}
    for index, event, private in made.portal.ledger.events():
        purposes = {subjects[link.subject] for link in private.links if link.subject in subjects}
        if purposes:
            found[index] = purposes, event.WhichOneof("body")
    return found


def secrets(made: Town, *purposes: str) -> list[bytes]:
    """What identifies Anna's record, in each form in which a page could give it away."""
    raw = [subject(ANNA.bsn, purpose) for purpose in purposes]
    forms = [form for each in raw for form in (each.hex().encode(), b64encode(each), urlsafe_b64encode(each)[:40])]
    return [*forms, made.story["question"].encode(), ANNA.bsn.encode(), *(each.encode() for each in HERS)]


def said(answer: httpx2.Response, step: Step) -> bytes:
    """What an answer says besides the address, which whoever asked knew."""
    return answer.content.replace(step.path.partition("?")[0].removeprefix("/nl").encode(), b"")


def without_chance(html: str) -> str:
    """A page without what is different each time it is asked for."""
    return _CHANCE.sub("", html)


@contextmanager
def nothing_new(made: Town) -> Iterator[None]:
    """Nothing is added to Anna's record, but that somebody looked."""
    before = in_record(made)
    yield
    new = {kind for index, (_, kind) in in_record(made).items() if index not in before}
    assert new <= {"record_viewed"}


def test_the_table_says_it_of_every_route(made):
    app = viewer_client(made.portal).app
    assert {f"{step.method} {step.name}" for step in steps(made, app)} == set(TABLE)
    assert {name.partition(" ")[2] for name in TABLE} >= {*PUBLIC, *MINE, *INVITED, *FILES}
    desk = {f"{step.method} {step.name}" for step in steps(made, desk_walker(made, "nobody").app)}
    assert desk - {"GET _first"} == set(DESK_TABLE)


@pytest.mark.parametrize("role", RESIDENTS)
async def test_each_role_is_told_what_the_table_says(made, role):
    client, before = await walker(made, role), in_record(made)
    hidden = secrets(made, ARREARS) if role == "limited" else secrets(made, ARREARS, INCOME)
    new: set[str] = set()
    for step in steps(made, client.app):
        if step.name == "erase":
            added = [entry for index, entry in in_record(made).items() if index not in before]
            new = {kind for _, kind in added}
            if role == "limited":
                assert all(purposes == set(LIMITED_TO) for purposes, _ in added)
        answer = ask(client, step)
        expected = dict(zip(RESIDENTS, TABLE[f"{step.method} {step.name}"].split(), strict=True))
        assert (step.name, told(answer)) == (step.name, expected[role])
        if role in ("nobody", "invited", "ben", "limited"):
            assert not [each for each in hidden if each in said(answer, step)], step.name
    assert new == RECORDED[role]


@pytest.mark.parametrize("role", STAFF)
def test_each_role_at_the_desk_is_told_what_the_table_says(made, role):
    client, before = desk_walker(made, role), in_record(made)
    hidden, calls = secrets(made, ARREARS, INCOME), len(made.portal.calls)
    new: set[str] = set()
    for step in steps(made, client.app):
        if step.name == "_first":
            continue
        if step.name == "desk_open":
            new = {kind for index, (_, kind) in in_record(made).items() if index not in before}
            if role in ("nobody", "staff"):
                assert made.portal.calls[calls:] == []
        answer = ask(client, step, DESK_ORIGIN)
        expected = dict(zip(STAFF, DESK_TABLE[f"{step.method} {step.name}"].split(), strict=True))
        assert (step.name, told(answer)) == (step.name, expected[role])
        # Not even with her case: staff sees choices, and nothing of what was shared or asked.
        assert not [each for each in hidden if each in said(answer, step)], step.name
    assert new == DESK_RECORDED[role]


async def test_every_entry_of_hers_is_to_others_as_if_it_did_not_exist(made):
    """Ben, and a helper beyond the purposes that she named, are told the same of it as of a number that nobody has."""
    numbers = in_record(made)
    assert len(numbers) > 20
    ben, limited = await walker(made, "ben"), await walker(made, "limited")
    beyond = [index for index, (purposes, _) in numbers.items() if purposes.isdisjoint(LIMITED_TO)]
    assert 5 < len(beyond) < len(numbers)
    with nothing_new(made):
        for client, found in ((ben, list(numbers)), (limited, beyond)):
            for template in BY_NUMBER:
                none = client.get(f"/nl{template.format(n=UNKNOWN)}")
                assert none.status_code == 404, template
                for index in found:
                    answer = client.get(f"/nl{template.format(n=index)}")
                    same = answer.text.replace(template.format(n=index), template.format(n=UNKNOWN))
                    assert answer.status_code == 404, (template, index)
                    assert without_chance(same) == without_chance(none.text), (template, index)
            for template in SENT_BY_NUMBER:
                for index in found:
                    fields = {"doe": "stop", "antwoord": "ja"}
                    denied = post(client, f"/nl{template.format(n=index)}", fields).status_code
                    assert denied in (403, 404), (template, index)


async def test_what_may_be_read_by_number_may_be_read_by_who_may(made):
    """The other side of it: all these numbers are Anna's own pages, and a helper's within her purposes."""
    limited, anna = await walker(made, "limited"), await walker(made, "anna")
    within = [index for index, (purposes, _) in in_record(made).items() if purposes & set(LIMITED_TO)]
    for index in within:
        path = f"/nl/mijn/uitwisselingen/{index}/bewijs"
        assert (limited.get(path).status_code, anna.get(path).status_code) == (200, 200), index


@pytest.mark.parametrize("role", RESIDENTS)
async def test_the_desk_is_not_on_the_residents_origin(made, role):
    client = await walker(made, role)
    with nothing_new(made):
        for step in steps(made, desk_walker(made, "nobody").app):
            if step.name != "_first":
                assert ask(client, step).status_code == 404, step.name


@pytest.mark.parametrize("role", STAFF)
async def test_the_residents_pages_are_not_at_the_desk(made, role):
    client, app = desk_walker(made, role), viewer_client(made.portal).app
    own = {step.path for step in steps(made, client.app)}
    with nothing_new(made):
        for step in steps(made, app):
            if step.path not in own:
                assert ask(client, step, DESK_ORIGIN).status_code == 404, step.name


@pytest.mark.parametrize("role", ["anna", "choose", "nobody"])
async def test_another_page_cannot_send_anything(made, role):
    """A form from elsewhere, with somebody's cookie: refused before anything else is looked at."""
    client = await walker(made, role)
    with nothing_new(made):
        for step in steps(made, client.app):
            if step.method == "POST":
                foreign = Step(step.name, step.method, step.path, step.form)
                assert ask(client, foreign, "https://elsewhere.example").status_code == 403, step.name
                assert ask(client, foreign, DESK_ORIGIN).status_code == 403, step.name


def test_a_demo_login_is_in_a_demo_only(made):
    """Outside it neither starts, and what the demo's form sends logs nobody in."""
    portal, store = made.portal, MemoryStore()
    with pytest.raises(SettingsError, match="demo login"):
        viewer_client(portal, settings=ViewerSettings(ORIGIN))
    with pytest.raises(SettingsError, match="demo login"):
        desk_app(ViewerSettings(DESK_ORIGIN, desk=True), portal, DemoStaff({"mia": "Mia"}), store, portal.clock)
    service = LoginService({}, portal.clock)
    login = OidcLogin(service.settings(), transport=service.transport)
    client = viewer_client(portal, settings=ViewerSettings(ORIGIN), login=login, store=store)
    assert post(client, "/nl/inloggen", {"wie": "anna", "naar": "/nl/mijn"}).status_code in (404, 405)
    assert store.sealed == {}
    assert told(client.get("/nl/mijn")) == "login"

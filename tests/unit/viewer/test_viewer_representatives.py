"""Who helps and who looked: /mijn/machtigingen and /mijn/ingezien (R23, R38)."""

from __future__ import annotations

import re

import pytest
from starlette.testclient import TestClient

from consent_ledger.v1 import consents_pb2, events_pb2
from tests.support.ledger import ARREARS
from tests.support.portal import ANNA, BY_DESK, MemoryPortal, grant
from tests.support.viewer import log_in, post, viewer_client

PATH = "/nl/mijn/machtigingen"
FAMILY = {"relatie": "2", "mag": "2", "maanden": "6"}


async def representatives(portal: MemoryPortal) -> list[consents_pb2.RepresentativeRecord]:
    return list((await portal.others(await portal.rows(ANNA))).representatives)


def invited(client: TestClient, **fields: str) -> str:
    """Invite somebody; returns the code, which is on the page once."""
    shown = post(client, f"{PATH}/nieuw", {**FAMILY, **fields})
    assert shown.status_code == 200, shown.text
    found = re.search(r'<p class="big-number code">(.*?)</p>', shown.text)
    assert found
    return found[1]


def helping(portal: MemoryPortal, code: str) -> TestClient:
    """Log in as the helper and take up the invitation."""
    client = viewer_client(portal)
    log_in(client, "helper")
    taken = post(client, "/nl/inloggen/uitnodiging", {"code": code})
    assert (taken.status_code, taken.headers["location"]) == (303, "/nl/mijn"), taken.text
    return client


async def test_nobody_helps_until_somebody_is_asked(anna: TestClient) -> None:
    assert "Niemand kijkt of beslist met u mee" in anna.get(PATH).text
    assert " checked" not in anna.get(f"{PATH}/nieuw").text


async def test_a_code_is_shown_once_and_begins_the_help(portal: MemoryPortal, anna: TestClient) -> None:
    code = invited(anna)
    assert code.replace(" ", "") not in anna.get(PATH).text.replace(" ", "")
    assert "Nog niet begonnen" in anna.get(PATH).text
    helper = helping(portal, code)
    assert "Helpt u nu" in anna.get(PATH).text
    assert helper.get(PATH).status_code == 200


async def test_a_helper_does_no_more_than_the_mandate(portal: MemoryPortal, anna: TestClient) -> None:
    helper = helping(portal, invited(anna))
    for path in (f"{PATH}/nieuw", "/nl/mijn/wissen"):
        assert helper.get(path).status_code == 403, path
        assert post(helper, path, {**FAMILY, "zeker": "ja"}).status_code == 403, path
    assert post(helper, "/nl/mijn/contact/wie", {"persoon": "ja", "samen": "ja"}).status_code == 403
    assert len(await representatives(portal)) == 1


async def test_either_ends_the_help(portal: MemoryPortal, anna: TestClient) -> None:
    helper = helping(portal, invited(anna))
    (one,) = await representatives(portal)
    left = post(helper, f"{PATH}/{one.reference.hex()}/stop")
    assert left.headers["location"] == "/nl/uitgelogd"
    assert (await representatives(portal))[0].ended_ms
    again = helping(portal, invited(anna))
    newest = next(each for each in await representatives(portal) if not each.ended_ms)
    post(anna, f"{PATH}/{newest.reference.hex()}/stop")
    assert again.get("/nl/mijn/contact").status_code == 303  # sent away at once
    assert all(each.ended_ms for each in await representatives(portal))


async def test_a_helper_sees_and_ends_only_their_own_part(portal: MemoryPortal, anna: TestClient) -> None:
    helper = helping(portal, invited(anna))
    invited(anna, relatie="5", mag="1")
    other = next(each for each in await representatives(portal) if not each.accepted_ms)
    assert "Hulpverlener" not in helper.get(PATH).text
    assert post(helper, f"{PATH}/{other.reference.hex()}/stop").status_code == 403
    assert post(anna, f"{PATH}/niets/stop").status_code == 404


async def test_help_with_one_purpose_shows_no_other(portal: MemoryPortal, anna: TestClient) -> None:
    code = invited(anna, waarover=ARREARS, mag="3")
    helper = helping(portal, code)
    assert "Hulp bij een energierekening" in helper.get(PATH).text
    place = "/nl/mijn/verandering/keuzes/"
    assert helper.get(f"{place}{ARREARS}").status_code == 200
    assert helper.get(f"{place}regelingen-bij-inkomensdaling").status_code == 404


@pytest.mark.parametrize("missing", sorted(FAMILY))
async def test_nothing_is_assumed(portal: MemoryPortal, anna: TestClient, missing: str) -> None:
    fields = {name: value for name, value in FAMILY.items() if name != missing}
    assert post(anna, f"{PATH}/nieuw", fields).status_code == 422
    assert await representatives(portal) == []


async def test_who_looked_is_listed_with_the_day_and_never_by_name(portal: MemoryPortal, anna: TestClient) -> None:
    rows = await portal.rows(ANNA)
    await portal.view(rows, BY_DESK, events_pb2.VIEW_KIND_PAGES)
    helping(portal, invited(anna)).get("/nl/mijn/contact")
    shown = anna.get("/nl/mijn/ingezien").text
    for expected in ("U zelf", "Balie, medewerker balie-7", "Iemand die u helpt (familie)", "1 januari 2026"):
        assert expected in shown
    assert "Niemand probeerde iets dat niet mag." in shown


async def test_what_was_tried_without_the_resident_is_shown_as_stopped(portal: MemoryPortal, anna: TestClient) -> None:
    await portal.change(await portal.rows(ANNA), BY_DESK, grant(months=6))  # without a code
    shown = anna.get("/en/mijn/ingezien").text
    assert "Give consent. You were not there, or the code was wrong." in shown
    assert '<span class="badge blocked">Blocked</span>' in shown

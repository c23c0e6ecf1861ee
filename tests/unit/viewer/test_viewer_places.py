"""tests/support/places.py: no page escapes the tests of all pages, and each is there for whom it should be."""

from __future__ import annotations

import pytest

from consent_ledger.lifeevents import LIFE_EVENTS
from tests.support.places import DESK, FILES, INVITED, MINE, PUBLIC, desk_page_routes, page_routes, town
from tests.support.portal import ANNA
from tests.support.viewer import at_the_desk, desk_client, log_in, post, viewer_client


def test_every_page_is_looked_at():
    known = {**PUBLIC, **MINE, **INVITED}
    assert set(page_routes()) == set(known)
    assert not FILES & set(known)
    assert desk_page_routes() == set(DESK)


async def test_every_address_shows_its_page():
    made = await town()
    try:
        stranger, anna, helper = (viewer_client(made.portal) for _ in range(3))
        log_in(anna)
        post(anna, "/nl/mijn/verandering", {"wat": LIFE_EVENTS[0].id})
        log_in(helper, "helper")
        mia, outside = (desk_client(made.portal) for _ in range(2))
        at_the_desk(mia, ANNA)
        at_the_desk(outside)
        case = {name: DESK[name] for name in DESK if name != "desk"}
        for client, templates in (
            *((stranger, PUBLIC), (anna, MINE), (helper, INVITED)),
            *((mia, case), (outside, {"desk": DESK["desk"]})),
        ):
            answers = {path: client.get(f"/nl{path}".rstrip("/")) for path in made.places(templates)}
            assert {path: answer.status_code for path, answer in answers.items() if answer.status_code != 200} == {}
            titles = [answer.text.partition("<title>")[2].partition("</title>")[0] for answer in answers.values()]
            assert all(titles)
    finally:
        made.portal.close()


@pytest.mark.parametrize("language", ["nl", "en"])
async def test_a_first_visit_says_so(language):
    made = await town()
    try:
        ben = viewer_client(made.portal)
        log_in(ben, "ben", language)
        said = ben.get(f"/{language}/mijn").text
        assert {"nl": "Er wordt niets over u gedeeld.", "en": "Nothing is shared about you."}[language] in said
    finally:
        made.portal.close()

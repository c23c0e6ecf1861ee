"""Sessions: sealed under the cookie, ended by time, new at each login."""

from __future__ import annotations

from base64 import urlsafe_b64encode

import pytest

from consent_ledger.v1 import consents_pb2 as pb
from consent_ledger.viewer.session import (
    IDLE_MS,
    LOGIN_MS,
    LONGEST_MS,
    Attempt,
    MemoryStore,
    Resident,
    Session,
    Sessions,
)
from tests.support.ledger import Counter, Time

ROWS = (
    pb.Rows(purpose="hulp", elements=[bytes(range(32)), bytes(32)]),
    pb.Rows(purpose="raad", elements=[b"\x09" * 32]),
)
REPRESENTED = Resident(ROWS, "representative", frozenset({"look", "stop"}), "ab" * 16)


class Visit:
    """One browser over a store."""

    def __init__(self) -> None:
        self.store, self.clock = MemoryStore(), Time()
        self.sessions = Sessions(self.store, self.clock, Counter())

    async def logged_in(self, resident: Resident = REPRESENTED) -> str:
        session = await self.sessions.load("")
        session.log_in(resident, self.clock())
        cookie = await self.sessions.save(session)
        assert cookie
        return cookie


@pytest.fixture
def visit() -> Visit:
    return Visit()


async def test_what_was_stored_comes_back(visit: Visit):
    cookie = await visit.logged_in()
    session = await visit.sessions.load(cookie)
    assert session.resident == REPRESENTED
    assert await visit.sessions.save(session) is None, "nothing changed, so no new cookie"


async def test_the_store_holds_neither_rows_nor_cookie(visit: Visit):
    cookie = await visit.logged_in()
    (key, sealed), *_ = visit.store.sealed.items()
    assert ROWS[0].elements[0] not in sealed
    assert b"hulp" not in sealed
    assert cookie.encode() not in sealed + key


@pytest.mark.parametrize("cookie", ["", "x", "A" * 43, "é", "A" * 42 + "=", "A" * 4000])
async def test_another_cookie_opens_nothing(visit: Visit, cookie: str):
    await visit.logged_in()
    assert (await visit.sessions.load(cookie)).resident is None


async def test_a_changed_or_exchanged_box_is_no_session(visit: Visit):
    first, second = await visit.logged_in(), await visit.logged_in(Resident(ROWS[:1]))
    one, other = list(visit.store.sealed)
    boxes = dict(visit.store.sealed)
    visit.store.sealed[one] = boxes[other]
    assert (await visit.sessions.load(first)).resident is None
    visit.store.sealed[other] = boxes[other][:-1] + bytes([boxes[other][-1] ^ 1])
    assert (await visit.sessions.load(second)).resident is None


async def test_it_ends_when_nobody_is_there(visit: Visit):
    cookie = await visit.logged_in()
    visit.clock.forward(ms=IDLE_MS - 1)
    assert (await visit.sessions.load(cookie)).resident
    visit.clock.forward(ms=1)
    assert (await visit.sessions.load(cookie)).resident is None


async def test_each_visit_keeps_it_but_not_for_ever(visit: Visit):
    cookie, began = await visit.logged_in(), visit.clock()
    while visit.clock() - began < LONGEST_MS - IDLE_MS:
        visit.clock.forward(ms=IDLE_MS // 2)
        session = await visit.sessions.load(cookie)
        assert session.resident
        await visit.sessions.save(session)
    visit.clock.now_ms = began + LONGEST_MS
    assert (await visit.sessions.load(cookie)).resident is None


async def test_a_login_takes_a_new_cookie_and_ends_the_old_session(visit: Visit):
    """Whoever put a cookie into somebody's browser before the login does not hold their session after it."""
    session = await visit.sessions.load("")
    session.begin_login(Attempt("state", "nonce", "verifier", "", visit.clock()))
    planted = await visit.sessions.save(session)
    assert planted
    session = await visit.sessions.load(planted)
    session.log_in(REPRESENTED, visit.clock())
    cookie = await visit.sessions.save(session)
    assert cookie
    assert cookie != planted
    assert (await visit.sessions.load(planted)).empty
    assert len(visit.store.sealed) == 1


async def test_a_login_under_way_is_over_soon_and_answered_once(visit: Visit):
    session = await visit.sessions.load("")
    attempt = Attempt("state", "nonce", "verifier", "/nl/mijn", visit.clock())
    session.begin_login(attempt)
    cookie = await visit.sessions.save(session)
    assert cookie
    session = await visit.sessions.load(cookie)
    assert session.end_login() == attempt
    assert await visit.sessions.save(session) == ""
    assert (await visit.sessions.load(cookie)).attempt is None
    session.begin_login(attempt)
    cookie = await visit.sessions.save(session) or ""
    visit.clock.forward(ms=LOGIN_MS)
    assert (await visit.sessions.load(cookie)).attempt is None


async def test_logging_out_forgets_everything(visit: Visit):
    session = await visit.sessions.load(await visit.logged_in())
    session.remember("small", "thing")
    session.log_out()
    assert await visit.sessions.save(session) == "", "the cookie is removed"
    assert not visit.store.sealed


async def test_a_notice_is_said_once(visit: Visit):
    session = await visit.sessions.load(await visit.logged_in())
    session.say("ok", "layout.name", n=3)
    await visit.sessions.save(session)
    session = await visit.sessions.load(_cookie_of(session))
    notice = session.take_notice()
    assert notice
    assert (notice.kind, notice.key, notice.values) == ("ok", "layout.name", {"n": 3})
    await visit.sessions.save(session)
    assert (await visit.sessions.load(_cookie_of(session))).take_notice() is None


async def test_a_full_store_gives_up_the_oldest():
    store = MemoryStore(most=2)
    for number in range(3):
        await store.write(bytes([number]), b"", 0)
    assert list(store.sealed) == [b"\x01", b"\x02"]


def _cookie_of(session: Session) -> str:
    return urlsafe_b64encode(session.secret).decode().rstrip("=")

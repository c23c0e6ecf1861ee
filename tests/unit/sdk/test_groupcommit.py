"""Writes that wait together share a transaction; a failure, or a caller that goes away, is nobody else's."""

import asyncio
from contextlib import suppress

import pytest
from sqlmodel import Field

from gateway.database import Database, Stored, table_of
from gateway.sdk.groupcommit import GroupCommit


class Noted(Stored, table=True):
    __tablename__ = "noted_in_test"
    number: int = Field(primary_key=True)


NOTED = table_of(Noted)


class Counting(Database):
    """Counts its transactions."""

    count = 0

    async def run(self, work):
        self.count += 1
        return await super().run(work)


@pytest.fixture
def database(tmp_path):
    database = Counting(tmp_path / "x.db", (Noted,))
    yield database
    database.close()


def note(number):
    return lambda connection: connection.execute(NOTED.insert().values(number=number))


async def noted(database):
    found = await Database.run(database, lambda c: c.execute(NOTED.select().order_by(NOTED.c.number)).scalars().all())
    return list(found)


async def test_who_asks_at_the_same_time_shares_a_transaction(database):
    commits = GroupCommit(database)
    await asyncio.gather(*(commits.run(note(number)) for number in range(100)))
    assert database.count < 5
    assert await noted(database) == list(range(100))


async def test_one_after_the_other_is_durable_each_time(database):
    commits = GroupCommit(database)
    for number in range(3):
        await commits.run(note(number))
        assert await noted(database) == list(range(number + 1))
    assert database.count == 3


async def test_a_group_that_fails_leaves_nothing_and_the_next_one_goes_on(database):
    commits = GroupCommit(database)
    await commits.run(note(1))
    answers = await asyncio.gather(*(commits.run(note(number)) for number in (2, 1, 3)), return_exceptions=True)
    assert any(isinstance(answer, Exception) for answer in answers)
    stored = [number for number, answer in zip((2, 1, 3), answers, strict=True) if answer is None]
    assert await noted(database) == sorted({1, *stored})
    await commits.run(note(4))
    assert 4 in await noted(database)


async def test_a_caller_that_is_cancelled_takes_nobody_along(database):
    commits = GroupCommit(database)
    first, second = (asyncio.create_task(commits.run(note(number))) for number in (1, 2))
    await asyncio.sleep(0)
    first.cancel()
    await second
    with suppress(asyncio.CancelledError):
        await first
    assert 2 in await noted(database)

"""Signal after signal from one open agency: the outbox stays open, and every durable step keeps its place."""

import asyncio
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pysqlite3.dbapi2 as sqlite
import pytest

from consent_ledger.v1 import batch_pb2, events_pb2
from gateway.crypto.identifiers import AddressBirthDate
from gateway.home import HomeError
from gateway.sdk import local
from gateway.sdk.agency import Agency
from gateway.sdk.outbox import Outbox
from gateway.sdk.rows import ArrearsRow
from gateway.v1 import exchange_pb2
from tests.support.sdk import CITY, PURPOSE, SUPPLIER, FakeGateway, lost

NOW = 1_795_000_000_000
LATER, TRY_LATER = events_pb2.OUTCOME_LATER_OPNIEUW, events_pb2.OUTCOME_PROBEER_LATER


def row(number: int) -> ArrearsRow:
    person = AddressBirthDate("1234AB", str(number + 1), "", "", "1980-02-29")
    return ArrearsRow(f"K{number}", person, Decimal(2), False, False, date(2026, 11, 1), ("reminder",))


class Desk:
    """A supplier whose agency stays open; ``look`` reads its outbox as another process sees it."""

    def __init__(self, home):
        self.home, self.gateway, self.now, self.paused = home, FakeGateway(home), NOW, []

    def open(self):
        async def pause(seconds):
            self.paused.append(seconds)

        return Agency.open(self.home, SUPPLIER, clock=lambda: self.now, pause=pause, remote=self.gateway)

    def look(self, query):
        path = self.home.organisation(SUPPLIER).data / "outbox.db"
        connection = sqlite.connect(f"file:{path}?mode=ro", uri=True)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()

    @property
    def files(self):
        return b"".join(path.read_bytes() for path in self.home.organisation(SUPPLIER).data.glob("outbox*"))


@pytest.fixture
def desk(home):
    return Desk(home)


async def send(agency, *rows, **options):
    return await agency.sender().send(rows, **{"purpose": PURPOSE, "recipient": CITY, **options})


@pytest.mark.parametrize("count", [1, 5])
async def test_a_batch_is_in_the_outbox_before_its_first_byte_goes(desk, count):
    seen = []
    waits = "SELECT b.request, r.id, count(*) FROM sent_batch b JOIN sent_run r ON r.id = b.run, sent_row"
    desk.gateway.troubles = [lambda request: seen.extend([(request.SerializeToString(), *desk.look(waits))])] * 2
    async with desk.open() as agency:
        await send(agency, *map(row, range(count)))
    ((sent, (stored, run, rows)),) = seen
    assert (sent == stored, run, rows) == (True, 1, count)


async def test_a_row_counts_as_answered_once_its_answer_is_stored(desk):
    seen = []
    query = "SELECT request, outcomes, length(signature), finished FROM sent_batch JOIN sent_run ON sent_run.id = run"
    async with desk.open() as agency:
        for number in range(2):
            await send(agency, row(number), progress=lambda _: seen.append(desk.look(query)[-1]))
    assert seen == [(None, b"\x01", 64, 1)] * 2, "the last answer closes the run in its own transaction"


async def test_a_run_with_a_row_left_for_later_stays_open(desk):
    desk.gateway.outcome = TRY_LATER
    async with desk.open() as agency:
        await send(agency, row(0))
        assert desk.look("SELECT finished FROM sent_run") == [(0,)]
        desk.gateway.outcome = events_pb2.OUTCOME_GEEN_TOESTEMMING
        await send(agency, row(0))
    assert desk.look("SELECT id, finished FROM sent_run") == [(1, 1)]


async def test_one_batch_of_two_that_is_left_for_later_keeps_the_run_open(desk):
    outcomes = iter([TRY_LATER, events_pb2.OUTCOME_ACCEPTED])

    def next_outcome(_request):
        desk.gateway.outcome = next(outcomes)

    desk.gateway.troubles = [next_outcome, next_outcome]
    async with desk.open() as agency:
        summary = await send(agency, *map(row, range(1001)))
    assert summary.counts["probeer_later"] in {1, 1000}
    assert desk.look("SELECT finished FROM sent_run") == [(0,)]


async def test_the_outbox_is_opened_once(desk, monkeypatch):
    opened = []

    class Counted(local.Database):
        def __init__(self, path, *arguments, **options):
            opened.append(path.name)
            super().__init__(path, *arguments, **options)

    monkeypatch.setattr(local, "Database", Counted)
    async with desk.open() as agency:
        for number in range(5):
            assert (await send(agency, row(number))).counts["accepted"] == 1
        assert await agency.sender().told_later(purpose=PURPOSE, recipient=CITY) == []
    assert opened == ["outbox.db"]


async def test_between_two_sends_another_process_has_its_turn_and_what_it_did_is_known(desk):
    async with desk.open() as agency, desk.open() as other:
        await send(agency, row(0))
        with Outbox.open(desk.home.organisation(SUPPLIER)):
            pass
        await send(other, row(1))
        again = await send(agency, row(0), row(1))
    assert (again.counts["accepted"], again.batches, desk.paused) == (2, 0, [])


async def test_sends_at_once_take_turns_without_waiting_for_nothing(desk):
    async with desk.open() as agency:
        found = await asyncio.gather(*(send(agency, row(number)) for number in range(20)))
    assert [one.counts["accepted"] for one in found] == [1] * 20
    assert (desk.gateway.decided, desk.paused) == (20, [])


async def test_a_send_waits_for_another_no_longer_than_its_patience(desk):
    async with desk.open() as agency:
        here, away = asyncio.Event(), asyncio.Event()
        submit = desk.gateway.submit

        async def slow(request):
            here.set()
            await away.wait()
            return await submit(request)

        desk.gateway.submit = slow
        first = asyncio.create_task(send(agency, row(0)))
        await here.wait()
        with pytest.raises(HomeError, match="already running"):
            await send(agency, row(1), patience=0)
        away.set()
        assert (await first).counts["accepted"] == 1
        assert (await send(agency, row(1))).counts["accepted"] == 1


async def test_an_open_batch_goes_first_and_what_it_answers_is_not_asked_again(desk):
    desk.gateway.troubles = [lost] * 50
    async with desk.open() as agency:
        assert (await send(agency, row(0), patience=0)).counts["probeer_later"] == 1
        desk.gateway.troubles = []
        again = await send(agency, row(0), row(1))
    assert (again.counts["accepted"], desk.gateway.decided) == (2, 2)
    assert len(set(desk.gateway.calls)) == 2


async def test_a_reference_that_is_settled_is_in_no_file_while_the_agency_stays_open(desk):
    desk.gateway.outcome = LATER
    async with desk.open() as agency:
        await send(agency, replace(row(0), reference="KLANT-0815"))
        assert b"KLANT-0815" in desk.files
        desk.gateway.outcome = events_pb2.OUTCOME_ACCEPTED
        await send(agency, replace(row(0), reference="KLANT-0815"))
        assert b"KLANT-0815" not in desk.files


async def test_a_batch_says_what_is_asked_this_time(desk):
    async with desk.open() as agency:
        await send(agency, row(0))
        await send(agency, row(1), basis="inferred")
        await send(agency, row(2), purpose="handhaving", items=["betalingsachterstand"])
        desk.now += 1
        await send(agency, row(3))
    requests = map(exchange_pb2.SubmitBatchRequest.FromString, desk.gateway.calls)
    headers = [batch_pb2.BatchHeader.FromString(request.header) for request in requests]
    observed, inferred = batch_pb2.BASIS_OBSERVED, batch_pb2.BASIS_INFERRED
    assert [(one.purpose, one.basis, one.created_ms) for one in headers] == [
        (PURPOSE, observed, NOW),
        (PURPOSE, inferred, NOW),
        ("handhaving", observed, NOW),
        (PURPOSE, observed, NOW + 1),
    ]

"""`LATER_OPNIEUW` at the sender: what is kept, what is reported again, and what is forgotten."""

import csv
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from consent_ledger.clock import DAY_MS
from consent_ledger.v1 import batch_pb2, events_pb2
from gateway.crypto.identifiers import AddressBirthDate
from gateway.sdk.agency import Agency
from gateway.sdk.csvfile import ARREARS
from gateway.sdk.rows import ArrearsRow
from gateway.sdk.sendfile import send_file
from gateway.v1 import exchange_pb2
from tests.support.sdk import CITY, PURPOSE, SUPPLIER, FakeGateway, lost, refusal

NOW = 1_795_000_000_000
LATER, YES, NO = events_pb2.OUTCOME_LATER_OPNIEUW, events_pb2.OUTCOME_ACCEPTED, events_pb2.OUTCOME_GEEN_TOESTEMMING


def row(number: int, reference: str = "") -> ArrearsRow:
    person = AddressBirthDate("1234AB", str(number + 1), "", "", "1980-02-29")
    return ArrearsRow(reference or f"K{number}", person, Decimal(2), False, False, date(2026, 11, 1), ("reminder",))


class Kit:
    def __init__(self, home):
        self.home, self.gateway, self.now = home, FakeGateway(home), NOW

    def agency(self):
        async def pause(_seconds):
            return None

        return Agency.open(self.home, SUPPLIER, clock=lambda: self.now, pause=pause, remote=self.gateway)

    async def send(self, rows, **options):
        async with self.agency() as agency:
            return await agency.sender().send(rows, **{"purpose": PURPOSE, "recipient": CITY, **options})

    async def retry(self, rows, **options):
        return await self.send(rows, retry_later=True, **options)

    async def send_file(self, path, **options):
        async with self.agency() as agency:
            return await send_file(agency, path, **{"purpose": PURPOSE, "recipient": CITY, **options})

    async def waiting(self, **options):
        async with self.agency() as agency:
            return await agency.sender().told_later(**{"purpose": PURPOSE, "recipient": CITY, **options})

    @property
    def counts(self):
        requests = map(exchange_pb2.SubmitBatchRequest.FromString, self.gateway.calls)
        return [batch_pb2.BatchHeader.FromString(request.header).count for request in requests]


@pytest.fixture
async def kit(home):
    """Three rows were told to be reported later."""
    kit = Kit(home)
    kit.gateway.outcome = LATER
    assert (await kit.send([row(n) for n in range(3)])).counts["later_opnieuw"] == 3
    kit.gateway.outcome = YES
    return kit


async def test_what_is_still_true_goes_again_and_nothing_else(kit):
    found = await kit.retry([row(0), row(2), row(7)])
    assert found.answers == {"K0": "accepted", "K2": "accepted"}
    assert (found.passed_over, found.forgotten, kit.counts) == (1, 1, [3, 2])
    assert await kit.waiting() == []


async def test_what_was_forgotten_does_not_come_back(kit):
    await kit.retry([row(0)])
    again = await kit.retry([row(0), row(1), row(2)])
    assert (again.rows, again.passed_over, again.forgotten) == (0, 3, 0)
    assert kit.counts == [3, 1]


async def test_the_facts_are_those_of_now(kit):
    worse = replace(row(0), months=Decimal(4), signal_date=date(2026, 11, 20))
    found = await kit.retry([worse])
    assert found.answers == {"K0": "accepted"}
    requests = [exchange_pb2.SubmitBatchRequest.FromString(call) for call in kit.gateway.calls]
    assert requests[0].ciphertexts != requests[1].ciphertexts
    # What went is the row as it is now: it is not asked again, and the row as it was is not the one that was accepted.
    assert (await kit.send([worse])).batches == 0
    assert (await kit.send([row(0)])).batches == 1


async def test_a_reference_given_to_somebody_else_is_another_row(kit):
    found = await kit.retry([replace(row(9), reference="K0")])
    assert (found.rows, found.passed_over, found.forgotten) == (0, 1, 3)
    assert kit.counts == [3]


async def test_a_refusal_ends_the_wait(kit):
    kit.gateway.outcome = NO
    assert (await kit.retry([row(0), row(1), row(2)])).counts["geen_toestemming"] == 3
    assert await kit.waiting() == []
    kit.gateway.outcome = YES
    assert (await kit.retry([row(0), row(1), row(2)])).rows == 0


async def test_later_again_keeps_waiting_and_is_not_waited_with_for_ever(kit):
    kit.gateway.outcome = LATER
    kit.now += 27 * DAY_MS
    assert (await kit.retry([row(0), row(1), row(2)])).counts["later_opnieuw"] == 3
    assert await kit.waiting() == ["K0", "K1", "K2"]
    kit.now += DAY_MS  # 28 days after the first time: a report now would be a new question
    assert await kit.waiting() == []
    kit.gateway.outcome = YES
    assert (await kit.retry([row(0)])).rows == 0


async def test_a_new_wait_begins_with_a_new_report(kit):
    kit.now += 30 * DAY_MS
    kit.gateway.outcome = LATER
    await kit.send([row(0)])
    kit.now += 27 * DAY_MS
    assert await kit.waiting() == ["K0"]


async def test_an_ordinary_send_settles_it_too(kit):
    await kit.send([row(0)])
    assert await kit.waiting() == ["K1", "K2"]


async def test_other_terms_are_another_list(kit):
    assert await kit.waiting(basis="inferred") == []
    found = await kit.retry([row(0)], basis="inferred")
    assert (found.rows, found.forgotten) == (0, 0)
    assert await kit.waiting() == ["K0", "K1", "K2"]


async def test_no_answer_keeps_it(kit):
    kit.gateway.troubles = [lost] * 50
    found = await kit.retry([row(0), row(1), row(2)], patience=0)
    assert found.counts["probeer_later"] == 3
    assert await kit.waiting() == ["K0", "K1", "K2"]
    kit.gateway.troubles = []
    assert (await kit.retry([row(0), row(1), row(2)])).counts["accepted"] == 3
    assert len(kit.gateway.answered) == 2  # the same bytes went on


async def test_an_answer_that_was_settled_without_its_file_is_noted_with_it(kit):
    """A send breaks off in flight; a canary or another file settles its batch; then its own file comes again."""
    kit.gateway.troubles = [lost] * 50
    await kit.send([row(5)], patience=0)
    kit.gateway.troubles, kit.gateway.outcome = [], LATER
    await kit.send([row(6)])
    assert await kit.waiting() == ["K0", "K1", "K2", "K6"]
    await kit.send([row(5)])
    assert await kit.waiting() == ["K0", "K1", "K2", "K5", "K6"]


async def test_a_batch_that_was_accepted_without_its_rows_is_not_asked_again(kit):
    kit.gateway.troubles = [refusal("INTERNAL")] * 50
    await kit.retry([row(0)], patience=0)
    kit.gateway.troubles = []
    await kit.send([row(8)])  # settles the open batch, in which K0 is accepted
    decided = kit.gateway.decided
    found = await kit.retry([row(0)])
    assert (found.answers, kit.gateway.decided) == ({"K0": "accepted"}, decided)
    assert await kit.waiting() == []


async def test_nothing_of_the_signal_is_kept(home):
    kit = Kit(home)
    kit.gateway.outcome = LATER
    await kit.send([row(0, "KLANT-0815"), row(1, "KLANT-4711")])
    data = b"".join(path.read_bytes() for path in home.organisation(SUPPLIER).data.glob("outbox*"))
    assert b"KLANT-0815" in data  # the sender's own reference
    for planted in (b"1234AB", b"1980-02-29", b"reminder", b"2026-11-01"):
        assert planted not in data
    kit.gateway.outcome = YES
    await kit.retry([row(0, "KLANT-0815")])
    data = b"".join(path.read_bytes() for path in home.organisation(SUPPLIER).data.glob("outbox*"))
    assert b"KLANT-0815" not in data
    assert b"KLANT-4711" not in data


def _write(path, *rows):
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([ARREARS.columns, *(line.split(",") for line in rows)])
    return path


LINE = "K{},1980-02-29,1234AB,{},,,{},nee,nee,2026-11-01,reminder"


async def test_a_file_of_today(kit, tmp_path):
    path = _write(tmp_path / "a.csv", LINE.format(0, 1, 3), LINE.format(4, 5, 2))
    found = await kit.send_file(path, retry_later=True)
    assert (found.rows, found.sent.rows, found.sent.passed_over, found.sent.forgotten) == (2, 1, 1, 2)


async def test_a_row_that_cannot_be_read_forgets_nothing(kit, tmp_path):
    path = _write(tmp_path / "a.csv", LINE.format(0, 1, 2), LINE.format(1, 2, "many"))
    found = await kit.send_file(path, retry_later=True)
    assert (found.sent.answers, found.rejected_rows, found.sent.forgotten) == ({"K0": "accepted"}, 1, 0)
    assert await kit.waiting() == ["K1", "K2"]

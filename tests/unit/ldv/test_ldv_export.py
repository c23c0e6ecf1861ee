"""Exporting: at least once, in order, through every outage, and a record that is refused holds up nobody else."""

from __future__ import annotations

import asyncio
import io
import random
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import pytest

from gateway.ldv.book import LdvError
from gateway.ldv.collector import CollectorDown, LinesFile
from gateway.ldv.count import account, missing
from gateway.ldv.follow import export_all
from gateway.ldv.record import span_id
from gateway.ldv.settings import LdvSettings
from gateway.ldv.state import State
from tests.support.backends import make
from tests.support.ldv import (
    SETTINGS,
    book_of,
    check,
    collector_at,
    exporter_of,
    held,
    organisation,
)
from tests.support.ldv_exporting import arrived, following, ids, play, until
from tests.support.ledger import NOW, SIGNER, Ledger
from tests.support.otlp import Answer, OtlpReceiver

ROOT = Path(__file__).resolve().parents[3]
BATCHES, SIZE = 10, 1_000


@pytest.mark.timeout(120)
async def test_a_collector_that_was_down_for_ten_thousand_exchanges_gets_every_record_once_and_in_order(
    tmp_path, state
):
    ledger = Ledger(tmp_path / "ledger.db")
    with OtlpReceiver() as collector:
        collector.stop()
        async with following(ledger, state, collector.endpoint) as (follower, task, pauses):
            await until(lambda: len(pauses.waited) > 1, task)
            await asyncio.to_thread(play, ledger, BATCHES, SIZE)
            expected = ids(ledger)
            await until(lambda: follower.pending >= len(expected), task)
            assert (await state.trouble())[0] == "the collector cannot be reached: ConnectError"
            collector.start()
            await until(lambda: len(collector.spans) >= len(expected) and follower.pending == 0, task)
            assert await state.trouble() is None
        assert arrived(collector) == expected
        assert len(collector.spans) == len(expected), "nothing was sent twice that was taken once"
    count = await state.count(book_of(ledger))
    below, pending = account(ledger.path, count)
    assert (count.exported, count.anonymous, count.set_aside, pending) == (len(expected), 0, (), 0)
    assert below.kinds == {
        "exchange_decided": BATCHES * SIZE,
        "exchange_released": BATCHES * SIZE // 2,
        "exchange_withheld": 0,
        "exchange_acknowledged": BATCHES * SIZE // 2,
        "outcome_reported": BATCHES,
    }
    assert below.records == len(expected)
    assert missing(count, below) is None
    ledger.close()


@pytest.mark.timeout(120)
def test_a_kill_at_any_point_loses_nothing_and_a_collector_keeps_each_record_once(tmp_path):
    ledger = Ledger(tmp_path / "ledger.db")
    play(ledger, 4, 500)
    expected, chance = ids(ledger), random.Random(5)
    with OtlpReceiver() as collector:
        command = [
            sys.executable,
            "-m",
            "tests.support.ldv_exporter",
            str(ledger.path),
            str(tmp_path),
            collector.endpoint,
        ]
        kills = 0
        while len(arrived(collector)) < len(expected):
            process = subprocess.Popen(command, cwd=ROOT)
            enough = collector.requests + chance.randint(1, 3)
            while collector.requests < enough and process.poll() is None:
                wait(process, 0.002)
            wait(process, chance.uniform(0, 0.01))
            process.kill()
            kills += process.wait() == -signal.SIGKILL
        assert kills >= 3
        assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0
        assert arrived(collector) == expected
    account_holds(ledger, tmp_path, len(expected))
    ledger.close()


def wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)


def account_holds(ledger: Ledger, folder: Path, exported: int) -> None:
    with State.open(organisation(folder)) as state:
        count = asyncio.run(state.count(book_of(ledger)))
    below, pending = account(ledger.path, count)
    assert (count.exported, pending, missing(count, below)) == (exported, 0, None)


async def test_what_arrives_is_what_the_standard_says(small, state):
    with OtlpReceiver() as collector, exporter_of(small, state) as exporter:
        async with collector_at(collector.endpoint, small) as target:
            await export_all(exporter, target)
        assert collector.statuses == [200]
        for one in collector.received:
            assert one.scope == "regie.ldv"
            check(one)
        assert arrived(collector) == ids(small)


async def test_an_answer_that_was_lost_sends_the_same_again_under_the_same_ids(small, state):
    with OtlpReceiver() as collector, exporter_of(small, state) as exporter:
        collector.plan(Answer(503, keep=True))
        async with collector_at(collector.endpoint, small) as target:
            with pytest.raises(CollectorDown, match="answers 503"):
                await exporter.step(target)
            await export_all(exporter, target)
        assert collector.bodies[0] == collector.bodies[1]
        assert len(collector.spans) == 2 * len(ids(small))
        assert arrived(collector) == ids(small)


@pytest.mark.parametrize(("said", "waits"), [("7", 7.0), (formatdate(NOW / 1000 + 90, usegmt=True), 90.0), ("x", 1.0)])
async def test_a_collector_that_asks_to_be_left_alone_is(small, state, said, waits):
    with OtlpReceiver() as collector:
        collector.plan(Answer(503, retry_after=said), Answer(429, retry_after=said))
        async with following(small, state, collector.endpoint) as (_, task, pauses):
            await until(lambda: len(collector.spans) >= len(ids(small)), task)
        assert pauses.waited[0] == waits
        assert collector.statuses[:3] == [503, 429, 200]


async def test_waiting_grows_to_a_minute_and_starts_anew_after_success(small, state):
    with OtlpReceiver() as collector:
        collector.always(Answer(500))
        async with following(small, state, collector.endpoint) as (_, task, pauses):
            await until(lambda: len(pauses.waited) >= 9, task)
            collector.always(None)
            await until(lambda: len(collector.spans) >= len(ids(small)), task)
        assert pauses.waited[:9] == [1, 2, 4, 8, 16, 32, 60, 60, 60]


@pytest.mark.parametrize("partly", [False, True])
async def test_a_record_that_is_refused_is_set_aside_and_named_and_the_others_go_on(small, state, partly):
    everything = ids(small)
    wrong = {everything[3], everything[-1]}
    places = sorted(index for index, _ in held(small) if span_id(SIGNER.name.encode(), index) in wrong)
    with OtlpReceiver(bad=lambda span: span.span_id in wrong, partly=partly) as collector:
        with exporter_of(small, state) as exporter:
            async with collector_at(collector.endpoint, small) as target:
                await export_all(exporter, target)
        assert arrived(collector) == [one for one in everything if one not in wrong]
    count = await state.count(book_of(small))
    assert [one.place for one in count.set_aside] == places
    assert count.exported == len(everything) - 2
    below, pending = account(small.path, count)
    assert (missing(count, below), pending) == (None, 0), "set aside is accounted for"


async def test_a_collector_that_refuses_everything_is_set_up_wrongly_and_nothing_is_set_aside(small, state):
    with OtlpReceiver(bad=lambda _span: True) as collector, exporter_of(small, state) as exporter:
        async with collector_at(collector.endpoint, small) as target:
            with pytest.raises(CollectorDown, match="takes no record at all: answered 400"):
                await exporter.step(target)
        assert collector.requests < 40, "it is not asked about each one"
    count = await state.count(book_of(small))
    assert (count.exported, count.set_aside, count.next) == (0, (), 0)


async def test_a_single_record_that_is_refused_waits_until_another_tells_whose_fault_it_is(tmp_path, state):
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.decide(["ben"])
    (first,) = ids(ledger)
    with OtlpReceiver(bad=lambda span: span.span_id == first) as collector, exporter_of(ledger, state) as exporter:
        async with collector_at(collector.endpoint, ledger) as target:
            with pytest.raises(CollectorDown, match="takes none of 1 records"):
                await exporter.step(target)
            ledger.decide(["carla"], 2)
            await export_all(exporter, target)
        assert arrived(collector) == ids(ledger)[1:]
    assert len((await state.count(book_of(ledger))).set_aside) == 1
    ledger.close()


async def test_two_exporters_at_once_send_twice_and_count_once(small, state):
    with OtlpReceiver() as collector, exporter_of(small, state) as one, exporter_of(small, state) as other:
        async with collector_at(collector.endpoint, small) as target:
            await asyncio.gather(export_all(one, target), export_all(other, target))
        assert arrived(collector) == ids(small)
    count = await state.count(book_of(small))
    below, pending = account(small.path, count)
    assert (count.exported, pending, missing(count, below)) == (len(ids(small)), 0, None)


async def test_a_ledger_without_an_endpoint_waits_and_exports_it_later(small, state):
    everything = ids(small)
    async with following(small, state, None) as (follower, task, pauses):
        await until(lambda: len(pauses.waited) > 1, task)
        small.decide(["later"], 99)
        assert follower.pending == 0, "nobody is waited for"
    count = await state.count(book_of(small))
    assert (count.exported, count.next, account(small.path, count)[1]) == (0, 0, len(everything) + 1)
    with OtlpReceiver() as collector, exporter_of(small, state) as exporter:
        async with collector_at(collector.endpoint, small) as target:
            await export_all(exporter, target)
        assert arrived(collector) == ids(small)


async def test_a_cursor_ahead_of_the_log_stops_exporting_and_says_so(small, state):
    with OtlpReceiver() as collector, exporter_of(small, state) as exporter:
        async with collector_at(collector.endpoint, small) as target:
            await export_all(exporter, target)
            await state._run(lambda c: c.exec_driver_sql("UPDATE ldv_book SET next = 50000"))
            with pytest.raises(LdvError, match="50000 entries were exported, and the log has"):
                await exporter.step(target)
        async with following(small, state, collector.endpoint) as (_, task, _):
            await asyncio.wait_for(task, 20)
        assert "50000" in (await state.trouble())[0]


async def test_a_cursor_of_another_log_refuses(small, state):
    with OtlpReceiver() as collector, exporter_of(small, state) as exporter:
        async with collector_at(collector.endpoint, small) as target:
            await export_all(exporter, target)
    another = LdvSettings(None, True, SETTINGS.register, "another.example/log")
    with (
        exporter_of(small, state, another) as exporter,
        pytest.raises(LdvError, match=r"this one is another\.example/log"),
    ):
        await exporter.step(LinesFile(io.StringIO()))


async def test_records_that_are_missing_show_in_the_account(small, state):
    with OtlpReceiver() as collector, exporter_of(small, state) as exporter:
        async with collector_at(collector.endpoint, small) as target:
            await export_all(exporter, target)
    count = await state.count(book_of(small))
    below, _ = account(small.path, count)
    assert missing(count, below) is None
    assert missing(replace(count, exported=count.exported - 1), below).startswith("1 records are missing")
    assert "were exported of at most" in missing(replace(count, exported=count.exported + 1), below)


@pytest.mark.parametrize("engine", ["postgres18", pytest.param("postgres15", marks=pytest.mark.needs("postgres15"))])
async def test_a_ledger_in_postgres_is_exported_and_counted_alike(tmp_path, request, engine, state):
    ledger = Ledger(make(engine, request, tmp_path).location)
    play(ledger, 1, 20)
    with OtlpReceiver() as collector, exporter_of(ledger, state) as exporter:
        async with collector_at(collector.endpoint, ledger) as target:
            await export_all(exporter, target)
            ledger.decide(["later"], 77)
        assert arrived(collector) == ids(ledger)[:-1]
        for one in collector.received:
            check(one)
    count = await state.count(book_of(ledger))
    below, pending = account(ledger.path, count)
    assert (below.records, pending, missing(count, below)) == (count.exported, 1, None)
    ledger.close()

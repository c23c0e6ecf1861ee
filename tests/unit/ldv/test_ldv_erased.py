"""What is erased before or while it is exported: remembered in time, still counted, and never sent as it was."""

from __future__ import annotations

import asyncio

from pysqlite3 import dbapi2

from gateway.ldv.count import account, missing
from gateway.ldv.follow import Again, export_all
from gateway.ldv.ledgerbook import KINDS
from gateway.ldv.record import span_id
from tests.support.erasure import erase as erase_person
from tests.support.ldv import book_of, check, collector_at, exporter_of, held
from tests.support.ldv_exporting import arrived, following, ids, until
from tests.support.ledger import SIGNER, Ledger
from tests.support.otlp import OtlpReceiver


def erase(ledger: Ledger, index: int) -> None:
    """What an erasure takes out."""
    connection = dbapi2.connect(ledger.path)
    connection.execute("DELETE FROM payload WHERE idx = ?", (index,))
    connection.commit()
    connection.close()


async def test_an_entry_that_is_erased_while_it_waits_is_still_counted(small, state):
    everything = held(small)
    (gone, kind), choice = everything[5], small.events()[0][0]
    with OtlpReceiver() as collector:
        collector.stop()
        async with following(small, state, collector.endpoint) as (follower, task, pauses):
            await until(lambda: pauses.waited, task)
            await asyncio.to_thread(follower.remember, [choice, gone])
        erase(small, gone)
        erase(small, choice)
        collector.start()
        with exporter_of(small, state) as exporter:
            async with collector_at(collector.endpoint, small) as target:
                await export_all(exporter, target)
        assert arrived(collector) == [span_id(SIGNER.name.encode(), index) for index, _ in everything]
        (found,) = [one for one in collector.received if "gewist" in one.span.name]
        check(found)
    assert found.span.name == f"{KINDS[kind].id} (gewist)"
    count = await state.count(book_of(small))
    assert (count.exported, count.anonymous, count.remembered) == (len(everything), 1, {})
    below, pending = account(small.path, count)
    assert (missing(count, below), pending) == (None, 0)


async def test_what_the_ledger_erases_is_remembered_before_it_goes(small, state):
    """Really erased, by its resident: the decisions about somebody are still counted, and her choices are no records."""
    everything = ids(small)
    names = [span_id(SIGNER.name.encode(), index) for index, _ in held(small)]
    assert names == everything
    async with following(small, state, None) as (follower, _, _):
        small.sequencer.before_erasing = follower.remember
        gone = await asyncio.to_thread(erase_person, small, "0-0")
        assert gone.entries > 2
    count = await state.count(book_of(small))
    assert sum(count.remembered.values()) == gone.entries
    assert count.remembered["consent_granted"] == 1
    assert account(small.path, count)[1] == len(everything), "nobody is missing, and no choice is counted"
    with OtlpReceiver() as collector, exporter_of(small, state) as exporter:
        async with collector_at(collector.endpoint, small) as target:
            await export_all(exporter, target)
        assert arrived(collector) == everything
        named = [one.span.name for one in collector.received if "gewist" in one.span.name]
    assert named
    assert not any("onbekend" in name for name in named)


async def test_erasing_goes_on_when_it_cannot_be_remembered(small, state):
    everything = ids(small)
    async with following(small, state, None) as (follower, _, _):
        small.sequencer.before_erasing = follower.remember
        await state._run(lambda connection: connection.exec_driver_sql("DROP TABLE ldv_seen"))
        assert (await asyncio.to_thread(erase_person, small, "0-0")).entries
    assert small.sequencer.failure is None
    assert len(everything) > len(ids(small))


async def test_everything_once_more_leaves_out_what_was_erased_and_counts_nothing(small, state):
    everything = ids(small)
    erase(small, held(small)[2][0])
    with OtlpReceiver() as collector, exporter_of(small, Again()) as exporter:
        async with collector_at(collector.endpoint, small) as target:
            await export_all(exporter, target)
        assert arrived(collector) == [*everything[:2], *everything[3:]]
    assert (await state.count(book_of(small))).next == 0

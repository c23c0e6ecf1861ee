"""The publisher over a real ledger and real witnesses: what readers get, and when."""

import asyncio

import pytest

from consent_ledger.errors import RegieError
from consent_ledger.log.checkpoint import open_checkpoint
from consent_ledger.log.note import read_note
from consent_ledger.log.quorum import Quorum
from consent_ledger.log.tiles import consistency_path
from consent_ledger.publishing.publisher import REFRESH_MS
from consent_ledger.publishing.work import WitnessedWork
from consent_ledger.storage.rows import PublishedRow
from consent_ledger.witness.message import AddCheckpoint
from tests.support.ledger import SIGNER, Ledger, grant

KEYS = [SIGNER.verifier]


def names(note):
    return [line.name for line in read_note(note).signatures]


async def test_readers_get_what_a_quorum_cosigned(scene):
    publisher = await scene.publisher(needed=2)
    assert publisher.current() is None
    with pytest.raises(RegieError, match="no checkpoint of this log has been witnessed"):
        await publisher.note()
    await publisher.compare(5)
    for _ in range(3):
        size = scene.grow(by=3)
        await publisher.publish()
        quorum = Quorum(3, tuple(one.keys for one in scene.witnesses))
        checkpoint = quorum.open(await publisher.note(), KEYS)
        head = scene.ledger.sequencer.head
        assert (checkpoint.size, checkpoint.root) == (size, head.root)
        assert set(quorum.cosigned(publisher.current().note).values()) == {scene.clock.now_ms // 1_000}
        assert {one.memory.latest(SIGNER.name).size for one in scene.witnesses} == {size}
    assert "grease.invalid" in names(publisher.current().note)
    state = publisher.state
    assert (state.head_size, state.published_size, state.alarm) == (size, size, "")
    assert [one.size for one in state.witnesses.values()] == [size] * 3


async def test_nobody_is_asked_about_what_is_published_and_fresh(scene):
    publisher = await scene.publisher()
    await publisher.compare(5)
    asked = len(scene.network.asked)
    await publisher.publish()
    assert len(scene.network.asked) == asked
    scene.clock.forward(ms=REFRESH_MS)
    await publisher.publish()
    assert len(scene.network.asked) == asked + 3
    assert publisher.current().cosigned_ms == scene.clock.now_ms


async def test_without_its_quorum_the_older_checkpoint_stays_and_the_ledger_goes_on(scene):
    publisher = await scene.publisher(needed=2)
    await publisher.compare(5)
    before = publisher.current()
    scene.network.down = set(scene.hosts[1:])
    size = scene.grow()
    await publisher.publish()
    assert publisher.current() == before
    assert (publisher.state.head_size, publisher.state.missing) == (size, 1)
    assert all("does not answer" in publisher.state.witnesses[one.keys.name].problem for one in scene.witnesses[1:])
    assert scene.ledger.record("somebody", grant=grant()).log_index == size
    scene.network.down = {scene.hosts[2]}
    scene.clock.forward(ms=2_000)
    await publisher.publish()
    assert (publisher.current().size, publisher.state.missing) == (size + 1, 0)
    assert publisher.state.witnesses[scene.witnesses[1].keys.name].problem == ""


async def test_a_witness_that_is_down_rests_longer_each_time(scene):
    publisher = await scene.publisher(needed=2)
    await publisher.compare(5)
    scene.network.down = {scene.hosts[0]}
    scene.network.asked.clear()
    for _ in range(60):
        scene.grow()
        await publisher.publish()
        scene.clock.forward(ms=1_000)
    asked = scene.network.asked.count(f"POST {scene.hosts[0]}")
    assert asked == 6  # after 0, 1, 3, 7, 15 and 31 seconds
    assert publisher.current().size == scene.ledger.sequencer.head.size


async def test_lines_that_came_before_the_quorum_was_full_are_kept(scene):
    publisher = await scene.publisher(needed=2)
    await publisher.compare(5)
    scene.network.down = set(scene.hosts[1:])
    scene.grow()
    await publisher.publish()
    asked = scene.network.asked.count(f"POST {scene.hosts[0]}")
    scene.network.down = {scene.hosts[2]}
    scene.clock.forward(ms=1_000)
    await publisher.publish()
    assert publisher.current().size == scene.ledger.sequencer.head.size
    assert scene.network.asked.count(f"POST {scene.hosts[0]}") == asked


async def test_an_answer_that_is_lost_is_asked_for_again(scene):
    """The witness stored the size and its answer never came: it says so, and the log goes on from there."""
    publisher = await scene.publisher(needed=3)
    await publisher.compare(5)
    size = scene.grow()
    scene.network.answer_lost = True
    await publisher.publish()
    assert publisher.current().size < size
    assert {one.memory.latest(SIGNER.name).size for one in scene.witnesses} == {size}
    scene.network.answer_lost = False
    scene.clock.forward(ms=2_000)
    await publisher.publish()
    assert publisher.current().size == size


async def test_a_restart_serves_at_once_what_was_published(scene):
    publisher = await scene.publisher(needed=2)
    await publisher.compare(5)
    published = publisher.current()
    scene.ledger.close()
    scene.ledger = Ledger(scene.ledger.path, scene.clock)
    again = await scene.publisher(needed=2)
    scene.network.down = set(scene.hosts[1:])
    scene.grow()
    with pytest.raises(RegieError):
        await again.compare(0.05)
    assert again.current() == published
    # Under a stricter quorum it was never published.
    stricter = await scene.publisher(needed=3)
    scene.network.down = set(scene.hosts[1:])
    await stricter.compare(5)
    assert stricter.current() == published  # all three had cosigned it
    fewer = await scene.publisher(needed=1, witnesses=scene.witnesses[:1])
    await fewer.compare(5)
    assert fewer.current().size == scene.ledger.sequencer.head.size


async def test_what_was_published_under_other_keys_is_not_served(scene):
    note = scene.ledger.sequencer.head.checkpoint
    scene.ledger.sequencer.submit(WitnessedWork(PublishedRow(1, note, scene.clock.now_ms))).result(5)
    publisher = await scene.publisher(needed=2)
    scene.network.down = set(scene.hosts)
    with pytest.raises(RegieError):
        await publisher.compare(0.05)
    assert publisher.current() is None


def stored(ledger):
    with ledger.sequencer.reader.snapshot() as snapshot:
        return snapshot.published()


def test_what_is_stored_only_goes_forward(scene):
    def keep(size, ms):
        scene.ledger.sequencer.submit(WitnessedWork(PublishedRow(size, f"{size} {ms}", ms))).result(5)
        return stored(scene.ledger).note

    before = scene.ledger.sequencer.head
    assert keep(5, 10) == "5 10"
    assert keep(4, 11) == "5 10"
    assert keep(5, 9) == "5 10"
    assert keep(5, 12) == "5 12"
    assert keep(6, 1) == "6 1"
    assert scene.ledger.sequencer.head == before  # nothing was signed for it


async def test_another_replica_that_published_more_is_believed(scene):
    first, second = await scene.publisher(), await scene.publisher()
    await first.compare(5)
    await second.compare(5)
    scene.grow()
    await second.publish()
    asked = list(scene.network.asked)
    await first.publish()
    assert first.current() == second.current()
    assert scene.network.asked == asked


async def test_a_replica_that_was_slower_does_not_take_it_for_a_fork(scene):
    """While it asks about one size, the ledger moves on and another replica's publisher is faster."""
    slow = await scene.publisher(needed=1)
    await slow.compare(5)
    scene.grow()
    ledger, witnesses = scene.ledger, scene.witnesses
    network = scene.network

    def overtake():
        scene.grow(by=2)
        for one in witnesses:
            one.witness.add_checkpoint(request_of(ledger, one))

    network.before = overtake
    await slow.publish()
    assert ledger.sequencer.failure is None
    scene.clock.forward(ms=2_000)
    await slow.publish()
    assert slow.current().size == ledger.sequencer.head.size


def request_of(ledger, witness):
    old = witness.memory.latest(SIGNER.name).size
    with ledger.sequencer.reader.snapshot() as snapshot:
        head = snapshot.head()
        path = consistency_path(old, head.size, snapshot.tile)
    return AddCheckpoint(old, tuple(path), head.checkpoint).format()


async def test_it_goes_on_while_the_ledger_is_busy(scene):
    publisher = await scene.publisher(needed=3)
    await publisher.compare(5)

    async def write():
        for _ in range(40):
            await asyncio.to_thread(scene.grow)

    async def publish():
        for _ in range(40):
            await publisher.publish()

    await asyncio.gather(write(), publish())
    await publisher.publish()
    assert open_checkpoint(publisher.current().note, KEYS).size == scene.ledger.sequencer.head.size
    assert scene.ledger.sequencer.failure is None


async def test_lines_over_an_older_head_are_never_put_under_a_newer_one(scene, monkeypatch):
    publisher = await scene.publisher(needed=2)
    await publisher.compare(5)
    scene.grow()
    sequencer = scene.ledger.sequencer
    with monkeypatch.context() as patch:
        patch.setattr(sequencer, "submit", lambda _work: (_ for _ in ()).throw(RegieError("OVERLOADED", "later")))
        with pytest.raises(RegieError, match="OVERLOADED"):
            await publisher.publish()
    scene.grow()
    scene.network.down = set(scene.hosts)
    await publisher.publish()
    assert publisher.state.missing == 2
    scene.network.down = set()
    scene.clock.forward(ms=2_000)
    await publisher.publish()
    assert publisher.current().size == sequencer.head.size

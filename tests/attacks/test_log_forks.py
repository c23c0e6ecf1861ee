"""A log that shows two faces, or an old one: real witnesses refuse it, and the ledger signs nothing more (I6)."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from consent_ledger.errors import RegieError
from consent_ledger.log.encoding import encode_base64
from tests.support.ledger import SIGNER, Ledger, grant
from tests.support.witness import RealWitness
from tests.support.witnessed import scene_in


@pytest.fixture
async def scene(tmp_path):
    with ThreadPoolExecutor(2) as pool:
        async with scene_in(tmp_path, pool) as found:
            yield found


def copy_of(scene, name):
    """A copy of the ledger as it is now, as a backup makes it; the ledger is opened again."""
    scene.ledger.close()
    copy = scene.folder / name
    shutil.copy(scene.ledger.path, copy)
    scene.ledger = Ledger(scene.ledger.path, scene.clock)
    return copy


def signs_nothing(ledger):
    before = ledger.sequencer.head
    with pytest.raises(RegieError) as caught:
        ledger.record("anybody", grant=grant())
    assert ledger.sequencer.head == before
    return caught.value.reason == "LEDGER_UNAVAILABLE"


async def refusal(publisher):
    with pytest.raises(RegieError) as caught:
        await publisher.compare(5)
    assert caught.value.reason == "LEDGER_UNAVAILABLE"
    return caught.value.message


async def test_a_restored_backup_does_not_start_and_says_why_and_what_to_do(scene):
    backup = copy_of(scene, "backup.db")
    scene.grow(by=5)
    publisher = await scene.publisher()
    await publisher.compare(5)
    newest = scene.ledger.sequencer.head
    restored = Ledger(backup, scene.clock)
    old = restored.sequencer.head
    text = await refusal(await scene.publisher(ledger=restored))
    assert f"has cosigned size {newest.size}, and this log is at {old.size}" in text
    assert f"with this log's own signature (size {newest.size}, root {encode_base64(newest.root)})" in text
    assert "an old copy of the ledger: a backup that was restored" in text
    assert f"Put back the newest copy, which has at least size {newest.size}" in text
    assert signs_nothing(restored)
    restored.close()
    # Neither does it at the next start, and the newest copy still does.
    again = Ledger(backup, scene.clock)
    assert "an old copy" in await refusal(await scene.publisher(ledger=again))
    again.close()
    scene.ledger.close()
    scene.ledger = Ledger(scene.ledger.path, scene.clock)
    await (await scene.publisher()).compare(5)


@pytest.mark.parametrize("ahead", [0, 3])
async def test_two_copies_that_were_written_to_are_a_fork(scene, ahead):
    """The copy is as long as the log that was witnessed, or longer, and holds other entries."""
    copy = copy_of(scene, "copy.db")
    scene.grow(by=4)
    publisher = await scene.publisher()
    await publisher.compare(5)
    other = Ledger(copy, scene.clock)
    scene.grow(other, by=4 + ahead)
    assert other.sequencer.head.root != scene.ledger.sequencer.head.root
    text = await refusal(await scene.publisher(ledger=other))
    assert "cosigned another log under our name (422)" in text
    assert "Two logs exist under this name" in text
    assert "Stop every copy, keep all of them as evidence" in text
    assert f"{scene.witnesses[0].url}/" in text
    assert signs_nothing(other)
    other.close()
    [(_, problem, request)] = scene.witnesses[0].memory.evidence(SIGNER.name)
    assert "not the log that was cosigned" in problem
    assert f"\n{4 + ahead + 35}\n".encode() in request


async def test_a_fork_while_it_runs_stops_the_ledger_at_once_and_for_good(scene):
    publisher = await scene.publisher(needed=1)
    await publisher.compare(5)
    published = publisher.current()
    copy = copy_of(scene, "copy.db")
    publisher = await scene.publisher(needed=1)
    await publisher.compare(5)
    elsewhere = Ledger(copy, scene.clock)
    scene.grow(elsewhere)
    scene.clock.forward(ms=1)
    await (await scene.publisher(needed=1, ledger=elsewhere)).publish()  # another copy of it gets cosigned first
    elsewhere.close()
    scene.grow()
    with pytest.raises(RegieError, match="Two logs exist"):
        await publisher.publish()
    assert "Two logs exist" in publisher.state.alarm
    assert "Two logs exist" in str(scene.ledger.sequencer.failure)
    assert signs_nothing(scene.ledger)
    asked = list(scene.network.asked)
    for _ in range(3):  # nobody is ever asked again
        scene.clock.forward(days=1)
        await publisher.publish()
    assert scene.network.asked == asked
    assert publisher.current().size == published.size


async def test_one_witness_that_saw_the_fork_is_enough(scene):
    """Two of three cosign; the third saw the other face."""
    copy = copy_of(scene, "copy.db")
    elsewhere = Ledger(copy, scene.clock)
    scene.grow(elsewhere, by=2)
    await (await scene.publisher(needed=1, ledger=elsewhere, witnesses=scene.witnesses[2:])).compare(5)
    elsewhere.close()
    scene.grow(by=2)
    text = await refusal(await scene.publisher(needed=2))
    assert scene.witnesses[2].keys.name in text
    assert signs_nothing(scene.ledger)


async def test_a_signed_head_of_another_root_at_the_same_size(scene):
    """Version 1.0.0 of the specification says 409 here, and without a size; version 1.1 says 422."""
    publisher = await scene.publisher(needed=1)
    await publisher.compare(5)
    for status, kind, body in ((409, "text/plain", b"conflict\n"), (422, "text/plain", b"no\n")):
        ledger = Ledger(copy_of(scene, f"{status}.db"), scene.clock)
        scene.grow(ledger)
        doubting = await scene.publisher(needed=1, ledger=ledger)
        scene.network.say(scene.hosts[0], status, kind, body)
        text = await refusal(doubting)
        assert "Two logs exist" in text
        assert signs_nothing(ledger)
        ledger.close()


async def test_nothing_is_signed_until_enough_witnesses_said_how_far_they_saw(scene):
    """Of three witnesses two make a quorum, so two must be asked: one of them saw whatever was published."""
    backup = copy_of(scene, "backup.db")
    scene.grow(by=2)
    await (await scene.publisher(needed=2, witnesses=scene.witnesses)).compare(5)
    restored = Ledger(backup, scene.clock)
    publisher = await scene.publisher(needed=2, ledger=restored)
    scene.network.down = set(scene.hosts)
    with pytest.raises(RegieError, match="0 of 3 witnesses answered and 2 are needed") as caught:
        await publisher.compare(0.2)
    assert "does not answer at http://witness.example.w1" in caught.value.message
    assert "it signs nothing" in caught.value.message
    restored.close()


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_witness_that_forgot_is_not_counted(scene, restarted):
    """Its disk was replaced: what it cosigns from now on says nothing about what was before."""
    publisher = await scene.publisher(needed=1, witnesses=scene.witnesses[:1])
    await publisher.compare(5)
    before = publisher.current()
    if restarted:
        publisher = await scene.publisher(needed=1, witnesses=scene.witnesses[:1])
    fresh = RealWitness(scene.folder / "empty.db", "witness.example/w1", scene.clock)
    scene.witnesses.append(fresh)
    scene.network.replace(fresh, scene.pool)
    scene.grow()
    await publisher.publish()
    assert publisher.current() == before
    assert "has forgotten" in publisher.state.witnesses["witness.example/w1"].problem
    assert fresh.memory.latest(SIGNER.name) is None

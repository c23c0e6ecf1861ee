"""The power fails: whatever was answered is there, whichever writes reached the disk."""

import shutil

import pytest

from consent_ledger.log.errors import VerificationError
from tests.ledger_faults import tracer
from tests.ledger_faults.child import Child
from tests.ledger_faults.disk import Disk, never, some
from tests.ledger_faults.plan import steps
from tests.ledger_faults.power import Loss, chosen, record_run
from tests.ledger_faults.recheck import recheck
from tests.ledger_faults.tracer import Fault
from tests.support.ledger import first_events

pytestmark = pytest.mark.needs("strace")


@pytest.fixture(scope="module")
def run(sweep):
    return record_run(sweep)


def test_what_was_answered_survives(run, seed, folder):
    for loss in chosen(run, 12, seed):
        loss.check(folder)
    assert Loss(run, len(run.made), None).check(folder).found == len(steps())


def test_the_disk_that_is_simulated_does_lose_things(run, folder):
    """Else the tests here could not fail: the moment before the last fsync, its group is gone."""
    last = max(number for number, made in enumerate(run.made) if made.call.name == "fsync")
    assert Loss(run, last, None).check(folder).found == len(steps()) - 1
    disk = run.at(last)
    forgetful = [made for made in run.made[:last] if made.call.name != "fsync"]
    for made in forgetful:
        disk.apply(made)
    assert disk.told > Loss(run, last, None).check(folder).told


def test_an_answer_before_fsync_would_be_found_out(run, folder):
    """What ``synchronous=NORMAL`` does: the same run without its fsync calls loses what was answered."""
    lazy = type(run)(run.start, [made for made in run.made if made.call.name != "fsync"], run.heard)
    with pytest.raises(VerificationError, match=r"I6: size \d+ was signed and shown"):
        Loss(lazy, len(lazy.made), None).check(folder)


@pytest.mark.parametrize("part", [0.2, 0.5, 0.8])
def test_fsync_that_failed_once_is_not_believed_the_next_time(sweep, seed, folder, part):
    """Linux drops what it could not write, and succeeds the next time: the next start must write it again."""
    syncs = [call for call in sweep.calls["writing"] if call.name == "fsync" and call.file.endswith("-wal")]
    failing = syncs[int(part * len(syncs))]
    run = record_run(sweep, Fault(failing, "EIO"), None)
    (failed,) = [number for number, made in enumerate(run.made) if not made.done and made.call.name == "fsync"]
    assert run.made[failed].call.file == "ledger.db-wal"
    late = [loss for loss in chosen(run, 0, seed) if loss.moment > failed]
    for loss in late[:: len(late) // 6]:
        loss.check(folder)
    assert Loss(run, len(run.made), None).check(folder).found == len(steps())


def test_a_ledger_is_there_whole_or_not_at_all_when_its_creation_is_broken_off(sweep, seed, folder):
    order = sweep.order("created", "creating")
    code, made = tracer.record(Child(order).start())
    assert code == 0
    shutil.rmtree(order.folder)
    folder.mkdir()
    there = []
    for moment in range(len(made) + 1):
        disk = Disk(folder)
        for call in made[:moment]:
            disk.apply(call)
        for number, reached in enumerate((never, some(seed + moment))):
            image = folder.with_name(f"{moment}-{number}")
            disk.after_power_loss(image, reached)
            there.append((image / "ledger.db").exists())
            if there[-1]:
                assert recheck(image / "ledger.db").head.size == len(first_events())
    assert there[-2:] == [True, True], "whoever was told that it exists finds it"
    assert True not in there[: len(there) // 2]

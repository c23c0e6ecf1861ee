"""Backups: old, taken while the ledger worked, or put together from files of different moments."""

import random
import shutil

import pytest

from consent_ledger.errors import RegieError
from consent_ledger.log.errors import VerificationError
from consent_ledger.sequencer import open_ledger
from consent_ledger.verify import verify_database
from tests.ledger_faults.outcome import LATER, expected
from tests.ledger_faults.plan import ask, prepare, steps
from tests.ledger_faults.power import record_run
from tests.ledger_faults.recheck import VKEY, checkpoint_in, entries
from tests.support.ledger import SIGNER, Time

COPIES = 40


def test_an_old_copy_is_refused_by_whoever_knows_a_newer_checkpoint(tmp_path):
    """At every step of the plan: a copy of before, and the checkpoints that were shown since."""
    path = tmp_path / "ledger.db"
    prepare(path)
    for step in steps():
        old = tmp_path / f"before-{step.name}.db"
        shutil.copy(path, old)
        shown = []
        with open_ledger(path, SIGNER, Time()) as ledger:
            assert ask(ledger, step, lambda name, answer, shown=shown: shown.append(checkpoint_in(name, answer)))
            newest = ledger.head
        for known in filter(None, shown):
            with pytest.raises(RegieError, match=rf"old copy: it has size \d+, and size {newest.size} was signed"):
                open_ledger(old, SIGNER, Time(LATER), known_checkpoint=known)
            open_ledger(path, SIGNER, Time(LATER), known_checkpoint=known).close()


@pytest.mark.needs("strace")
def test_files_copied_at_different_moments_are_a_state_of_the_ledger_or_do_not_verify(sweep, seed, folder):
    """The file of one moment with the -wal file of another: never a log that verifies and says something else."""
    run = record_run(sweep)
    emptied = max(number for number, made in enumerate(run.made) if made.call[::2] == ("fsync", "ledger.db"))
    chance = random.Random(seed)
    whole = expected()
    verified = 0
    for number in range(COPIES):
        # Every other time the -wal file was emptied into the file in between: it then lacks what the copy needs.
        split = emptied if number % 2 else len(run.made)
        file, log = chance.randrange(split + 1), chance.randrange(emptied if number % 2 else 0, len(run.made) + 1)
        folder.mkdir()
        for name, moment in (("ledger.db", file), ("ledger.db-wal", log)):
            if (content := run.at(moment).cached(name)) is not None:
                (folder / name).write_bytes(content)
        try:
            verify_database(folder / "ledger.db", VKEY)
        except VerificationError as error:
            # A payload or projection that is lost is for fsck to name; a writer never goes on from a broken log.
            if getattr(error, "table", "leaf") in ("leaf", "tile", "head"):
                with pytest.raises(RegieError):
                    open_ledger(folder / "ledger.db", SIGNER, Time(LATER))
        else:
            verified += 1
            found = entries(folder / "ledger.db")
            assert found == whole[: len(found)]
        shutil.rmtree(folder)
    assert verified, "some copies are whole: the others prove nothing without them"

"""Kill and fail a ledger at system calls on its files: a sample of ``make sweep``, another in every run."""

import pytest

from tests.ledger_faults import matrix
from tests.ledger_faults.sweep import Case, sample
from tests.ledger_faults.tracer import FAULTS, Fault

pytestmark = pytest.mark.needs("strace")
SAMPLE = 50


def test_a_sample_of_system_calls(sweep, seed):
    """Nothing answered is missing or answered differently, nothing is half there, and it is as docs/ says."""
    found = [sweep.run(case) for case in sample(list(sweep.cases()), SAMPLE, seed)]
    documented = matrix.read(matrix.DOCUMENT.read_text())
    assert matrix.missing(matrix.table(found), documented) == [], "make sweep ARGS=--write"


ONCE_BROKEN = {
    # a creation whose last act failed unseen gave a ledger without its content
    "creating, file incomplete": ("creating", "pwrite64", "ledger.db.new", -1, "EIO"),
    # or one that was not in WAL mode, and could not be opened
    "creating, not in WAL mode": ("creating", "pwrite64", "ledger.db.new", 1, "EIO"),
    # or a second name of the live file
    "creating, two names": ("creating", "unlink", "ledger.db.new", -1, "kill"),
    # the request again was answered "erased" while the bytes were still in the file
    "erasing, not overwritten": ("erasing", "pwrite64", "ledger.db", 0, "kill"),
}


@pytest.mark.parametrize("name", ONCE_BROKEN)
def test_what_once_went_wrong(sweep, name):
    phase, call, file, which, kind = ONCE_BROKEN[name]
    calls = [each for each in sweep.calls[phase] if (each.name, each.file) == (call, file)]
    sweep.run(Case(phase, Fault(calls[which], kind)))


def test_the_calls_are_those_that_make_a_commit_durable(sweep):
    """What is swept is real: -wal writes and their fsync, the file's, its folder's, creation, recovery."""
    calls = {phase: {(call.name, call.file) for call in made} for phase, made in sweep.calls.items()}
    assert {("pwrite64", "ledger.db-wal"), ("pwrite64", "ledger.db")} <= calls["writing"]
    assert {"ledger.db", "ledger.db-wal", "the folder"} <= {
        file for name, file in calls["writing"] if name in ("fsync", "fdatasync")
    }
    assert ("link", "ledger.db.new") in calls["creating"]
    assert ("openat", "ledger.db.lock") in calls["opening"]


def test_the_document_has_every_kind_of_call(sweep):
    documented = matrix.read(matrix.DOCUMENT.read_text())
    assert matrix.write(documented) == matrix.DOCUMENT.read_text(), "written by hand?"
    kinds = {(call.name, call.file) for made in sweep.calls.values() for call in made}
    assert {(row.call, row.file) for row in documented} == kinds, "make sweep ARGS=--write"
    assert all(set(cells) <= set(FAULTS) and cells for cells in documented.values())

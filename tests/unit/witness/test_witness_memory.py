"""What a witness remembers, and when it had better not go on."""

import resource
import signal
import sqlite3
import stat

import pytest

from consent_ledger.witness.memory import MOST_EVIDENCE, Cosigned, Memory, WitnessMemoryError, create_memory
from consent_ledger.witness.message import origin_hash
from tests.support.witness import ORIGIN, SmallLog

LOG = SmallLog()


def row(size, seconds=100, root=b"\1" * 32):
    return Cosigned(ORIGIN, origin_hash(ORIGIN), size, root, seconds, "note")


@pytest.fixture
def path(tmp_path):
    create_memory(tmp_path / "witness.db")
    return tmp_path / "witness.db"


@pytest.fixture
def memory(path):
    found = Memory(path)
    yield found
    found.close()


def test_only_its_owner_reads_it(path):
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_remembers_over_a_restart(path):
    first = Memory(path)
    first.step(ORIGIN, lambda latest: row(5) if latest is None else row(0))
    first.close()
    again = Memory(path)
    assert again.latest(ORIGIN) == again.by_hash(origin_hash(ORIGIN)) == row(5)
    again.close()


def test_a_missing_memory_is_never_made_up(tmp_path):
    with pytest.raises(WitnessMemoryError, match="would cosign a fork"):
        Memory(tmp_path / "witness.db")
    assert not list(tmp_path.iterdir())


def test_is_made_once(path):
    with pytest.raises(WitnessMemoryError, match="made once"):
        create_memory(path)


def test_one_process_at_a_time(memory, path):
    with pytest.raises(WitnessMemoryError, match="runs already"):
        Memory(path)


def test_other_files_are_refused(tmp_path, path):
    (tmp_path / "text.db").write_text("this is no database" * 100)
    sqlite3.connect(tmp_path / "empty.db").close()
    for name in ("text.db", "empty.db"):
        with pytest.raises(WitnessMemoryError):
            Memory(tmp_path / name)


def test_a_damaged_file_is_refused(path):
    first = Memory(path)
    for number in range(200):
        first.step(f"log{number}", lambda _, n=number: row(1)._replace(origin=f"log{n}", origin_hash=f"{n}"))
    first.close()
    data = bytearray(path.read_bytes())
    data[4096 * 3 : 4096 * 3 + 64] = b"\xff" * 64
    path.write_bytes(data)
    with pytest.raises(WitnessMemoryError, match="damaged"):
        Memory(path)


@pytest.mark.parametrize("wrong", [row(4), row(5, root=b"\2" * 32), row(6, seconds=99)])
def test_the_file_itself_refuses_to_go_back(memory, wrong):
    memory.step(ORIGIN, lambda _: row(5))
    with pytest.raises(WitnessMemoryError, match="only goes forward"):
        memory.step(ORIGIN, lambda _: wrong)


def test_the_file_itself_refuses_to_forget(path):
    first = Memory(path)
    first.step(ORIGIN, lambda _: row(5))
    first.close()
    with sqlite3.connect(path) as other, pytest.raises(sqlite3.IntegrityError, match="does not forget"):
        other.execute("DELETE FROM cosigned")
    other.close()


def test_what_decides_may_refuse_and_nothing_is_stored(memory):
    def refuse(_):
        raise KeyError("no")

    with pytest.raises(KeyError):
        memory.step(ORIGIN, refuse)
    assert memory.latest(ORIGIN) is None
    assert memory.step(ORIGIN, lambda _: row(1)).size == 1


def test_a_disk_that_refuses_ends_it(real):
    """Whether a failed commit is on the disk is not known: nothing is answered any more, until a new start reads it."""
    real.witness.add_checkpoint(LOG.request(0, 3).format())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, hard))
    try:
        with pytest.raises(WitnessMemoryError, match="cannot be written"):
            real.witness.add_checkpoint(LOG.request(3, 4).format())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    for call in (lambda: real.witness.add_checkpoint(LOG.request(3, 4).format()), lambda: real.memory.latest(ORIGIN)):
        with pytest.raises(WitnessMemoryError, match="start the witness again"):
            call()
    real.stop()
    real.start()
    assert real.memory.latest(ORIGIN).size == 3
    real.witness.add_checkpoint(LOG.request(3, 4).format())


def test_evidence_is_bounded_for_each_log(memory):
    for number in range(MOST_EVIDENCE + 5):
        memory.keep_evidence(ORIGIN, number, "fork", b"request")
    memory.keep_evidence("another", 1, "fork", b"request")
    kept = memory.evidence(ORIGIN)
    assert [seconds for seconds, _, _ in kept] == list(range(MOST_EVIDENCE))
    assert len(memory.evidence("another")) == 1

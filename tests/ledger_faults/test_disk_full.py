"""A full disk: refused, stopped, and nothing that was answered is lost; with room it goes on."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from consent_ledger.errors import RegieError
from consent_ledger.sequencer import open_ledger
from tests.ledger_faults.child import Child, Order, told
from tests.ledger_faults.outcome import GONE, judge
from tests.ledger_faults.plan import prepare, steps
from tests.support.ledger import SIGNER, Time


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    path = tmp_path_factory.mktemp("prepared") / "ledger.db"
    prepare(path)
    return path


def broken_off(order: Order) -> int:
    """Go through the plan until the disk is full; return how many steps were answered."""
    child = Child(order).start()
    child.go()
    assert child.end() == 0, order.said.read_text()
    said = order.said.read_text()
    assert "Traceback" not in said, said
    assert "stopped: OperationalError" in said
    heard = told(order)
    assert heard[-1].answer == GONE
    return len({each.name for each in heard if each.answer != GONE})


@pytest.mark.parametrize("largest", [80_000, 120_000, 200_000, 260_000])
def test_a_file_may_not_grow(prepared, folder, largest):
    """RLIMIT_FSIZE: every write beyond it fails with EFBIG."""
    order = Order(folder, largest=largest)
    order.ledger.parent.mkdir(parents=True)
    shutil.copy(prepared, order.ledger)
    broken_off(order)
    assert judge(order.ledger, told(order)).told < len(steps())


@contextlib.contextmanager
def small_disk(folder: Path, size: int) -> Iterator[bool]:
    """Mount a file system of so many bytes, where this process may; else give False."""
    folder.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "regie-test", str(folder)], check=False, capture_output=True
    )
    try:
        yield mounted.returncode == 0
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("room", [60_000, 130_000, 220_000])
def test_a_disk_is_full(prepared, folder, room):
    order = Order(folder, largest=0)
    size = prepared.stat().st_size + 32_768 + room
    with small_disk(order.ledger.parent, size) as mounted:
        shutil.copy(prepared, order.ledger)
        if not mounted:  # not root: a limit for each file is the nearest
            order = Order(folder, largest=room + 40_000)
        answered = broken_off(order)
        if mounted:
            _opened_on_the_full_disk(order)
            subprocess.run(["mount", "-o", f"remount,size={4 * size}", str(order.ledger.parent)], check=True)
        outcome = judge(order.ledger, told(order))
    assert answered >= outcome.told
    assert outcome.told < len(steps())


def _opened_on_the_full_disk(order: Order) -> None:
    """It says why it cannot start, or starts; it keeps everything either way."""
    filler, reason = order.ledger.with_name("filler"), ""
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    try:
        open_ledger(order.ledger, SIGNER, Time()).close()
    except RegieError as error:
        reason = error.reason
    assert reason in ("", "LEDGER_UNAVAILABLE")
    filler.unlink()

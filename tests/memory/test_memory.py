"""No role holds more and more: a bounded sample of `make soak`, and what tells a leak from a cache that fills."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.memory.growth import MB, Memory
from tests.memory.load import ROLES

SIGNALS = 6_000
LARGEST_GROWTH = 20.0
"""MB by 10,000 signals, beyond pages of databases: a role that keeps 2 kB of each is found."""


def measured(*arguments: str) -> dict[str, dict[str, float]]:
    command = [sys.executable, "-m", "tests.memory", "--json", *arguments]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["delivered"] >= found["signals"] // 2
    memory: dict[str, dict[str, float]] = found["memory"]
    return memory


@pytest.mark.timeout(240)
def test_no_role_grows_under_steady_load():
    memory = measured("--signals", str(SIGNALS))
    assert set(memory) == {*ROLES, "sdk"}
    # What the SDK holds goes up and down by 10 MB in 3,000 signals, so that only a longer run tells (`make soak`).
    growing = {role: memory[role] for role in ROLES if memory[role]["beyond_pages_mb_per_10000"] > LARGEST_GROWTH}
    assert not growing


def samples(leak: float, count: int = 60) -> Memory:
    """A process that fills its caches, now and then holds a large answer, and keeps some bytes of each signal."""
    chance, memory = random.Random(1), Memory()
    for number in range(count):
        cache, answer = min(number, count // 3) * MB, chance.choice((0, 0, 0, 20 * MB))
        memory.add(100 * number, int(100 * MB + cache + answer + leak * 100 * number), 0)
    return memory


def test_a_cache_that_fills_is_no_growth_and_a_leak_is():
    assert samples(0).growth < MB / 10
    assert samples(1_500).growth == pytest.approx(1_500 * 10_000, rel=0.1)

"""The profile's arithmetic: the kernel says how much a thread used, samples only how that divides."""

import os
import threading
from collections import Counter

import pytest

from tests.bench.profile import tables, tally, thread_seconds

WORK = "Thread.run (threading.py:982);_worker (concurrent/futures/thread.py:83)"
STACKS = f"""\
thread (11): regie-group_0;{WORK};_spread (gateway/crypto/group.py:80);multiply.<locals>.work (gateway/crypto/group.py:152) 30
thread (11): regie-group_0;{WORK};seal (gateway/crypto/hpke.py:9);seal (cryptography/hpke.py:7) 10
thread (11): regie-group_0;{WORK} 960
thread (12): regie-group_1;{WORK};multiply.<locals>.work (gateway/crypto/group.py:152) 1
thread (13): MainThread;serve (regie:8);poll (grpc/aio.py:7) 5
thread (14): ledger-writer;get (queue.py:171);wait (threading.py:320) 500
"""


def test_seconds_of_a_thread_divide_as_its_samples_do_without_those_that_wait():
    seconds = tally(STACKS, {11: 4.0, 12: 2.0, 13: 0.5, 14: 0.1})
    assert seconds == {
        ("regie-group", "gateway.crypto.group: multiply.<locals>.work"): pytest.approx(5.0),
        ("regie-group", "gateway.crypto.hpke: seal"): pytest.approx(1.0),
        ("MainThread", "grpc.aio: poll"): pytest.approx(0.5),
    }


def test_a_thread_that_began_and_ended_unseen_counts_for_nothing():
    assert tally(STACKS, {11: 4.0}).total() == pytest.approx(4.0)


def test_shares_are_of_all_parties_together():
    text = tables(
        {
            "ledger": Counter({("writer", "a: f"): 3.0, ("writer", "a: g"): 0.97, ("pool", "a: g"): 2.0}),
            "sender": Counter({("main", "b: h"): 4.0, ("main", "b: tiny"): 0.03}),
        }
    )
    threads, functions = text.split("\n\n")
    assert threads.splitlines()[2:] == [
        "| sender | `main` | 40.3 |",
        "| ledger | `writer` | 39.7 |",
        "| ledger | `pool` | 20.0 |",
        "| all | the rest, each below 0.5 % | 0.0 |",
    ]
    assert "| ledger | `a: g` | 29.7 |" in functions
    assert functions.endswith("| all | the rest, each below 0.5 % | 0.3 |")


def test_processor_time_of_threads_is_the_kernels():
    mine = threading.get_native_id()
    before = thread_seconds(os.getpid())
    sum(range(3_000_000))
    assert thread_seconds(os.getpid())[mine] - before[mine] > 0.005

"""`make profile`: where the processor time of a signal goes, by party, thread and function.

Each role runs in a process of its own while py-spy looks at all of them and at the sender, which sends batches of 1000.
A sample counts for the innermost function of this project: what it calls in libraries is its time too. Needs Linux and
permission to trace one's own processes (root, or kernel.yama.ptrace_scope 0).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from time import perf_counter

from gateway.cli.common import run
from gateway.sdk.agency import Agency
from gateway.town.participants import LAMPJE
from tests.bench.document import DOCS, replaced
from tests.bench.sending import send
from tests.bench.town import PATH, filling, found, person, row, unbounded
from tests.support.command import Regie, served

PY_SPY = Path(sys.executable).with_name("py-spy")
PACKAGES = ("gateway", "consent_ledger")
PEOPLE = 4_000
RATE = 100
LEAST_PERCENT = 0.5
_THREAD = re.compile(r"thread \((?P<tid>\w+)\)(: (?P<name>.*))?$")
_NUMBER = re.compile(r"[-_]\d+(_\d+)?$")  # of a thread of a pool: they count together
_WAITING = re.compile(r"\((threading|queue|selectors|concurrent/futures/thread)\.py:\d+\)$")


@contextmanager
def watched(pids: Mapping[str, int], folder: Path) -> Iterator[dict[str, Path]]:
    """Sample processes inside the block, only while they use a processor; the files hold stacks afterwards."""
    files = {party: folder / f"{party}.raw" for party in pids}
    options = ["--rate", str(RATE), "--format", "raw", "--threads"]
    watchers = [
        subprocess.Popen(
            [PY_SPY, "record", "--pid", str(pid), "--output", files[party], *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for party, pid in pids.items()
    ]
    try:
        yield files
    finally:
        for watcher in watchers:
            watcher.send_signal(signal.SIGINT)
        for watcher in watchers:
            watcher.wait(60)


def thread_seconds(pid: int) -> dict[int, float]:
    """Return the processor time that each thread of a process has used."""
    spent = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            spent[int(task.name)] = int((task / "schedstat").read_text().split()[0]) / 1e9
    return spent


def tally(stacks: str, spent: Mapping[int, float]) -> Counter[tuple[str, str]]:
    """Return seconds by (kind of thread, function) of stacks in py-spy's raw format.

    How much a thread used, the kernel says; only how that divides over functions is sampled. So threads that wait, but
    look busy to who samples, count for nothing.
    """
    of_thread: dict[tuple[int, str], Counter[str]] = defaultdict(Counter)
    for line in stacks.splitlines():
        stack, _, times = line.rpartition(" ")
        thread, *frames = stack.split(";")
        found = _THREAD.match(thread)
        assert found, thread
        if frames and _WAITING.search(frames[-1]):
            continue
        of_thread[int(found["tid"], 0), _NUMBER.sub("", found["name"] or "")][_function(frames)] += int(times)
    seconds: Counter[tuple[str, str]] = Counter()
    for (tid, kind), samples in of_thread.items():
        for function, times in samples.items():
            seconds[kind, function] += spent.get(tid, 0.0) * times / samples.total()
    return seconds


def _function(frames: Sequence[str]) -> str:
    """Return the innermost function of this project; of a stack without one, the innermost of all."""
    ours = (frame for frame in reversed(frames) if any(f" ({package}/" in frame for package in PACKAGES))
    name, _, place = next(ours, frames[-1] if frames else "nothing (nowhere:0)").rpartition(" (")
    return f"{place.rpartition(':')[0].removesuffix('.py').replace('/', '.')}: {name}"


def tables(seconds: Mapping[str, Counter[tuple[str, str]]]) -> str:
    """Return what each thread and each function takes, in percent of the time of all parties, as Markdown."""
    total = sum(each.total() for each in seconds.values())
    threads: Counter[tuple[str, str]] = Counter()
    functions: Counter[tuple[str, str]] = Counter()
    for party, each in seconds.items():
        for (thread, function), spent in each.items():
            threads[party, thread] += spent
            functions[party, function] += spent
    parts = []
    for title, counted in (("thread", threads), ("function", functions)):
        lines = [f"| party | {title} | % |", "|---|---|---|"]
        shown = [(key, 100 * spent / total) for key, spent in counted.most_common()]
        lines += [f"| {party} | `{name}` | {share:.1f} |" for (party, name), share in shown if share >= LEAST_PERCENT]
        rest = sum(share for _, share in shown if share < LEAST_PERCENT)
        parts.append("\n".join([*lines, f"| all | the rest, each below {LEAST_PERCENT} % | {rest:.1f} |"]))
    return "\n\n".join(parts)


@dataclass(frozen=True)
class Sampled:
    """What was seen of one party: its stacks, and the processor time of its threads meanwhile."""

    stacks: Path
    spent: dict[int, float]


async def sample(folder: Path, seconds: float) -> dict[str, Sampled]:
    """Send batches of 1000 for so long, and return what was seen of each party."""
    home, rounds = found(folder / "home"), count()
    with ThreadPoolExecutor(os.cpu_count() or 1) as workers, filling(home, workers) as writer:
        writer.agree(LAMPJE.oin, [person(number) for number in range(PEOPLE)])
    async with AsyncExitStack() as stack:
        servers = {role: stack.enter_context(served(Regie(home.folder), role)) for role in PATH}
        agency = await stack.enter_async_context(Agency.open(home, LAMPJE.oin))

        async def sends(until: float) -> None:
            while perf_counter() < until:
                round_ = next(rounds)
                await send(agency, [row(number, round_) for number in range(PEOPLE)])

        await sends(perf_counter() + 1)  # connects and warms up
        pids = {"sender": os.getpid()} | {role: server.process.pid for role, server in servers.items()}
        before = {party: thread_seconds(pid) for party, pid in pids.items()}
        with watched(pids, folder) as files:
            await sends(perf_counter() + seconds)
            after = {party: thread_seconds(pid) for party, pid in pids.items()}
        return {
            party: Sampled(files[party], {tid: now - before[party].get(tid, 0.0) for tid, now in after[party].items()})
            for party in pids
        }


def main() -> int:
    parser = argparse.ArgumentParser(prog="make profile", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument(
        "--stacks", type=Path, help="keep the stacks in this folder, one file a party (speedscope reads them)"
    )
    parser.add_argument("--write", action="store_true", help="write the tables into docs/performance.md too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="regie-profile-") as name:
        seen = run(sample(Path(name), options.seconds))
        shares = tables({party: tally(one.stacks.read_text(), one.spent) for party, one in seen.items()})
        print(shares)
        if options.write:
            path = DOCS / "performance.md"
            path.write_text(replaced(path.read_text("utf-8"), "profile", shares), "utf-8")
        if options.stacks:
            options.stacks.mkdir(parents=True, exist_ok=True)
            for one in seen.values():
                shutil.copy(one.stacks, options.stacks)
    return 0


if __name__ == "__main__":
    unbounded()
    sys.exit(main())

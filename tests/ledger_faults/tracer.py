"""strace at a child: counts the system calls on the ledger's files, and makes the n-th of them fail or kill."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.ledger_faults.child import Child
from tests.ledger_faults.plan import WAIT
from tests.support import tools

CALLS = ("pwrite64", "write", "fsync", "fdatasync", "ftruncate", "fallocate", "openat", "unlink", "link", "rename")
"""What changes a file or its folder, and what opens one. strace leaves out what an architecture does not have."""

FAULTS = {
    "kill": "signal=KILL:when={}",  # on entering: the call is not made
    "EIO": "error=EIO:when={}",  # once: what is asked afterwards succeeds
    "ENOSPC": "error=ENOSPC:when={}+",  # from there on
}
FOLDER = "the folder"

# With -xx every string and path is in hexadecimal. The names of the groups are those of ``Call``.
_LINE = re.compile(
    r"^(?:\d+ +)?(?P<name>\w+)\("
    r'(?:(?:AT_FDCWD<[^>]*>, )?"(?P<path>[^"]*)"|\d+<(?P<fd>[^>]*)>)'
    r"(?P<rest>.*?)\) += (?P<result>\?|-?\d+)"
)
_DATA = re.compile(r'"(?P<data>[^"]*)"')


class Call(NamedTuple):
    """One system call on a file of the ledger; ``nth`` of its name, from 1."""

    name: str
    nth: int
    file: str


class Made(NamedTuple):
    """A call with what it wrote (of ``link``: the new name), its last argument, and whether it succeeded."""

    call: Call
    data: bytes
    last: str
    done: bool


class Fault(NamedTuple):
    """What happens at which call."""

    call: Call
    kind: str

    def __str__(self) -> str:
        return f"{self.kind} at {self.call.name} {self.call.nth} ({self.call.file})"


def run(child: Child, fault: Fault | None = None) -> tuple[int, list[Call]]:
    """Let a started child go under strace until its end; return its exit code and the calls its thread made.

    Only that thread is traced (strace counts calls by thread), and only calls on these files, so that a number means
    the same call in every run.
    """
    inject = ["-e", f"inject={fault.call.name}:{FAULTS[fault.kind].format(fault.call.nth)}"] if fault else []
    tracer = _attach(child, "-p", str(child.task), "-s", "1", *inject)
    return _finish(child, tracer), [made.call for made in trace(child)]


def record(child: Child, fault: Fault | None = None) -> tuple[int, list[Made]]:
    """Do the same with all its threads, and see every byte they write and every answer they give."""
    inject = ["-e", f"inject={fault.call.name}:{FAULTS[fault.kind].format(fault.call.nth)}"] if fault else []
    told = str(child.order.told)
    tracer = _attach(child, "-f", "-p", str(child.pid), "-s", "1000000", "-P", told, *inject)
    return _finish(child, tracer), list(trace(child))


def _attach(child: Child, *options: str) -> subprocess.Popen[str]:
    """Start strace on a child that waits; returns once every call of it is seen."""
    ledger = child.order.ledger
    suffixes = ("", "-wal", "-shm", ".lock", ".new", ".new-wal", ".new-shm")
    watched = [ledger.parent, *(ledger.with_name(ledger.name + suffix) for suffix in suffixes)]
    command = [str(tools.path("strace")), "-y", "-xx", "-o", str(_log(child))]
    command += ["-e", "trace=" + ",".join(f"?{name}" for name in CALLS)]
    command += [part for path in watched for part in ("-P", str(path))] + list(options)
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    said = tracer.stderr.readline()  # "Process N attached", or "... attached with M threads"
    if " attached" not in said:
        child.kill()
        raise AssertionError(f"strace did not attach: {said}{tracer.stderr.read()}")
    return tracer


def _finish(child: Child, tracer: subprocess.Popen[str]) -> int:
    assert tracer.stderr is not None
    child.go()
    code = child.end()
    tracer.stderr.read()
    tracer.stderr.close()
    tracer.wait(WAIT)
    return code


def _log(child: Child) -> Path:
    return child.order.folder / "calls"


def trace(child: Child) -> Iterator[Made]:
    """Read the calls of a child that has ended, in order."""
    folder = child.order.ledger.parent
    count: dict[str, int] = {}
    for line in _log(child).read_text().splitlines():
        if "(" not in line:
            continue  # the end of a thread
        found = _LINE.match(line)
        assert found, f"a call of a shape that is not known: {line[:200]}"
        name, path = found["name"], Path(_decoded(found["path"] or found["fd"]).decode())
        count[name] = count.get(name, 0) + 1
        data = _DATA.search(found["rest"])
        call = Call(name, count[name], FOLDER if path == folder else path.name)
        done = found["result"].isdigit()
        yield Made(call, _decoded(data["data"]) if data else b"", found["rest"].rsplit(", ", 1)[-1], done)


def _decoded(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def kinds(made: Sequence[Call]) -> list[tuple[str, str]]:
    """Return (name, file) of calls, each once, in the order they first appear."""
    return list(dict.fromkeys((call.name, call.file) for call in made))

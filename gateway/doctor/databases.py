"""Databases and disks of the organisations on this machine: engine, schema, whole, room."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, cast
from urllib.parse import quote

from pysqlite3 import dbapi2
from sqlalchemy import select

from consent_ledger.errors import RegieError
from consent_ledger.storage.engines import open_for_reading
from consent_ledger.storage.sqlite import APPLICATION_ID, SCHEMA_VERSION, check_runtime
from gateway.database import looking
from gateway.doctor.finding import Case, Finding, fail, ok, warn
from gateway.home import HomeError, Role

AREA, DISK = "databases", "disk"
QUICK_BYTES = 256 << 20
"""Larger files are not read whole here: `regie log fsck` does that for a ledger."""
OTHERS = 0o077
SCARCE, NONE_LEFT = 0.10, 0.03
GIB = 1 << 30


class Usage(NamedTuple):
    """Bytes of a file system."""

    total: int
    free: int


def usage_of(folder: Path) -> Usage:
    """Return how full the file system of a folder is."""
    found = shutil.disk_usage(folder)
    return Usage(found.total, found.free)


def check_databases(case: Case) -> Iterator[Finding]:
    """Look at the engine, the ledger, and every SQLite file."""
    try:
        check_runtime()
        yield ok(AREA, f"SQLite {dbapi2.sqlite_version} keeps what it answered")
    except RegieError as error:
        yield fail(AREA, error.message, "install this program's locked requirements again")
    here = {organisation.oin for organisation in case.organisations}
    if case.home.operators["ledger"] in here:
        yield _ledger(case)
    yield from _shared(case, here)
    files = [path for one in case.organisations for path in sorted((one.folder / "data").glob("*.db"))]
    wrong = [finding for path in files for finding in _file(path)]
    yield from wrong
    if files and not wrong:
        yield ok(AREA, f"{len(files)} SQLite files are whole, and for their owner only")


def _ledger(case: Case) -> Finding:
    try:
        location = case.home.ledger
        if isinstance(location, Path):
            version = _read(location, "PRAGMA user_version"), _read(location, "PRAGMA application_id")
            if version != (SCHEMA_VERSION, APPLICATION_ID):
                what = f"{location} has schema {version[0]}, this program needs {SCHEMA_VERSION}"
                return fail(AREA, what, "run `regie ledger migrate`, or the program that belongs to it")
        with closing(open_for_reading(location)) as reader, reader.snapshot() as snapshot:
            size = snapshot.head().size
    except (RegieError, HomeError, dbapi2.Error) as error:
        how = "start its database server, or put back its newest backup (docs/witnesses.md first)"
        return fail(AREA, f"the ledger cannot be read: {_told(error)}", how)
    where = "PostgreSQL" if isinstance(location, str) else "SQLite"
    return ok(AREA, f"the ledger is in {where}, has our schema, and {size} entries")


def _shared(case: Case, here: set[str]) -> Iterator[Finding]:
    """Look at the PostgreSQL databases of the roles that this home has the keys of."""
    for role, address in case.home.databases.items():
        if case.home.operators.get(cast("Role", role)) not in here:
            continue
        try:
            with looking(address, role) as connection:
                connection.execute(select(1))
            yield ok(AREA, f"the {role}'s database answers")
        except HomeError as error:
            yield fail(AREA, str(error), f"start its database server, or correct [databases] {role} in regie.toml")


def _file(path: Path) -> Iterator[Finding]:
    if (mode := path.stat().st_mode & 0o777) & OTHERS:
        yield fail(AREA, f"{path} may be read by others (mode {mode:o})", f"chmod 600 {path}*")
    if path.stat().st_size > QUICK_BYTES:
        return
    try:
        said = str(_read(path, "PRAGMA quick_check(1)"))
    except dbapi2.Error as error:
        said = str(error)
    if said != "ok":
        how = "stop its role, keep the file, and put back the newest backup; a ledger is then checked by its witnesses"
        yield fail(AREA, f"{path} is damaged: {said.splitlines()[0]}", how)


def _read(path: Path, query: str) -> object:
    uri = f"file:{quote(str(path.absolute()))}?mode=ro"
    with closing(dbapi2.connect(uri, uri=True, timeout=5)) as connection:
        return connection.execute(query).fetchone()[0]


def _told(error: Exception) -> str:
    return error.message if isinstance(error, RegieError) else str(error)


def check_disk(case: Case, usage_of: Callable[[Path], Usage] = usage_of) -> Iterator[Finding]:
    """Look how much room the home's file system has left."""
    usage = usage_of(case.home.folder)
    share = usage.free / usage.total
    what = f"{usage.free / GIB:.1f} GiB ({share:.0%}) is free where {case.home.folder} is"
    how = "make room: a ledger that cannot write refuses everything; it never loses what it answered"
    if share < NONE_LEFT:
        yield fail(DISK, what, how)
    else:
        yield warn(DISK, what, how) if share < SCARCE else ok(DISK, what)

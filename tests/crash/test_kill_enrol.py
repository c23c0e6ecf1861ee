"""Kill -9 of `regie enrol` at random moments: nobody is evaluated, or paid for, twice, and the result is the same.

A chunk that was on its way is asked again as the same bytes. So the quota of rows is used once for each identifier,
however often a run is killed, and every kill leaves what was stored before it.
"""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pysqlite3.dbapi2 as sqlite3
import pytest

from gateway.town.participants import GATEWAY, PSEUDONYMS, ZONNEVEEN
from tests.support import people
from tests.support.command import Regie, served
from tests.support.crypto import valid_bsns

RESIDENTS, SCHEMES = 3_000, 2
KILLS = 4
ROLES = ("witness", "ledger", "pseudonyms", "gateway")


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Regie]:
    regie = Regie(tmp_path_factory.mktemp("enrolling") / "home")
    regie.ok("init", "--demo")
    with served(regie, *ROLES):
        yield regie


@pytest.fixture(scope="module")
def residents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [
        {"resident_ref": person.ref, "bsn": bsn, **person.address}
        for person, bsn in zip(people.people(RESIDENTS), valid_bsns(RESIDENTS), strict=True)
    ]
    path = tmp_path_factory.mktemp("register") / "residents.csv"
    return people.write(path, ("resident_ref", "bsn", *people.ADDRESS), rows)


def data(town: Regie, oin: str, name: str) -> Path:
    return town.home / "orgs" / oin / "data" / name


def rows_of(path: Path, query: str) -> list[tuple[object, ...]]:
    if not path.exists():
        return []
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        return database.execute(query).fetchall()


def stored(town: Regie) -> dict[bytes, tuple[bytes, str]]:
    """What the municipality holds: index and reference by the key of the person."""
    path = data(town, ZONNEVEEN.oin, "enrolment.db")
    found = rows_of(path, "SELECT name FROM sqlite_master WHERE name = 'enrolled'")
    rows = rows_of(path, "SELECT person, stored_index, resident_ref FROM enrolled") if found else []
    return {person: (index, reference) for person, index, reference in rows}


def used(town: Regie, oin: str, name: str) -> int:
    """Rows charged to the municipality, by one of the operators."""
    ((total,),) = rows_of(data(town, oin, name), "SELECT coalesce(sum(used), 0) FROM quota WHERE account LIKE '%rows%'")
    return int(total)


def charged(town: Regie) -> tuple[int, int]:
    return used(town, GATEWAY.oin, "gateway.db"), used(town, PSEUDONYMS.oin, "pseudonyms.db")


def enrol(town: Regie, residents: Path) -> subprocess.Popen[str]:
    return town.start("enrol", str(residents), "--as", ZONNEVEEN.oin, "--json")


def killed_after(town: Regie, residents: Path, rows: int, moment: float) -> int:
    """Kill an enrolment a moment after so many rows are stored; returns how many are stored then."""
    process = enrol(town, residents)
    while len(stored(town)) < rows and process.poll() is None:
        wait(process, 0.02)
    wait(process, moment)
    assert process.poll() is None, "it ended before the kill"
    process.kill()
    process.communicate(timeout=30)
    return len(stored(town))


def wait(process: subprocess.Popen[str], seconds: float) -> None:
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return


@pytest.mark.timeout(240)
def test_a_kill_at_any_moment_costs_nothing_and_changes_nothing(town: Regie, residents: Path) -> None:
    chance, wanted = random.Random(20260101), RESIDENTS * SCHEMES
    before: dict[bytes, tuple[bytes, str]] = {}
    for rows in sorted(chance.randrange(wanted // 2) for _ in range(KILLS)):
        killed_after(town, residents, max(rows, len(before)), chance.uniform(0.0, 0.3))
        now = stored(town)
        assert before.items() <= now.items(), "a kill lost what was stored"
        before = now
    assert 0 < len(before) < wanted, "no kill came mid-way"

    out, err = enrol(town, residents).communicate(timeout=120)
    result = json.loads(out)
    assert (result["enrolled"] + result["unchanged"], result["ambiguous"]) == (RESIDENTS, 0), err
    assert result["identifiers"] == wanted - len(before), "rows that were stored were evaluated again"
    assert charged(town) == (wanted, wanted), "a row was charged twice, or not at all"
    resumed = stored(town)
    assert len(resumed) == wanted
    assert before.items() <= resumed.items()
    assert not rows_of(data(town, ZONNEVEEN.oin, "enrolment.db"), "SELECT 1 FROM asked_rows")

    unbroken = enrolled_anew(town, residents)
    assert unbroken == resumed, "another result than that of a run that nobody broke"


def enrolled_anew(town: Regie, residents: Path) -> dict[bytes, tuple[bytes, str]]:
    """What one run without a kill stores, for the same keys."""
    path = data(town, ZONNEVEEN.oin, "enrolment.db")
    kept = path.with_suffix(".kept")
    path.rename(kept)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    town.ok("enrol", str(residents), "--as", ZONNEVEEN.oin)
    return stored(town)

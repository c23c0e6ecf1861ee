"""Kill -9 of `regie receive` while it prints: nothing is lost, and what comes twice is the batch it was printing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pysqlite3.dbapi2 as sqlite3
import pytest

from consent_ledger.v1 import events_pb2
from gateway.town.participants import LAMPJE, ZONNEVEEN
from tests.support import people
from tests.support.command import Regie, served

PERSONS = people.people(2_000)  # two batches
KILLED_AFTER = (1, 500, 1_050)
"""Lines: in the first batch, in it again, and in the batch behind it."""
PURPOSE = "vroegsignalering-energie"


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Regie]:
    regie = Regie(tmp_path / "home")
    regie.ok("init", "--demo")
    with served(regie, "witness", "ledger", "pseudonyms", "gateway"):
        regie.ok("enrol", str(people.residents(tmp_path / "residents.csv", PERSONS)), "--as", ZONNEVEEN.oin)
        chosen = [(person, "JA") for person in PERSONS]
        file = people.choices(
            tmp_path / "choices.csv", chosen, LAMPJE.oin, ZONNEVEEN.oin, PURPOSE, "betalingsachterstand"
        )
        regie.ok("consent", "import", str(file))
        options = ("--purpose", PURPOSE, "--to", ZONNEVEEN.oin, "--as", LAMPJE.oin)
        regie.ok("send", str(people.arrears(tmp_path / "arrears.csv", PERSONS)), *options)
        yield regie


def killed(town: Regie, after: int) -> list[dict[str, Any]]:
    """The whole lines of a run that is killed once it printed so many."""
    process = town.start("receive", "--as", ZONNEVEEN.oin, "--json")
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(after)]
    process.kill()
    lines += process.stdout.readlines()
    process.communicate()
    assert process.returncode == -9, "it ended before the kill"
    return [json.loads(line) for line in lines if line.endswith("\n")]


def batch(line: dict[str, Any]) -> str:
    return str(line["delivery_id"]).partition("-")[0]


def released(town: Regie) -> list[tuple[bytes, int]]:
    (ledger,) = (town.home / "orgs").glob("*/data/ledger.db")
    with sqlite3.connect(f"file:{ledger}?mode=ro", uri=True) as database:
        events = [events_pb2.Event.FromString(row[0]) for row in database.execute("SELECT event FROM payload")]
    bodies = [event.exchange_released for event in events if event.HasField("exchange_released")]
    return [(body.batch_id, body.position) for body in bodies]


@pytest.mark.timeout(300)
def test_a_batch_is_handed_over_again_until_it_is_done_and_never_after(town: Regie) -> None:
    runs = [killed(town, after) for after in KILLED_AFTER]
    runs.append(town.ok("receive", "--as", ZONNEVEEN.oin, "--json").lines)
    assert {line["resident_ref"] for run in runs for line in run} == {person.ref for person in PERSONS}
    for run, later in pairwise(runs):
        again = {batch(line) for line in run} & {batch(line) for line in later}
        assert again <= {batch(run[-1])}, "a batch came again that the run before was done with"
    for run in runs:
        assert len({line["delivery_id"] for line in run}) == len(run)
    assert town.ok("receive", "--as", ZONNEVEEN.oin, "--json").lines == []
    log = released(town)
    assert len(log) == len(set(log)) == len(PERSONS)

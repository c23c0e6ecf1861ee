"""Kill -9 of every role at once, at random moments of a send: nothing is lost, doubled, or delivered without a leaf.

Thirty moments: in each of six towns a file of 10,000 rows is sent, and everything is killed five times on the way.
"""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pysqlite3.dbapi2 as sqlite3
import pytest

from consent_ledger.v1 import decisions_pb2, events_pb2
from tests.support import people
from tests.support.command import Regie, Server, serve

ROWS = 10_000
MOMENTS = 30
TOWNS = 6
PURPOSE = "vroegsignalering-energie"
ANSWERS = ("JA", "JA", "NEE", "VRAAG_MIJ_EERST", "EERST_ZELF", "")


def answer(number: int) -> str:
    return ANSWERS[number % len(ANSWERS)]


@dataclass(frozen=True)
class Town:
    regie: Regie
    supplier: str
    municipality: str
    ledger: Path
    arrears: Path

    def copy(self, target: Path) -> Town:
        home = target / "home"
        shutil.copytree(self.regie.home, home)
        ledger = home / self.ledger.relative_to(self.regie.home)
        return Town(Regie(home), self.supplier, self.municipality, ledger, self.arrears)


@pytest.fixture(scope="module", autouse=True)
def unbounded() -> Iterator[None]:
    """Most people here did not say yes, and the same file is sent again and again: that is no fishing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REGIE_SENDER_REFUSALS_PER_HOUR", str(MOMENTS * ROWS))
        yield


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Town:
    """A town whose residents are enrolled and have chosen, copied for each run."""
    folder = tmp_path_factory.mktemp("prepared")
    regie = Regie(folder / "home")
    regie.ok("init", "--demo")
    server = serve(regie)
    kinds = regie.directory()
    supplier, municipality = kinds["energy_supplier"][0], kinds["municipality"][0]
    residents = people.people(ROWS)
    regie.ok("enrol", str(people.residents(folder / "residents.csv", residents)), "--as", municipality)
    chosen = [(person, answer(person.number)) for person in residents if answer(person.number)]
    file = people.choices(folder / "choices.csv", chosen, supplier, municipality, PURPOSE, "betalingsachterstand")
    regie.ok("consent", "import", str(file))
    assert server.stop() == 0
    (ledger,) = (regie.home / "orgs").glob("*/data/ledger.db")
    return Town(regie, supplier, municipality, ledger, people.arrears(folder / "arrears.csv", residents))


def send(town: Town) -> subprocess.Popen[str]:
    options = ("--purpose", PURPOSE, "--to", town.municipality, "--as", town.supplier, "--json", "--timeout", "1")
    return town.regie.start("send", str(town.arrears), *options)


def acknowledged(town: Town) -> list[tuple[bytes, bytes]]:
    """The signed answers the sender holds."""
    path = town.regie.home / "orgs" / town.supplier / "data" / "outbox.db"
    if not path.exists():
        return []
    with sqlite3.connect(path) as database:
        return database.execute("SELECT answer, signature FROM sent_batch WHERE answer IS NOT NULL").fetchall()


@dataclass(frozen=True)
class Logged:
    decided: dict[int, events_pb2.ExchangeDecided]
    released: dict[int, events_pb2.ExchangeReleased]


def logged(town: Town) -> Logged:
    result = Logged({}, {})
    with sqlite3.connect(town.ledger) as database:
        for index, data in database.execute("SELECT idx, event FROM payload"):
            event = events_pb2.Event.FromString(data)
            if event.HasField("exchange_decided"):
                result.decided[index] = event.exchange_decided
            elif event.HasField("exchange_released"):
                result.released[index] = event.exchange_released
    return result


def log_size(town: Town) -> int:
    with sqlite3.connect(f"file:{town.ledger}?mode=ro", uri=True) as database:
        return int(database.execute("SELECT size FROM head").fetchone()[0])


def killed_on_the_way(town: Town, server: Server, size: int, chance: random.Random) -> Server:
    """Send, kill everything a random moment after the log has reached a size, start again."""
    sending = send(town)
    while log_size(town) < size and sending.poll() is None:
        wait(sending, 0.01)
    wait(sending, chance.uniform(0.0, 0.3))
    assert sending.poll() is None, "the send ended before the kill"
    server.kill()
    sending.communicate(timeout=60)
    assert sending.returncode == 3, sending.returncode
    return serve(town.regie)


def wait(process: subprocess.Popen[str], seconds: float) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=seconds)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(TOWNS))
def test_a_kill_at_any_moment_loses_and_doubles_nothing(prepared: Town, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    town = prepared.copy(tmp_path)
    server = serve(town.regie)
    answers: list[tuple[bytes, bytes]] = []
    before = log_size(town)
    for decided in sorted(chance.randrange(ROWS - 5000) for _ in range(MOMENTS // TOWNS)):
        server = killed_on_the_way(town, server, before + decided, chance)
        answers += [each for each in acknowledged(town) if each not in answers]

    last = send(town)
    out, err = last.communicate(timeout=120)
    assert last.returncode == 0, err
    counts = json.loads(out)
    expected = Counter(answer(number) for number in range(ROWS))
    assert counts["rows"] == ROWS
    assert counts["accepted"] == expected["JA"]
    assert counts["later_opnieuw"] == expected["VRAAG_MIJ_EERST"] + expected["EERST_ZELF"]
    assert counts["geen_toestemming"] == expected["NEE"] + expected[""]

    received = town.regie.ok("receive", "--as", town.municipality, "--json").lines
    delivered = Counter(line["resident_ref"] for line in received)
    assert delivered == Counter(f"R{number:06d}" for number in range(ROWS) if answer(number) == "JA")

    log = logged(town)
    assert len(log.decided) == ROWS, "a row was decided twice, or not at all"
    permitted = {(event.batch_id, event.position) for event in log.decided.values() if event.permitted}
    released = [(event.batch_id, event.position) for event in log.released.values()]
    assert len(released) == len(set(released)) == len(received)
    assert set(released) == permitted
    answers += [each for each in acknowledged(town) if each not in answers]
    for data, _ in answers:
        told = decisions_pb2.DecisionList.FromString(data)
        assert [log.decided[index].outcome for index in told.log_indices] == list(told.outcomes)
    assert sum(len(decisions_pb2.DecisionList.FromString(data).outcomes) for data, _ in answers) == ROWS
    town.regie.ok("log", "verify")
    assert server.stop() == 0

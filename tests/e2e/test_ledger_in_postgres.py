"""The ledger in PostgreSQL as its operator meets it: made, served by two replicas, moved there from a file."""

import asyncio
import json
import shutil

import pytest
from typer.testing import CliRunner

from consent_ledger.clock import system_clock
from consent_ledger.errors import RegieError
from consent_ledger.log.keys import LogKeys
from consent_ledger.sequencer import open_ledger
from consent_ledger.storage.sqlite import SCHEMA_VERSION
from consent_ledger.v1 import events_pb2 as pb
from gateway.cli.app import app
from gateway.directory.founding import free_ports
from gateway.home import Home
from gateway.server import serving
from gateway.town.participants import ZONNEVEEN
from tests.support.postgres import OWNER, READER, WRITER


def regie(home, *arguments, code=0):
    """What a command says, as JSON."""
    result = CliRunner().invoke(app, [*map(str, arguments), "--home", str(home), "--json"])
    assert result.exit_code == code, result.output
    return json.loads(result.stdout.splitlines()[-1])


@pytest.fixture
def database(postgres18):
    return postgres18.database(migrated=False)


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


def migrated(home, server, database):
    roles = ("--writer", WRITER, "--reader", READER)
    assert regie(home, "ledger", "migrate", "--database", server.uri(database, OWNER), *roles)["version"]
    return server.uri(database)


def another(home, folder):
    """The same organisations on another machine: the same keys and database, other addresses."""
    shutil.copytree(home, folder)
    settings = (folder / "regie.toml").read_text("utf-8")
    opened = Home.open(home)
    taken = (opened.addresses["ledger"], opened.addresses["log"], opened.metrics["ledger"])
    for address, port in zip(taken, free_ports(3), strict=True):
        settings = settings.replace(f' = "{address}"', f' = "127.0.0.1:{port}"')
    (folder / "regie.toml").write_text(settings, "utf-8")
    return folder


async def test_a_home_with_its_ledger_in_postgres_and_a_second_replica(tmp_path, home, postgres18, database):
    address = postgres18.uri(database)
    refused = regie(home, "init", "--demo", "--ledger-database", address, code=3)
    assert "regie ledger migrate" in refused["error"]["message"]
    assert not home.exists()

    location = migrated(home, postgres18, database)
    regie(home, "init", "--demo", "--ledger-database", location)
    opened = Home.open(home)
    assert opened.ledger == location
    assert not list(home.rglob("ledger.db*"))
    second = another(home, tmp_path / "second")
    async with serving(opened, ["witness", "ledger"]) as one, serving(Home.open(second), ["ledger"]) as other:
        await one.ready()
        await other.ready()
        keys = LogKeys.parse(opened.operator("ledger").text_key("log"))
        with open_ledger(location, keys, system_clock) as third:  # as many as one likes
            suspended = pb.ParticipantSuspended(oin=ZONNEVEEN.oin)
            events = [pb.PublicEvent(participant_suspended=suspended)]
            (index,) = await asyncio.wrap_future(third.publish(events))
        here, there = [await asyncio.to_thread(regie, each, "log", "verify", "--online") for each in (home, second)]
        assert here["size"] == there["size"] == index + 1
        assert here["root"] == there["root"]
        copy = tmp_path / "copy.db"
        exported = await asyncio.to_thread(regie, home, "ledger", "export", copy)
        assert exported["size"] == here["size"]
    for place in ((), (copy,), (postgres18.uri(database, READER),)):
        assert regie(home, "log", "verify", *place)["root"] == here["root"]
    assert regie(home, "ledger", "migrate", code=2)["error"]["reason"] == "USAGE"  # with --database, as the owner


async def test_a_ledger_in_a_file_moves_into_postgres(home, postgres18, database):
    regie(home, "init", "--demo")
    file = Home.open(home).ledger
    before = regie(home, "log", "verify")
    location = migrated(home, postgres18, database)
    plain = (home / "regie.toml").read_text("utf-8")
    (home / "regie.toml").write_text(f'{plain}\n[ledger]\ndatabase = "{location}"\n', "utf-8")
    with pytest.raises(RegieError, match="there is no ledger"):  # nothing is created by serving
        async with serving(Home.open(home), ["witness", "ledger"]):
            pass
    assert regie(home, "ledger", "import", file)["size"] == before["size"]
    assert regie(home, "log", "verify")["root"] == before["root"]
    assert "created once" in regie(home, "ledger", "import", file, code=3)["error"]["message"]
    async with serving(Home.open(home), ["witness", "ledger"]) as served:
        await served.ready()

    # The file is of no use to a writer any more, whatever its home says.
    (home / "regie.toml").write_text(plain, "utf-8")
    with pytest.raises(RegieError, match="two continuations"):
        async with serving(Home.open(home), ["witness", "ledger"]):
            pass


def test_the_file_of_a_home_is_migrated_by_its_home(home):
    regie(home, "init", "--demo")
    assert regie(home, "ledger", "migrate") == {"version": SCHEMA_VERSION}
    Home.open(home).ledger.unlink()
    assert "there is no ledger" in regie(home, "ledger", "migrate", code=3)["error"]["message"]

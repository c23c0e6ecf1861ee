"""The public log as strangers meet it, and a change of its keys, with the servers as they run."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from typer.testing import CliRunner

from consent_ledger.clock import system_clock
from consent_ledger.log.checkpoint import open_checkpoint
from consent_ledger.log.errors import NoteError
from consent_ledger.log.keys import parse_verifier, parse_verifiers
from consent_ledger.log.note import Signer
from consent_ledger.registry import Registry
from consent_ledger.sequencer import open_ledger
from gateway.cli.app import app
from gateway.directory.client import DirectoryClient
from gateway.home import Home, HomeError
from gateway.logkeys import KeyFile, add_keys, retire_key, take_over
from gateway.server import serving
from tests.support.biglog import append, commitment_entries
from tests.support.servers import make_home


@pytest.fixture
def home(tmp_path):
    return make_home(tmp_path / "home")


@asynccontextmanager
async def ledger_of(home: Home):
    """The ledger and its witness; gives the URL prefix of the public log."""
    async with serving(Home.open(home.folder), ("witness", "ledger")) as running:
        await running.ready()
        yield f"http://{home.addresses['log']}/log"


@dataclass(frozen=True)
class Said:
    """What a command did."""

    code: int
    out: str

    @property
    def json(self):
        return json.loads(self.out)


async def regie(home: Home | Path, *arguments: str) -> Said:
    """A command beside the servers, in a thread of this process: a process of its own takes seconds to start."""
    folder = home.folder if isinstance(home, Home) else home
    runner = CliRunner(env={"REGIE_HOME": str(folder)})
    result = await asyncio.to_thread(runner.invoke, app, list(arguments))
    return Said(result.exit_code, result.stdout)


async def checkpoint(prefix: str) -> str:
    async with httpx2.AsyncClient() as client:
        for _ in range(200):
            answer = await client.get(f"{prefix}/checkpoint")
            if answer.status_code == 200:
                return answer.text
            await asyncio.sleep(0.05)
    raise AssertionError("no checkpoint was published")


async def settled(prefix: str, size: int) -> str:
    """Return the checkpoint once it is of this size: witnesses come first."""
    for _ in range(400):
        if f"\n{size}\n" in (note := await checkpoint(prefix)):
            return note
        await asyncio.sleep(0.05)
    raise AssertionError(f"no checkpoint of size {size} was published")


def size_of(note: str) -> int:
    return int(note.split("\n")[1])


async def test_anybody_verifies_the_whole_log_with_nothing_but_a_key(home, tmp_path):
    with open_ledger(home.ledger, KeyFile.read(home.operator("ledger")).keys, system_clock) as ledger:
        append(ledger, commitment_entries(ledger.head.size, 1_000))
    async with ledger_of(home) as prefix:
        note = await settled(prefix, 1_000)
        assert open_checkpoint(note, parse_verifiers(home.log_verifier_key)).size == 1_000
        told = await regie(home, "log", "verify", prefix, "--json")
        assert told.code == 0
        assert (told.json["verified"], told.json["size"]) == (True, 1_000)
        assert {one["kind"] for one in told.json["signed_by"]} == {"Ed25519", "ML-DSA-44"}

        nowhere = tmp_path / "no-home"
        key = home.log_verifier_key.split("\n")[0]
        said = await regie(nowhere, "log", "verify", prefix, "--vkey", key)
        assert said.code == 0
        assert "1000 entries give exactly the root that was signed" in said.out
        assert (await regie(nowhere, "log", "verify", prefix)).code == 2
        other = await regie(nowhere, "log", "verify", prefix, "--json", "--vkey", _another_key(key))
        assert (other.code, other.json["error"]["reason"]) == (1, "PROOF_INVALID")
        wrong = await regie(home, "log", "verify", prefix + "ging", "--json")
        assert (wrong.code, "no checkpoint" in wrong.json["error"]["message"]) == (1, True)
    gone = await regie(home, "log", "verify", prefix, "--json")
    assert (gone.code, gone.json["error"]["reason"]) == (3, "LEDGER_UNAVAILABLE")


def _another_key(key: str) -> str:
    return Signer(parse_verifier(key).name, bytes(32)).verifier.format()


async def directory(home: Home) -> Registry:
    client = DirectoryClient(Home.open(home.folder), home.operator("ledger"), "ledger")
    try:
        return await client.fetch()
    finally:
        await client.close()


async def test_keys_change_without_a_moment_in_which_nobody_can_verify(home):
    old = tuple(home.log_verifier_key.split("\n"))
    old_keys = parse_verifiers(old[0])
    async with ledger_of(home) as prefix:
        assert (await directory(home)).log_keys == old
        first = await checkpoint(prefix)
        with pytest.raises(HomeError, match="only Ed25519 key"):
            retire_key(home, old[0].split("+")[1], await directory(home))
        added = await regie(home, "log", "rotate-key", "--json")
        assert added.code == 0
        fresh = tuple(added.json["added"])
        # The new key is on disk and nobody was told: retiring the old one now would lock everybody out.
        with pytest.raises(HomeError, match="not announced"):
            retire_key(Home.open(home.folder), old[0].split("+")[1], await directory(home))
    assert Home.open(home.folder).log_verifier_key.split("\n") == [*old, *fresh]

    async with ledger_of(home) as prefix:
        note = await settled(prefix, size_of(first) + 2)
        for key in (*old, *fresh):
            assert open_checkpoint(note, parse_verifiers(key)).size == size_of(note), "all keys sign, each is enough"
        assert (await directory(home)).log_keys == (*old, *fresh)
        for gone in (*old, old[0]):  # said twice, it is retired once
            retired = await regie(home, "log", "retire-key", gone.split("+")[1], "--json")
            assert (retired.code, retired.json) == (0, {"retired": gone})
        assert (
            "no key 00000000" in (await regie(home, "log", "retire-key", "00000000", "--json")).json["error"]["message"]
        )

    text = (home.operator("ledger").folder / "log.key").read_text()
    assert text.count("PRIVATE+KEY+") == 2, "the old private keys are gone"
    assert Home.open(home.folder).log_verifier_key.split("\n") == list(fresh)
    async with ledger_of(home) as prefix:
        note = await settled(prefix, size_of(first) + 4)
        with pytest.raises(NoteError, match="no known key"):
            open_checkpoint(note, old_keys)
        registry = await directory(home)
        assert (registry.log_keys, registry.retired_log_keys) == (fresh, old)
        told = await regie(home, "log", "verify", prefix, "--json")
        assert (told.code, told.json["size"]) == (0, size_of(note))
    async with ledger_of(home) as prefix:
        assert size_of(await checkpoint(prefix)) == size_of(note), "nothing is announced twice"


async def test_a_client_that_saw_the_announcement_goes_on_without_its_settings_being_changed(home):
    """In one process: it knew the old key, read in the log that there is a new one, and believes that one alone."""
    before = Home.open(home.folder)
    client = DirectoryClient(before, before.operator("gateway"), "ledger")
    old = before.log_verifier_key.split("\n")
    async with ledger_of(home):
        await client.fetch()
    fresh = add_keys(before, bytes_of(1))
    async with ledger_of(home):
        assert (await client.fetch()).log_keys == (*old, *fresh)
        registry = await directory(home)
        for key in old:
            retire_key(Home.open(home.folder), key.split("+")[1], registry)
    async with ledger_of(home):
        assert (await client.fetch()).log_keys == fresh
        assert (await client.fetch()).retired_log_keys == tuple(old)
        # Another, that never saw the announcement, refuses: a new key of which the old one says nothing is nobody's.
        late = DirectoryClient(before, before.operator("pseudonyms"), "ledger")
        with pytest.raises(Exception, match="no known key"):
            await late.fetch()
        await late.close()
    await client.close()


def bytes_of(seed: int):
    return random.Random(seed).randbytes


async def test_agencies_take_new_keys_over_from_the_log(home):
    """`regie log keys --update` writes what the log says, and no more."""
    shown = Home.open(home.folder)
    fresh = add_keys(shown, bytes_of(2))
    take_over(Home.open(home.folder), (), gone=fresh)  # as in the home of an agency, that knows of nothing yet
    assert Home.open(home.folder).log_verifier_key == home.log_verifier_key
    async with serving(Home.open(home.folder), ("witness", "ledger", "pseudonyms", "gateway")) as running:
        await running.ready()
        listed = await regie(home, "log", "keys", "--json")
        assert listed.code == 0
        assert [one["trusted"] for one in listed.json["keys"]] == [True, True, False, False]
        assert "ML-DSA-44" in (await regie(home, "log", "keys")).out
        updated = await regie(home, "log", "keys", "--update", "--json")
        assert [one["trusted"] for one in updated.json["keys"]] == [True] * 4
    assert Home.open(home.folder).log_verifier_key.split("\n")[2:] == list(fresh)

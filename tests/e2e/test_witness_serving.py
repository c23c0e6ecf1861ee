"""A ledger and its witness as operators run them: in processes of their own, killed, restored, and out of order."""

import asyncio
import json
import shutil
import signal
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from consent_ledger.clock import system_clock
from consent_ledger.errors import RegieError
from consent_ledger.log.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from consent_ledger.log.keys import LogKeys
from consent_ledger.log.merkle import leaf_hash, root_of
from consent_ledger.log.tiles import consistency_path
from consent_ledger.sequencer import open_ledger
from consent_ledger.v1 import events_pb2
from consent_ledger.witness.client import Ahead, Inconsistent, WitnessClient, WitnessError, open_http
from consent_ledger.witness.message import AddCheckpoint
from gateway.cli.app import app
from gateway.home import Home, HomeError
from gateway.server import serving
from gateway.settings import Settings
from gateway.town.participants import TAX_OFFICE
from gateway.witness.quorum import quorum_of, witnesses_of
from tests.e2e.test_serving import NOT_SERVING, SERVING, health, serves, within
from tests.support.ledger import SIGNER
from tests.support.servers import entries_of, make_home
from tests.support.witness import SmallLog, witness_signers

FAST = Settings(directory_seconds=0.2, publish_seconds=0.05, witness_seconds=0.5)
OTHER_WITNESS = f"""
[[witnesses.known]]
url = "http://127.0.0.1:1"
verifier_keys = ["{witness_signers("other.example/w1")[0].verifier.format()}"]
"""
DYING = """
import os, signal, sys
from consent_ledger.witness.memory import Memory
from gateway.cli import main

moment, step = sys.argv.pop(1), Memory.step

def die(memory, origin, decide):
    def last(latest):
        cosigned = decide(latest)
        if cosigned.size == 5 and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)  # signed, and not stored
        return cosigned
    cosigned = step(memory, origin, last)
    if cosigned.size == 5:
        os.kill(os.getpid(), signal.SIGKILL)  # stored, and not answered
    return cosigned

Memory.step = die
main()
"""


@pytest.fixture
def home(tmp_path):
    return make_home(tmp_path / "home")


def log_keys(home):
    return LogKeys.parse(home.operator("ledger").text_key("log"))


def start(home, *command):
    return subprocess.Popen(
        [sys.executable, *command, "--home", str(home.folder), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def started(home, *roles):
    process = start(home, "-m", "gateway.cli", "serve", *roles)
    line = process.stdout.readline()
    assert line, process.communicate(timeout=30)
    assert json.loads(line)["ready"]
    return process


def stop(process):
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=30) is not None
    assert process.returncode == 0


def append(home):
    """Append an event while nobody serves the ledger."""
    event = events_pb2.PublicEvent(participant_suspended={"oin": TAX_OFFICE.oin, "ground": "test"})
    with open_ledger(home.operator("ledger").data / "ledger.db", log_keys(home), system_clock) as log:
        log.publish([event]).result(10)
        return log.head


def backup(home):
    return shutil.copy(home.operator("ledger").data / "ledger.db", home.folder / "backup.db")


def restore(home):
    data = home.operator("ledger").data
    for name in ("ledger.db-wal", "ledger.db-shm"):
        (data / name).unlink(missing_ok=True)
    shutil.copy(home.folder / "backup.db", data / "ledger.db")


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_witness_killed_between_storing_and_answering(home, moment):
    """Killed -9 at exactly that moment, and at the one before: it never cosigns two roots, and the log goes on."""
    signer = log_keys(home).signers[0]
    log, fork = SmallLog(signer=signer), SmallLog("fork", signer)
    dying = start(home, "-c", DYING, moment, "serve", "witness")
    assert json.loads(dying.stdout.readline())["ready"]
    async with open_http() as http:
        client = WitnessClient(witnesses_of(home)[0], http, system_clock)
        await client.cosign(log.checkpoint(3), log.note(3), log.prove)
        with pytest.raises(WitnessError, match="does not answer"):
            await client.cosign(log.checkpoint(5), log.note(5), log.prove)
        dying.communicate(timeout=30)
        assert dying.returncode == -signal.SIGKILL
        real = started(home, "witness")
        stored = await client.latest(signer.name, [signer.verifier])
        assert stored == log.checkpoint(5 if moment == "after" else 3)
        if moment == "after":
            with pytest.raises(Inconsistent):
                await client.cosign(fork.checkpoint(5), fork.note(5), fork.prove)
            with pytest.raises(Ahead):
                await client.cosign(log.checkpoint(4), log.note(4), log.prove)
        for size in (5, 6):
            assert await client.cosign(log.checkpoint(size), log.note(size), log.prove)
    stop(real)


async def test_a_restored_backup_refuses_to_start_and_says_what_to_do(home):
    backup(home)
    newest = append(home)
    async with serving(home, ["witness", "ledger"], settings=FAST):
        pass
    restore(home)
    process = start(home, "-m", "gateway.cli", "serve", "witness", "ledger")
    out, err = await asyncio.to_thread(process.communicate, timeout=60)
    assert process.returncode == 3, err
    error = json.loads(out.splitlines()[-1])["error"]
    assert error["reason"] == "LEDGER_UNAVAILABLE"
    assert f"has cosigned size {newest.size}, and this log is at {newest.size - 1}" in error["message"]
    assert "Put back the newest copy" in error["message"]
    assert "Traceback" not in err
    # It signed nothing more: its file is as it was restored.
    with open_ledger(home.operator("ledger").data / "ledger.db", log_keys(home), system_clock) as log:
        assert log.head.size == newest.size - 1


async def test_the_published_checkpoint_is_witnessed(home):
    async with serving(home, ["witness", "ledger"], settings=FAST):
        async with open_http() as http:
            answer = await http.get(f"http://{home.addresses['log']}/log/checkpoint")
        checkpoint = quorum_of(home).open(answer.text, log_keys(home).verifiers)
        # Strangers with this home's settings ask for the same quorum.
        url = f"http://{home.addresses['log']}/log"
        verify = ["log", "verify", url, "--home", str(home.folder), "--json"]
        verified = await asyncio.to_thread(CliRunner().invoke, app, verify)
        assert list(json.loads(verified.stdout)["witnessed_by"]) == [witnesses_of(home)[0].name]
        path = home.folder / "regie.toml"
        path.write_text(path.read_text() + OTHER_WITNESS.rstrip("\n") + "\n")
        path.write_text(path.read_text().replace("quorum = 1", "quorum = 2"))
        refused = await asyncio.to_thread(CliRunner().invoke, app, verify)
        assert refused.exit_code == 1
        assert "expected cosignatures of 2 witnesses" in refused.stderr
    with open_ledger(home.operator("ledger").data / "ledger.db", log_keys(home), system_clock) as log:
        assert (checkpoint.size, checkpoint.root) == (log.head.size, log.head.root)


async def test_a_ledger_that_finds_a_fork_while_it_runs_withdraws(home):
    """Somebody with the log's key got another head cosigned; the next time the witness is asked, it says so."""
    hours = 0

    def clock():
        return system_clock() + hours * 3_600_000

    async with serving(home, ["witness", "ledger"], clock, settings=FAST) as served:
        failed = asyncio.create_task(served.failed())
        assert await health(home, "ledger") == SERVING
        async with open_http() as http:
            url = f"http://{home.addresses['witness']}"
            note = (await http.get(f"http://{home.addresses['log']}/log/checkpoint")).text
            size = open_checkpoint(note, log_keys(home).verifiers).size
            await cosign_fork(http, url, home, size)
        assert not failed.done()
        hours = 2  # what did not grow is cosigned again after an hour
        refusal = await asyncio.wait_for(failed, 10)
        assert refusal.reason == "LEDGER_UNAVAILABLE"
        assert f"has cosigned size {size + 1}, and this log is at {size}" in refusal.message
        await within(5, lambda: serves(home, "ledger", NOT_SERVING))


async def cosign_fork(http, url, home, size):
    """Let the witness cosign one entry more than the ledger has: from the log's own tiles, with its own key."""
    root, proof = forked(home)
    checkpoint = Checkpoint(log_keys(home).name, size + 1, root)
    note = sign_checkpoint(checkpoint, log_keys(home).signers)
    answer = await http.post(f"{url}/add-checkpoint", content=AddCheckpoint(size, tuple(proof), note).format())
    assert answer.status_code == 200, answer.text


def forked(home):
    """The root with one entry more than the ledger has, and the proof that it continues the ledger's log."""
    hashes = [leaf_hash(entry) for entry in [*entries_of(home), b"an entry that the ledger does not have"]]

    def tile(level, index, width):
        assert level == 0
        return b"".join(hashes[index * 256 : index * 256 + width])

    return root_of(hashes), consistency_path(len(hashes) - 1, len(hashes), tile)


async def test_a_ledger_alone_signs_nothing(home):
    with pytest.raises(RegieError, match="0 of 1 witnesses answered and 1 are needed") as caught:
        async with serving(home, ["ledger"], settings=FAST):
            pass
    assert caught.value.reason == "LEDGER_UNAVAILABLE"
    assert "Start the witness, or correct [witnesses] in regie.toml" in caught.value.message


async def test_a_ledger_waits_for_a_witness_that_starts_later(home):
    patient = Settings(witness_seconds=20)

    async def later():
        await asyncio.sleep(0.6)
        return await asyncio.to_thread(started, home, "witness")

    witness = asyncio.create_task(later())
    async with serving(home, ["ledger"], settings=patient):
        assert await health(home, "ledger") == SERVING
    stop(await witness)


async def test_without_witnesses_in_the_settings_nobody_is_asked(home):
    path = home.folder / "regie.toml"
    path.write_text(path.read_text().partition("[witnesses]")[0])
    alone = Home.open(home.folder)
    async with serving(alone, ["ledger"], settings=FAST), open_http() as http:
        answer = await http.get(f"http://{home.addresses['log']}/log/checkpoint")
        assert open_checkpoint(answer.text, log_keys(home).verifiers).size > 0


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("quorum = 1", "quorum = 2", "a quorum is from 1 to the number of witnesses, 1; this is 2"),
        ("quorum = 1", "quorum = 0", "a quorum is from 1"),
        ("quorum = 1", 'quorum = "many"', "another form"),
        ('url = "http:', 'url = "gopher:', "no http"),
        ("verifier_keys = [\n", 'verifier_keys = [\n"nonsense",\n', "expected a note key"),
        ('url = "http:', '#url = "http:', "lacks 'url'"),
    ],
)
async def test_contradictory_settings_do_not_start(home, old, new, why):
    path = home.folder / "regie.toml"
    text = path.read_text()
    assert old in text
    before, section, after = text.partition("[witnesses]")
    path.write_text(before + section + after.replace(old, new))
    with pytest.raises(HomeError, match=why):
        async with serving(Home.open(home.folder), ["witness", "ledger"], settings=FAST):
            pass


@pytest.mark.parametrize(
    ("name", "change", "why"),
    [
        ("witness.db", lambda path: path.unlink(), "would cosign a fork"),
        ("witness.db", lambda path: path.write_bytes(b"x" * 9_000), "cannot be used"),
        ("witness.key", lambda path: path.chmod(0o644), "chmod 600"),
        ("witness.key", lambda path: path.write_text("nonsense\n"), "holds no witness's key"),
        ("witness.toml", lambda path: path.write_text("logs = 5\n"), "verifier_keys, a list"),
        ("witness.toml", lambda path: path.write_text('[[logs]]\nverifier_keys = ["x"]\n'), "cannot be used"),
        ("witness.toml", lambda path: path.unlink(), "has no witness"),
    ],
)
async def test_a_witness_that_is_not_whole_does_not_start(home, name, change, why):
    change(home.folder / "witness" / name)
    with pytest.raises(HomeError, match=why):
        async with serving(home, ["witness"], settings=FAST):
            pass


async def test_a_witness_in_a_home_of_its_own(home, tmp_path):
    """Another organisation makes it with nothing but the log's keys, and the ledger's operator adds it."""
    guard = tmp_path / "guard"
    keys = [part for key in home.log_verifier_key.split("\n") for part in ("--log", key)]
    init = ["witness", "init", "--home", str(guard), "--name", "guard.example/w1", *keys]
    made = CliRunner().invoke(app, [*init, "--json"])
    assert json.loads(made.stdout)["logs"] == [log_keys(home).name]
    shown = CliRunner().invoke(app, ["witness", "show", "--home", str(guard)])
    path = home.folder / "regie.toml"
    path.write_text(path.read_text().replace("quorum = 1", "quorum = 2") + "\n" + shown.stdout.partition("\n\n")[2])
    guarded, alone = Home.open(home.folder), Home.open_witness(guard)
    assert quorum_of(guarded).needed == 2
    async with (
        serving(alone, ["witness"], settings=FAST),
        serving(guarded, ["witness", "ledger"], settings=FAST),
        open_http() as http,
    ):
        answer = await http.get(f"http://{home.addresses['log']}/log/checkpoint")
        quorum_of(guarded).open(answer.text, log_keys(home).verifiers)
    again = CliRunner().invoke(app, init)
    assert again.exit_code == 2
    assert "is a home already" in again.stderr
    assert (guard / "witness" / "witness.key").stat().st_mode & 0o077 == 0
    with pytest.raises(HomeError, match="lacks"):
        Home.open(guard)


@pytest.mark.parametrize(
    ("option", "value"), [("--name", "two words"), ("--log", "nonsense"), ("--log", "example.com+00000000+AAAA")]
)
def test_a_witness_that_cannot_be_made(tmp_path, option, value):
    told = {"--name": "guard.example/w1", "--log": SIGNER.verifier.format(), option: value}
    arguments = [part for pair in told.items() for part in pair]
    made = CliRunner().invoke(app, ["witness", "init", "--home", str(tmp_path / "guard"), *arguments])
    assert made.exit_code == 2
    assert not list(tmp_path.glob("guard/*"))


def test_showing_a_witness_that_is_not_there(home):
    shutil.rmtree(home.folder / "witness")
    shown = CliRunner().invoke(app, ["witness", "show", "--home", str(home.folder)])
    assert shown.exit_code == 2
    assert "regie witness init" in shown.stderr

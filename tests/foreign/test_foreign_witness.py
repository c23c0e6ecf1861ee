"""aics-witness, which others wrote: it cosigns our log, and our witness cosigns for its client.

Neither shares a line with ours. `make test` puts it into .venv/foreign (tests/foreign/witness.txt says why there).
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from pathlib import Path

import httpx2
import pytest

from consent_ledger.clock import system_clock
from consent_ledger.log.cosignature import MlDsa44Signer
from consent_ledger.log.keys import LogKeys
from consent_ledger.log.note import Signer, open_note
from consent_ledger.log.publication import grease_line, publish_note
from consent_ledger.log.quorum import Quorum, WitnessKeys
from consent_ledger.publishing.publisher import Publisher
from consent_ledger.witness.client import Ahead, Inconsistent, WitnessAddress, WitnessClient, WitnessError, open_http
from consent_ledger.witness.server import witness_app
from gateway.directory.founding import free_ports
from gateway.web import HttpServer
from tests.support.ledger import SIGNER, Ledger, Time, grant
from tests.support.witness import ORIGIN, RealWitness, SmallLog

FOREIGN = Path(sys.executable).parent.parent / "foreign"
LOG, OTHER = SmallLog(), SmallLog("other")
pytestmark = pytest.mark.timeout(90)


def environment():
    assert (FOREIGN / "aics_witness").is_dir(), "aics-witness is not installed: `make test` does it"
    return {**os.environ, "PYTHONPATH": str(FOREIGN)}


def aics(*arguments):
    command = [sys.executable, "-m", "aics_witness", *arguments]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def foreign_witness(tmp_path_factory):
    """A running aics-witness that knows two logs: that of the tests' ledger under its name, and one of its own."""
    folder = tmp_path_factory.mktemp("aics")
    config, address = str(folder / "witness.json"), f"127.0.0.1:{free_ports(1)[0]}"
    key = aics("init", "--config", config, "--name", "foreign.example/w1", "--listen", address)
    for origin in (ORIGIN, *(f"log{number}.example/log" for number in range(3))):
        aics("add-log", "--config", config, "--origin", origin, "--vkey", signer_of(origin).verifier.format())
    process = subprocess.Popen(
        [sys.executable, "-m", "aics_witness", "serve", "--config", config],
        env=environment(),
        stderr=subprocess.DEVNULL,
    )
    try:
        yield WitnessAddress(WitnessKeys.parse([key]), f"http://{address}"), process
    finally:
        process.terminate()
        process.wait(20)


def signer_of(origin):
    return SIGNER if origin == ORIGIN else Signer(origin, b"\x21" * 32)


@asynccontextmanager
async def asked(foreign_witness):
    address, process = foreign_witness
    async with open_http() as http, asyncio.timeout(30):
        while True:
            assert process.poll() is None, "aics-witness ended"
            try:
                if (await http.get(f"{address.url}/healthz")).status_code == 200:
                    break
            except httpx2.HTTPError:
                await asyncio.sleep(0.1)
        yield WitnessClient(address, http, system_clock)


class Now(Time):
    """The machine's time: its client refuses cosignatures that are older than a minute."""

    def __call__(self):
        return system_clock()


@asynccontextmanager
async def listening(real):
    """Our witness at an address."""
    server = HttpServer("witness", f"127.0.0.1:{free_ports(1)[0]}", 1.0)
    with ThreadPoolExecutor(2) as pool:
        await server.start(witness_app(real.witness, pool))
        try:
            yield f"http://{server.address}", pool
        finally:
            await server.stop()
            real.stop()


async def cosign(client, log, size, note=None):
    return await client.cosign(log.checkpoint(size), note or log.note(size), log.prove)


async def test_it_cosigns_our_log_as_it_grows(foreign_witness):
    log = SmallLog(signer=signer_of("log0.example/log"))
    async with asked(foreign_witness) as client:
        assert await client.latest(log.signer.name, [log.signer.verifier]) is None
        for size in (0, 1, 2, 3, 7, 8, 9, 64, 200, 200):
            lines = await cosign(client, log, size)
            opened = open_note(f"{log.checkpoint(size).body()}\n{lines}", client.witness.keys.keys)
            assert [line.name for line in opened.signatures] == ["foreign.example/w1"]
            # Its monitoring endpoint, read with our verifiers.
            assert await client.latest(log.signer.name, [log.signer.verifier]) == log.checkpoint(size)


async def test_it_takes_notes_with_post_quantum_and_unknown_lines(foreign_witness):
    signer = signer_of("log1.example/log")
    log = SmallLog(signer=signer)
    keys = LogKeys((signer,), (MlDsa44Signer(signer.name, b"\x22" * 32),))
    published = publish_note(log.note(5), keys, system_clock() // 1_000, os.urandom) + grease_line(os.urandom)
    async with asked(foreign_witness) as client:
        assert await cosign(client, log, 5, published)


async def test_it_refuses_our_fork_and_our_old_copy(foreign_witness):
    signer = signer_of("log2.example/log")
    log, fork = SmallLog(signer=signer), SmallLog("fork", signer)
    async with asked(foreign_witness) as client:
        await cosign(client, log, 10)
        restarted = WitnessClient(client.witness, client._http, system_clock)
        for size in (10, 15):
            with pytest.raises(Inconsistent) as caught:
                await cosign(restarted, fork, size)
            assert not isinstance(caught.value, Ahead)
        with pytest.raises(Ahead) as ahead:
            await cosign(restarted, log, 9)
        assert ahead.value.size == 10
        stranger = SmallLog(signer=Signer(signer.name, b"\x23" * 32))
        with pytest.raises(WitnessError, match="403"):
            await cosign(restarted, stranger, 11)
        nobody = SmallLog(signer=Signer("nobody.example/log", b"\x24" * 32))
        with pytest.raises(WitnessError, match="404"):
            await cosign(restarted, nobody, 1)


async def test_a_ledger_publishes_with_it_and_ours_as_its_quorum(foreign_witness, tmp_path):
    ours = RealWitness(tmp_path / "w.db", clock=system_clock)
    with closing(Ledger(tmp_path / "ledger.db", Now())) as ledger:
        async with asked(foreign_witness) as client, listening(ours) as (url, pool):
            addresses = [client.witness, WitnessAddress(ours.keys, url)]
            quorum = Quorum(2, tuple(address.keys for address in addresses))
            http = client._http
            publisher = Publisher(ledger.sequencer, quorum, addresses, http, system_clock, pool=pool, rng=os.urandom)
            await publisher.compare(10)
            for person in range(3):
                ledger.record(f"person {person}", grant=grant())
                await publisher.publish()
                checkpoint = quorum.open(await publisher.note(), [SIGNER.verifier])
                assert checkpoint.size == ledger.sequencer.head.size


def step(log, size, *, known=()):
    proofs = {old: [base64.b64encode(part).decode() for part in log.proof(old, size)] for old in known}
    return {"note": log.note(size), "proofs": proofs}


async def test_our_witness_cosigns_for_its_client(tmp_path):
    real = RealWitness(tmp_path / "w.db", clock=system_clock)
    steps = [
        step(LOG, 4),
        step(LOG, 4),  # it starts at 0, is told 4, and needs no proof
        step(LOG, 9, known=[4]),
        step(LOG, 200, known=[9]),
        step(LOG, 150),
        step(OTHER, 200),
        step(OTHER, 210, known=[200]),
        step(SmallLog(signer=Signer(ORIGIN, b"\x07" * 32)), 210, known=[200]),
        step(SmallLog(signer=Signer("nobody.example/log", b"\x07" * 32)), 3),
        step(LOG, 220, known=[200]),
    ]
    async with listening(real) as (url, _):
        answers = await fed({"url": url, "verifier_key": real.signers[0].verifier.format(), "steps": steps})
    sizes = {0: 4, 1: 4, 2: 9, 3: 200, 9: 220}
    for number, size in sizes.items():
        opened = open_note(f"{LOG.checkpoint(size).body()}\n{answers[number]['lines']}", real.keys.keys)
        assert [line.name for line in opened.signatures] == [real.keys.name]
    assert answers[4] == {"error": "WitnessAhead", "status": None}
    refused = [answers[number] for number in (5, 6, 7, 8)]
    assert refused == [{"error": "WitnessRejected", "status": status} for status in (422, 422, 403, 404)]


async def fed(told):
    """Let its client ask, in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("feed.py")),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(),
    )
    out, err = await asyncio.wait_for(process.communicate(json.dumps(told).encode()), 60)
    assert process.returncode == 0, err.decode()
    return json.loads(out)

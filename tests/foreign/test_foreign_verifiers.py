"""Verifiers that others wrote read a log of Regie over HTTP: all of it checks, and one flipped bit does not.

Go's is the code behind the checksum database of its module mirror; tlog-scales is a Python one. Neither shares a line
with ours. The log has 70,000 leaves, so that there are tiles of three levels, full and partial.
"""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tlog_scales.backend import HttpBackend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import Vkey
from tlog_scales.tlog import ConsistencyProofInvalid, InclusionProofInvalid

from consent_ledger.log.cosignature import MlDsa44Signer
from consent_ledger.log.errors import VerificationError
from consent_ledger.log.keys import LogKeys
from consent_ledger.log.merkle import leaf_hash, verify_consistency, verify_inclusion
from consent_ledger.log.note import Signer
from consent_ledger.log.tiles import consistency_path, inclusion_path
from consent_ledger.service.http import prefix_of
from consent_ledger.verify.published import verify_published
from gateway.directory.founding import free_ports
from gateway.sdk.publiclog import public_log
from gateway.web import HttpServer
from tests.support import tools
from tests.support.biglog import app_of, long_ledger
from tests.support.ledger import SIGNER

SIZE = 70_000
KEYS = LogKeys((SIGNER,), (MlDsa44Signer(SIGNER.name, b"\6" * 32),))
BORDERS = (0, 1, 255, 256, 65_535, 65_536, SIZE - 1)
FLIPS = (
    ("tile/entries/100", 20),
    ("tile/entries/273.p/112", 4_000),
    ("tile/0/007", 8_000),
    ("tile/0/273.p/112", 1),
    ("tile/1/000", 17),
    ("tile/1/001.p/17", 500),
    ("tile/2/000.p/1", 31),
    ("checkpoint", 40),
)


@pytest.fixture(scope="module")
def pool():
    with ThreadPoolExecutor(2) as found:
        yield found


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    found = long_ledger(tmp_path_factory.mktemp("long") / "ledger.db", SIZE, KEYS)
    assert found.head.size == SIZE
    yield found
    found.close()


class Flipping:
    """The log's application, except that one bit of one resource is another one."""

    def __init__(self, app) -> None:
        self.app = app
        self.name, self.at = "", 0

    async def __call__(self, scope, receive, send):
        async def sending(message):
            if message["type"] == "http.response.body" and self.name and scope["path"].endswith("/" + self.name):
                body = bytearray(message["body"])
                body[self.at] ^= 1
                message = {**message, "body": bytes(body)}
            await send(message)

        # Identity only: a bit flipped in compressed bytes would be found by the decompressor, not by the verifier.
        scope["headers"] = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
        await self.app(scope, receive, sending)


@asynccontextmanager
async def serving(ledger, pool):
    """The log over real HTTP; gives its prefix, and what flips bits."""
    address = f"127.0.0.1:{free_ports(1)[0]}"
    server, flipping = HttpServer("log", address, 1.0), Flipping(app_of(ledger, pool))
    await server.start(flipping)
    try:
        yield f"http://{address}{prefix_of(ledger.origin)}", flipping
    finally:
        await server.stop()


@pytest.fixture(scope="module")
def checker(tmp_path_factory) -> Path:
    """The Go checker, compiled from what Debian packages: no module is fetched, and no C compiler is needed."""
    built = tmp_path_factory.mktemp("go") / "checker"
    environment = {
        **os.environ,
        "GO111MODULE": "off",
        "GOPATH": "/usr/share/gocode",
        "GOCACHE": str(built.parent / "cache"),
        "GOFLAGS": "",
    }
    source = Path(__file__).with_name("checker.go")
    subprocess.run([tools.path("go"), "build", "-o", built, source], check=True, env=environment, timeout=300)
    return built


async def run(checker, prefix, key=KEYS.names[0]) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        checker, prefix, key, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    return process.returncode or 0, (out or err).decode()


@pytest.mark.timeout(420)
@pytest.mark.needs("go")
async def test_go_verifies_every_leaf_and_catches_a_flipped_bit(checker, ledger, pool):
    async with serving(ledger, pool) as (prefix, flipping):
        root = base64.b64encode(ledger.head.root).decode()
        assert await run(checker, prefix) == (0, f"{SIZE} {root}\n")
        for flipping.name, flipping.at in FLIPS[::2]:
            code, said = await run(checker, prefix)
            assert code == 1, (flipping.name, said)
        flipping.name = ""
        code, said = await run(checker, prefix, KEYS.names[1])
        assert code == 1, "Go knows no ML-DSA-44 keys, and says so instead of passing"
        assert (await run(checker, prefix, Signer(SIGNER.name, b"\7" * 32).verifier.format()))[0] == 1


async def test_ours_verifies_every_leaf_and_catches_a_flipped_bit(ledger, pool):
    async with serving(ledger, pool) as (prefix, flipping), public_log(prefix) as client:
        report = await verify_published(await client.checkpoint(), KEYS.verifiers, client.fetch)
        assert (report.size, report.root) == (SIZE, ledger.head.root)
        assert report.commitments + len(report.public_events) == SIZE
        for flipping.name, flipping.at in FLIPS:
            with pytest.raises(VerificationError) as caught:
                await verify_published(await client.checkpoint(), KEYS.verifiers, client.fetch)
            assert flipping.name in str(caught.value) or flipping.name == "checkpoint"


class Scales:
    """tlog-scales as its user has it: a reader over HTTP, and the keys that it verifies with."""

    def __init__(self, prefix: str) -> None:
        self.backend = HttpBackend(prefix)
        self.reader = TilesReader(self.backend)
        self.head = self.reader.get_checkpoint()

    def check_head(self) -> None:
        for key in KEYS.names:
            verifier = Vkey.from_string(key).get_verifier()
            matching = [one for one in self.head.signatures if verifier.vkey.match(one)]
            assert len(matching) == 1
            verifier.verify_note(matching[0], self.head)
        if self.reader.calculate_root_hash() != self.head.root_hash:
            raise InclusionProofInvalid("another root")

    def check_leaves(self, indices) -> None:
        for index in indices:
            leaf = leaf_hash(self.reader.get_entry(index))
            self.reader.get_inclusion_proof(index, SIZE).check(leaf, self.head.root_hash)

    def close(self) -> None:
        self.backend.session.close()


# A path needs all of its leaf's tile, so one leaf stands for the tile; tlog-scales takes 20 ms for each.
SAMPLE = [7 * 256, 100 * 256, *BORDERS, *range(0, SIZE, 4_099)]


async def test_tlog_scales_agrees_about_root_entries_and_proofs(ledger, pool):
    async with serving(ledger, pool) as (prefix, _):
        scales = await asyncio.to_thread(Scales, prefix)
        await asyncio.to_thread(scales.check_head)
        await asyncio.to_thread(scales.check_leaves, SAMPLE)
        await asyncio.to_thread(compare_proofs, scales, ledger)
        scales.close()


def compare_proofs(scales: Scales, ledger) -> None:
    """Its proofs are ours, and each verifies the other's."""
    root = ledger.head.root
    with ledger.reader.snapshot() as snapshot:
        for index in BORDERS:
            theirs = scales.reader.get_inclusion_proof(index, SIZE)
            assert theirs.node_hashes == inclusion_path(index, SIZE, snapshot.tile)
            verify_inclusion(index, SIZE, scales.reader.mth(index, index + 1), root, theirs.node_hashes)
        for old in BORDERS[1:]:
            found = scales.reader.get_consistency_proof(old, SIZE)
            old_root = scales.reader.mth(0, old)
            assert found.node_hashes == consistency_path(old, SIZE, snapshot.tile)
            verify_consistency(old, SIZE, old_root, root, found.node_hashes)
            found.check(old_root, root)
            with pytest.raises(ConsistencyProofInvalid):
                found.check(bytes(32), root)


@pytest.mark.parametrize(
    ("name", "at"), [flip for flip in FLIPS if flip[0] not in {"checkpoint", "tile/entries/273.p/112"}]
)
async def test_tlog_scales_catches_a_flipped_bit(ledger, pool, name, at):
    async with serving(ledger, pool) as (prefix, flipping):
        flipping.name, flipping.at = name, at

        def check() -> None:
            scales = Scales(prefix)
            try:
                scales.check_head()
                scales.check_leaves(SAMPLE)
            finally:
                scales.close()

        with pytest.raises(InclusionProofInvalid):
            await asyncio.to_thread(check)

"""A witness, a log that asks it, and answers that witnesses should not give."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path

import httpx2

from consent_ledger.log.checkpoint import Checkpoint, sign_checkpoint
from consent_ledger.log.cosignature import Ed25519CosignatureSigner, MlDsa44Signer
from consent_ledger.log.merkle import leaf_hash, root_of
from consent_ledger.log.note import Signer
from consent_ledger.log.quorum import WitnessKeys
from consent_ledger.log.tiles import consistency_path
from consent_ledger.witness.client import WitnessAddress
from consent_ledger.witness.memory import Memory, create_memory
from consent_ledger.witness.message import AddCheckpoint
from consent_ledger.witness.server import witness_app
from consent_ledger.witness.witness import KnownLog, Witness
from tests.support.ledger import SIGNER, Time

ORIGIN = SIGNER.name


class SmallLog:
    """A log in memory, of entries that a label names: another label is another log of the same name."""

    def __init__(self, label: str = "entry", signer: Signer = SIGNER) -> None:
        self.label, self.signer = label, signer

    def hashes(self, size: int) -> list[bytes]:
        return [leaf_hash(f"{self.label} {index}".encode()) for index in range(size)]

    def tile(self, level: int, index: int, width: int) -> bytes:
        assert level == 0, "a small log has fewer than 256 entries"
        return b"".join(self.hashes(256)[index * 256 : index * 256 + width])

    def checkpoint(self, size: int) -> Checkpoint:
        return Checkpoint(self.signer.name, size, root_of(self.hashes(size)))

    def note(self, size: int) -> str:
        return sign_checkpoint(self.checkpoint(size), [self.signer])

    def proof(self, old: int, new: int) -> list[bytes]:
        return consistency_path(old, new, self.tile)

    def request(self, old: int, new: int) -> AddCheckpoint:
        return AddCheckpoint(old, tuple(self.proof(old, new)), self.note(new))

    async def prove(self, old: int, new: int) -> list[bytes]:
        return self.proof(old, new)


def witness_signers(name: str = "witness.example/w1") -> list[Ed25519CosignatureSigner | MlDsa44Signer]:
    seed = sha256(name.encode()).digest()
    return [Ed25519CosignatureSigner(name, seed), MlDsa44Signer(name, seed)]


class RealWitness:
    """A whole witness on a file of its own; it can be started again on the same file."""

    def __init__(self, path: Path, name: str = "witness.example/w1", clock: Time | None = None) -> None:
        self.path, self.clock = path, clock or Time()
        self.signers = witness_signers(name)
        create_memory(path)
        self.start()

    def start(self, *signers: Signer) -> None:
        self.memory = Memory(self.path)
        known = signers or (SIGNER,)
        log = KnownLog(known[0].name, tuple(signer.verifier for signer in known))
        self.witness = Witness(self.signers, [log], self.memory, self.clock)

    def stop(self) -> None:
        self.memory.close()

    @property
    def keys(self) -> WitnessKeys:
        return WitnessKeys.parse([signer.verifier.format() for signer in self.signers])

    @property
    def url(self) -> str:
        return f"http://{self.keys.name.replace('/', '.')}"

    @property
    def address(self) -> WitnessAddress:
        return WitnessAddress(self.keys, self.url)


class Network(httpx2.AsyncBaseTransport):
    """Witnesses by host name, without sockets. One that is not named here, or is down, does not answer."""

    def __init__(self, pool, *witnesses: RealWitness) -> None:
        self.down: set[str] = set()
        self._says: dict[str, tuple[int, str, bytes]] = {}
        self.asked: list[str] = []
        self.before: Callable[[], None] | None = None  # happens once, while a request is under way
        self.answer_lost = False  # what the witness answered does not arrive
        self._hosts = {
            httpx2.URL(one.url).host: httpx2.ASGITransport(witness_app(one.witness, pool)) for one in witnesses
        }

    def say(self, host: str, status: int, kind: str, body: bytes) -> None:
        """Let a host answer this to every request for a cosignature."""
        self._says[host] = (status, kind, body)

    def replace(self, witness: RealWitness, pool) -> None:
        """Put another witness behind a name."""
        self._hosts[httpx2.URL(witness.url).host] = httpx2.ASGITransport(witness_app(witness.witness, pool))

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        host = request.url.host
        self.asked.append(f"{request.method} {host}")
        if host in self._says and request.method == "POST":
            status, kind, body = self._says[host]
            return httpx2.Response(status, headers={"content-type": kind}, content=body)
        if host in self.down or host not in self._hosts:
            raise httpx2.ConnectError("nobody listens", request=request)
        if self.before is not None:
            happens, self.before = self.before, None
            happens()
        answer = await self._hosts[host].handle_async_request(request)
        if self.answer_lost:
            raise httpx2.ReadError("the connection broke", request=request)
        return answer


@asynccontextmanager
async def asking(pool, witnesses: Sequence[RealWitness]) -> AsyncIterator[tuple[Network, httpx2.AsyncClient]]:
    network = Network(pool, *witnesses)
    async with httpx2.AsyncClient(transport=network) as http:
        yield network, http

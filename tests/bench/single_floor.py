"""What one signal cannot take less than on its way, in Python over gRPC: the protocol's own steps, with nothing in them.

The target of a single call counts group operations and one durable write. Three calls over mutual TLS, the boxes and
signatures of pseudonyms.md and a durable step of each party stand between them, whoever writes the code.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter

import grpc

from gateway.crypto import hpke, signatures
from gateway.directory.authority import internal_name
from gateway.home import Home, Organisation
from gateway.town.participants import GATEWAY, LAMPJE
from tests.bench.limits import fsync_seconds, median_seconds, submission
from tests.bench.section import Figures

SEALS, OPENS = 4, 2
"""Of one batch until it is answered: to pseudonyms, ledger, recipient and viewer; the first two open theirs."""
SIGNATURES, CHECKS = 6, 6
"""Four of the sender, the decision and the checkpoint; one check each at T1, T2 and L, the decision twice, the log."""
DURABLE_STEPS = 4
"""In a row: the sender keeps the batch, the ledger decides, the gateway keeps the answer, the sender has it."""
CALLS = 300
_LABEL = b"regie/s/bench/v1"
_PATH = "/bench/Nothing"
_MESSAGE = bytes(1_000)
_Answer = Callable[[bytes, object], Awaitable[bytes]]


async def measure(home: Home, folder: Path) -> Figures:
    """Return milliseconds of each kind of step, and of all of them with the group operations."""
    hops = await _hops(home, folder)
    crypto = median_seconds(_Boxes().run, 20)
    durable = DURABLE_STEPS * fsync_seconds(folder, 20)
    group = median(submission(1, None).wall for _ in range(20))
    steps = {"hops": hops, "boxes": crypto, "durable": durable, "group": group}
    return {f"floor_{name}_ms": round(seconds * 1e3, 3) for name, seconds in steps.items()} | {
        "floor_ms": round(sum(steps.values()) * 1e3, 3)
    }


class _Boxes:
    """The hybrid encryption and the signatures of one batch."""

    def __init__(self) -> None:
        self._private = hpke.PrivateKey.from_bytes(hpke.generate(os.urandom))
        self._signing = signatures.signing_key(os.urandom(32))
        self._public = self._signing.public_key().public_bytes_raw()

    def run(self) -> None:
        """Do all of them."""
        box = b""
        for _ in range(SEALS):
            box = hpke.seal(self._private.public, b"", bytes(64))
        for _ in range(OPENS):
            hpke.open_(self._private, b"", box, field_name="")
        signature = b""
        for _ in range(SIGNATURES):
            signature = signatures.sign(self._signing, _LABEL)
        for _ in range(CHECKS):
            signatures.verify(self._public, _LABEL, signature)


async def _hops(home: Home, folder: Path) -> float:
    """Return the median of a call to a server that calls two others in turn; they share a process, as the roles do."""
    with _nothing(home, folder) as port:
        async with _channel(home, home.organisation(LAMPJE.oin), port) as channel:
            call = channel.unary_unary(_PATH)
            waited = []
            for _ in range(CALLS):
                begun = perf_counter()
                await call(_MESSAGE)
                waited.append(perf_counter() - begun)
    return median(waited)


@contextmanager
def _nothing(home: Home, folder: Path) -> Iterator[int]:
    """Serve calls that do nothing but call others, in a process of its own; yields the port."""
    command = [sys.executable, "-m", "tests.bench.single_floor", str(home.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


def _channel(home: Home, organisation: Organisation, port: int) -> grpc.aio.Channel:
    credentials = grpc.ssl_channel_credentials(home.authority, organisation.tls_key, organisation.certificate)
    options = [("grpc.ssl_target_name_override", internal_name(GATEWAY.oin))]
    return grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options)


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, answer: _Answer) -> None:
        self._method = grpc.unary_unary_rpc_method_handler(answer)

    def service(self, _details: object) -> grpc.RpcMethodHandler[bytes, bytes]:
        return self._method


async def _echo(request: bytes, _context: object) -> bytes:
    return request


@asynccontextmanager
async def _serving(home: Home, answer: _Answer) -> AsyncIterator[int]:
    """Serve one method over mutual TLS; yields the port."""
    mine = home.organisation(GATEWAY.oin)
    credentials = grpc.ssl_server_credentials([(mine.tls_key, mine.certificate)], home.authority, True)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_Handler(answer),))
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


async def _serve(home: Home) -> None:
    mine = home.organisation(GATEWAY.oin)
    async with AsyncExitStack() as stack:
        ports = [await stack.enter_async_context(_serving(home, _echo)) for _ in range(2)]
        channels = [await stack.enter_async_context(_channel(home, mine, port)) for port in ports]
        calls = [channel.unary_unary(_PATH) for channel in channels]

        async def through(request: bytes, _context: object) -> bytes:
            for call in calls:
                request = await call(request)
            return request

        print(await stack.enter_async_context(_serving(home, through)), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(Home.open(Path(sys.argv[1]))))

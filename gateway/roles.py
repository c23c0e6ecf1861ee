"""What each role is made of."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from consent_ledger.errors import RegieError
from consent_ledger.registry import check_separation
from consent_ledger.sequencer import Sequencer, open_ledger
from consent_ledger.service.consent import ConsentService
from consent_ledger.service.decision import DecisionService
from consent_ledger.service.http import log_app
from consent_ledger.service.latest import LatestHead
from consent_ledger.service.log import LogService
from consent_ledger.v1 import consents_pb2_grpc, decisions_pb2_grpc, log_pb2_grpc
from gateway.auditor.role import build_auditor
from gateway.crypto import hpke, signatures
from gateway.crypto.ledger_side import LedgerSide
from gateway.database import Database
from gateway.directory.channels import open_channel
from gateway.directory.client import DirectoryClient
from gateway.directory.identity import Identity
from gateway.directory.service import DirectoryKeeper, DirectoryService
from gateway.evaluator import stores
from gateway.evaluator.first import FirstEvaluator
from gateway.evaluator.keys import EvaluatorKeys
from gateway.evaluator.second import SecondEvaluator
from gateway.exchange import inbox, tables
from gateway.exchange.delivery import Deliverer, Doorbell
from gateway.exchange.service import ExchangeService
from gateway.exchange.submit import Submitter
from gateway.exchange.unresolved import UnresolvedCounts
from gateway.interceptors import incident
from gateway.ldv.role import open_follower
from gateway.logkeys import KeyFile
from gateway.retention import announcing_of, erasing_by_age
from gateway.rpc import RoleServer
from gateway.server import Parts, Watch
from gateway.telemetry import traces
from gateway.telemetry.ledger import watch_ledger
from gateway.telemetry.metrics import Decisions, Exchanges
from gateway.v1 import directory_pb2_grpc, evaluator_pb2_grpc, exchange_pb2_grpc
from gateway.viewer.role import build_viewer
from gateway.web import HttpServer
from gateway.witness.asking import open_publisher
from gateway.witness.role import build_witness

WATCH_SECONDS, COUNT_SECONDS = 0.5, 5.0
Build = Callable[[Parts, Any], Awaitable[Watch]]
"""Takes the role's server: of gRPC, the witness's of HTTP."""


class LedgerWatch:
    """Watches the ledger's writer: after a fatal failure the process stops, and only a new start goes on."""

    def __init__(self, sequencer: Sequencer) -> None:
        self._sequencer = sequencer
        self.ready, self.failed = asyncio.Event(), asyncio.Event()
        self.fatal: RegieError | None = None

    async def look(self) -> None:
        """Look once."""
        if self._sequencer.failure is not None and self.fatal is None:
            self.fatal = _why_stopped(self._sequencer.failure)
            self.failed.set()


def _why_stopped(failure: BaseException) -> RegieError:
    """Return what the operator is told; only our own errors have a text that holds no data."""
    if isinstance(failure, RegieError):
        return failure
    return RegieError("LEDGER_UNAVAILABLE", "the ledger stopped after a failure: start it again")


async def build_ledger(parts: Parts, shell: RoleServer) -> Watch:
    """Open the ledger, which must exist, and serve it. It is its own directory."""
    ours = shell.organisation
    public = _public_log(parts)
    log_keys = KeyFile.read(ours)
    sequencer = open_ledger(parts.home.ledger, log_keys.keys, parts.means.clock)
    parts.stack.callback(sequencer.close)
    if not parts.home.demo:
        check_separation(sequencer.registry)
    publisher = await open_publisher(parts, sequencer)
    if news := log_keys.announcements(sequencer.registry):  # nothing is signed before the witnesses were asked
        await asyncio.wrap_future(sequencer.publish(news))
    crypto = LedgerSide(
        hpke.PrivateKey.from_bytes(ours.key("hpke")),
        int.from_bytes(ours.key("closing"), "big"),
        signatures.signing_key(ours.key("sign")),
        ours.oin,
        parts.means.pool,
    )
    identity = Identity("ledger", lambda: sequencer.registry)
    means, metrics = parts.means, parts.telemetry["ledger"].metrics
    watch_ledger(metrics, sequencer, publisher, means.clock)
    decisions = DecisionService(
        sequencer,
        crypto,
        means.clock,
        means.pool,
        identity.peer,
        tracer=traces,
        counted=Decisions(metrics).count,
    )
    decisions_pb2_grpc.add_DecisionServiceServicer_to_server(decisions, shell.server)
    consents = ConsentService(
        sequencer, crypto, means.clock, means.pool, identity.peer, announcing=announcing_of(means.settings)
    )
    consents_pb2_grpc.add_ConsentServiceServicer_to_server(consents, shell.server)
    log = LogService(sequencer, parts.means.pool, identity.peer)
    log_pb2_grpc.add_LogServiceServicer_to_server(log, shell.server)
    names = [f"consent_ledger.v1.{name}" for name in ("DecisionService", "ConsentService", "LogService")]
    await shell.start(identity, names)
    parts.stack.push_async_callback(shell.stop)
    if public:
        latest = LatestHead(sequencer, parts.means.clock, parts.means.rng, parts.means.pool)
        current = publisher.note if publisher else latest
        await public.start(log_app(sequencer.reader, sequencer.origin, current, parts.means.pool))
        parts.stack.push_async_callback(public.stop)
    follower = await open_follower(parts.stack, parts.home, ours, sequencer, parts.means.clock)
    await shell.set_serving(True)
    watch = LedgerWatch(sequencer)
    watch.ready.set()
    _in_background(parts, _every(WATCH_SECONDS, watch.look), _withdraw_when_failed(watch, shell))
    _in_background(parts, _every(parts.means.settings.housekeeping_seconds, erasing_by_age(sequencer, parts.means)))
    metrics.gauge("regie_ldv_pending", "Entries that wait for the processing log's receiver.", lambda: follower.pending)
    _in_background(parts, follower.run())
    if publisher:
        _in_background(parts, _every(parts.means.settings.publish_seconds, publisher.publish))
    return watch


def _public_log(parts: Parts) -> HttpServer | None:
    """Take the address of the public log, if the home names one, before the ledger is opened."""
    if "log" not in parts.home.addresses:
        return None
    public = HttpServer("log", parts.home.addresses["log"], parts.means.settings.grace_seconds)
    parts.stack.push_async_callback(public.stop)
    return public


async def build_pseudonyms(parts: Parts, shell: RoleServer) -> Watch:
    """Serve the second evaluator to the gateway."""
    ours = shell.organisation
    database = Database(parts.home.database("pseudonyms", "pseudonyms"), stores.TABLES, owner="pseudonyms")
    parts.stack.callback(database.close)
    keeper = _keeper(parts, shell)
    identity = Identity("pseudonyms", keeper.registry)
    evaluator = SecondEvaluator(
        EvaluatorKeys.load(ours),
        hpke.PrivateKey.from_bytes(ours.key("hpke")),
        database,
        keeper.registry,
        identity.peer,
        means=parts.means,
    )
    evaluator_pb2_grpc.add_EvaluatorServiceServicer_to_server(evaluator, shell.server)
    await shell.start(identity, ["gateway.v1.EvaluatorService"], keeper.refresh)
    parts.stack.push_async_callback(shell.stop)

    async def tidy() -> None:
        await database.run(lambda connection: stores.forget_expired(connection, parts.means.clock()))

    _in_background(parts, _serve_when_ready(keeper, shell), _every(parts.means.settings.housekeeping_seconds, tidy))
    return keeper


async def build_gateway(parts: Parts, shell: RoleServer) -> Watch:
    """Serve agencies: exchange, first evaluator, directory."""
    ours, means = shell.organisation, parts.means
    database = Database(parts.home.database("gateway", "gateway"), tables.TABLES, owner="gateway")
    parts.stack.callback(database.close)
    pseudonyms, ledger = (open_channel(parts.home, ours, role) for role in ("pseudonyms", "ledger"))
    parts.stack.push_async_callback(pseudonyms.close)
    parts.stack.push_async_callback(ledger.close)
    keeper = _keeper(parts, shell)
    metrics = parts.telemetry["gateway"].metrics
    metrics.knows(keeper.registry)
    identity, keys, doorbell = Identity("gateway", keeper.registry), EvaluatorKeys.load(ours), Doorbell()
    loop = asyncio.get_running_loop()
    database.listen(lambda recipient: loop.call_soon_threadsafe(doorbell.ring, recipient))
    submitter = Submitter(
        keys,
        database,
        keeper.registry,
        pseudonyms=pseudonyms,
        ledger=ledger,
        stored=doorbell.ring,
        means=means,
        counted=Exchanges(metrics).count,
    )
    parts.stack.push_async_callback(submitter.finish)
    deliverer = Deliverer(database, ledger, doorbell, means=means)
    counts = UnresolvedCounts(database, keeper.registry, means.clock)
    exchange = ExchangeService(submitter, deliverer, counts, identity.peer, means.settings.hop_seconds)
    exchange_pb2_grpc.add_ExchangeServiceServicer_to_server(exchange, shell.server)
    rows = FirstEvaluator(keys, database, keeper.registry, identity.peer, pseudonyms, means=means)
    evaluator_pb2_grpc.add_EvaluatorServiceServicer_to_server(rows, shell.server)
    directory_pb2_grpc.add_DirectoryServiceServicer_to_server(DirectoryService(keeper.response), shell.server)
    names = [f"gateway.v1.{name}" for name in ("ExchangeService", "EvaluatorService", "DirectoryService")]
    await shell.start(identity, names, keeper.refresh)
    parts.stack.push_async_callback(shell.stop)
    parts.stack.callback(doorbell.stop)

    async def tidy() -> None:
        if await database.run(lambda connection: inbox.sweep(connection, means.clock())):
            await database.scrub()

    waiting = metrics.level("regie_inbox_waiting", "Signals that wait for their recipients.")

    expiring = metrics.level("regie_inbox_expires_seconds", "Until the first signal that waits is gone; NaN: none.")

    async def count_waiting() -> None:
        now_ms = means.clock()
        waiting.set(await database.run(lambda connection: inbox.count_waiting(connection, now_ms)))
        first = await database.run(lambda connection: inbox.first_expiry(connection, now_ms))
        expiring.set(math.nan if first is None else (first - now_ms) / 1000)

    _in_background(parts, _serve_when_ready(keeper, shell), _every(parts.means.settings.housekeeping_seconds, tidy))
    _in_background(parts, _every(COUNT_SECONDS, count_waiting))
    return keeper


BUILD: dict[str, Build] = {
    "witness": build_witness,
    "ledger": build_ledger,
    "pseudonyms": build_pseudonyms,
    "gateway": build_gateway,
    "viewer": build_viewer,
    "auditor": build_auditor,
}


def _keeper(parts: Parts, shell: RoleServer) -> DirectoryKeeper:
    client = DirectoryClient(parts.home, shell.organisation, "ledger", parts.means.clock)
    keeper = DirectoryKeeper(client, demo=parts.home.demo, seconds=parts.means.settings.directory_seconds)
    parts.stack.push_async_callback(keeper.close)
    keeper.start()
    return keeper


async def _serve_when_ready(keeper: DirectoryKeeper, shell: RoleServer) -> None:
    await keeper.ready.wait()
    if keeper.fatal is None:
        await shell.set_serving(True)


async def _withdraw_when_failed(watch: Watch, shell: RoleServer) -> None:
    await watch.failed.wait()
    await shell.set_serving(False)


async def _every(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - the next round may succeed; calls report their own errors
            incident(error, role="housekeeping")
        await asyncio.sleep(seconds)


def _in_background(parts: Parts, *works: Awaitable[None]) -> None:
    tasks = [asyncio.ensure_future(work) for work in works]

    async def end() -> None:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    parts.stack.push_async_callback(end)

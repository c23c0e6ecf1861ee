"""One role's gRPC server: mutual TLS, the edge interceptor, health and reflection."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from consent_ledger.errors import RegieError
from gateway.directory.certificates import server_credentials
from gateway.directory.channels import MAX_MESSAGE
from gateway.directory.identity import Context, Identity
from gateway.home import Home, HomeError, Role
from gateway.interceptors import Edge
from gateway.telemetry import traces
from gateway.telemetry.logs import get_logger

OPTIONS = (
    ("grpc.so_reuseport", 0),  # else two servers share one port silently, and each gets some of the calls
    ("grpc.max_send_message_length", MAX_MESSAGE),
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    # Connections end now and then, between calls: so they spread over replicas anew, and show new certificates.
    ("grpc.max_connection_age_ms", 300_000),
)


class RoleServer:
    """The server of a role; it listens from ``start`` on.

    Raises HomeError when the home lacks the role's address or keys, or the address is in use.
    """

    def __init__(self, home: Home, role: Role, tracing: traces.Tracing, grace: float) -> None:
        if role not in home.addresses:
            raise HomeError(f"this home has no address of the {role}: see {home.folder / 'regie.toml'}")
        self.role, self.address, self.organisation = role, home.addresses[role], home.operator(role)
        self._grace = grace
        self._identity: Identity | None = None
        self._refresh: Callable[[], Awaitable[None]] | None = None
        self._names: tuple[str, ...] = ("",)
        self.health = health.aio.HealthServicer()
        self.server = grpc.aio.server(interceptors=[Edge(self._admit, tracing, role, self._renew)], options=OPTIONS)
        self._credentials = server_credentials(home, self.organisation)
        if not is_free(self.address):
            raise self._taken()

    def _taken(self) -> HomeError:
        return HomeError(
            f"the {self.role} cannot listen at {self.address}: the address is in use or not of this machine"
        )

    def _bind(self) -> None:
        try:
            self.server.add_secure_port(self.address, self._credentials)
        except RuntimeError:  # somebody was faster
            raise self._taken() from None

    def _admit(self, method: str, context: Context) -> None:
        if self._identity is None:
            raise RegieError("OVERLOADED", "the server is starting")
        self._identity.admit(method, context)

    async def _renew(self) -> None:
        if self._refresh is not None:
            await self._refresh()

    async def start(
        self,
        identity: Identity,
        services: Sequence[str],
        refresh: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Listen, answering health checks with NOT_SERVING until ``set_serving``; ``services`` are full names."""
        self._identity, self._refresh = identity, refresh
        self._names = ("", *services)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self.server)
        names = (*services, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self.server)
        await self.set_serving(False)
        self._bind()  # not earlier: a server that is bound and never started does not give its port back
        await self.server.start()
        get_logger().info("listening", role=self.role, address=self.address)

    async def set_serving(self, serving: bool) -> None:  # noqa: FBT001 - health knows just two states here
        """Answer health checks with SERVING or NOT_SERVING."""
        status = health_pb2.HealthCheckResponse
        for name in self._names:
            await self.health.set(name, status.SERVING if serving else status.NOT_SERVING)

    async def withdraw(self) -> None:
        """Answer health checks with NOT_SERVING from now on, whoever says otherwise; calls are served as before."""
        with suppress(Exception):  # a server that never started has no health to withdraw
            await self.health.enter_graceful_shutdown()

    async def stop(self) -> None:
        """Accept nothing more, and give calls in flight the grace time."""
        await self.withdraw()
        await self.server.stop(self._grace)


def is_free(address: str) -> bool:
    """Try the address: gRPC would write its own lines about a failure to standard error."""
    host, _, port = address.rpartition(":")
    try:
        family = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((host.strip("[]"), int(port)))
    except (OSError, ValueError):
        return False
    return True

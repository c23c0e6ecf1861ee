"""Plain HTTP beside gRPC in one event loop: what is signed and public needs no TLS of ours, a proxy may add it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from gateway.home import HomeError
from gateway.telemetry.logs import get_logger

_KEEP_ALIVE_SECONDS = 15
_MOST_CONNECTIONS = 256


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS at this server: its certificate and key, and who signs the clients'; ``required``: nobody comes in without.

    What a client showed is then in the scope of each request (``client_certificate``).
    """

    certificate: Path
    key: Path
    authority: Path
    required: bool

    @property
    def options(self) -> dict[str, Any]:
        """Return them as uvicorn takes them."""
        return {
            "http": _WithCertificate,
            "ssl_certfile": str(self.certificate),
            "ssl_keyfile": str(self.key),
            "ssl_ca_certs": str(self.authority),
            "ssl_cert_reqs": ssl.CERT_REQUIRED if self.required else ssl.CERT_OPTIONAL,
        }


class _WithCertificate(H11Protocol):
    """A connection that tells the application which certificate the other side showed (DER; b"" for none)."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn narrows it too
        """Note the certificate: the handshake is over by now, and verified it."""
        super().connection_made(transport)
        tls, inner = transport.get_extra_info("ssl_object"), self.app
        shown = tls.getpeercert(binary_form=True) or b"" if tls else b""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await inner({**scope, "client_certificate": shown}, receive, send)

        self.app = app


class _Server(uvicorn.Server):
    """uvicorn, except that signals stay with whoever runs the roles."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


class HttpServer:
    """One application on one address (``host:port``): held from the beginning, listened on from ``start`` on.

    Raises HomeError when the address is in use or not of this machine.
    """

    def __init__(self, role: str, address: str, grace: float) -> None:
        self.role, self.address = role, address
        self._socket = _bind(role, address)
        self._grace = grace
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self, app: ASGIApp, tls: Tls | None = None) -> None:
        """Serve the application, over TLS with these files if there are any; returns once it listens."""
        config = uvicorn.Config(
            app,
            lifespan="off",
            log_config=None,  # our log lines go through telemetry.logs, and none of them names who asked
            access_log=False,
            server_header=False,
            ws="none",
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_graceful_shutdown=max(1, round(self._grace)),
            **(tls.options if tls else {}),
        )
        self._server = _Server(config)
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        while not self._server.started:
            if self._task.done():
                self._task.result()
            await asyncio.sleep(0.01)
        get_logger().info("listening", role=self.role, address=self.address)

    async def stop(self) -> None:
        """Accept nothing more, and give requests in flight the grace time."""
        if self._server is not None and self._task is not None:
            self._server.should_exit = True
            await self._task
        self._socket.close()


def _bind(role: str, address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        family = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0][0]
        # With its protocol named: else asyncio takes connections for something else, and Nagle costs 40 ms an answer.
        found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except (OSError, ValueError):
        raise _taken(role, address) from None
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, int(port)))
    except OSError:
        found.close()
        raise _taken(role, address) from None
    return found


def _taken(role: str, address: str) -> HomeError:
    return HomeError(f"the {role} cannot listen at {address}: the address is in use or not of this machine")

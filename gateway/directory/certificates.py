"""Certificates that are replaced while a role runs: new connections use the new one, old ones end by themselves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from gateway.home import Home, HomeError, Organisation
from gateway.telemetry.logs import get_logger

LOOK_SECONDS = 1.0
"""How often a channel looks for another certificate, when it is used."""
FINISH_SECONDS = 120.0
"""How long calls over the old certificate may go on: longer than anybody waits for a batch."""


class KeyPair:
    """An organisation's TLS certificate and key, as they belong together on disk."""

    def __init__(self, organisation: Organisation) -> None:
        """Read them; raises HomeError when one is missing or may be read by others."""
        self._organisation = organisation
        self._seen = self._stamp()
        self.certificate, self.key = organisation.certificate, organisation.tls_key

    def renewed(self) -> bool:
        """Look whether the files changed, and take a new pair; one that is half replaced is left for later."""
        if (stamp := self._stamp()) == self._seen:
            return False
        self._seen = stamp
        try:
            certificate, key = self._organisation.certificate, self._organisation.tls_key
            if not _belong_together(certificate, key):
                return False  # one file is replaced before the other
        except (HomeError, ValueError, TypeError):
            get_logger().warning("the new certificate cannot be used", oin=self._organisation.oin)
            return False
        if (certificate, key) == (self.certificate, self.key):
            return False
        self.certificate, self.key = certificate, key
        get_logger().info("certificate renewed", oin=self._organisation.oin)
        return True

    def _stamp(self) -> list[tuple[int, int, int]]:
        found = []
        for name in ("tls.pem", "tls.key"):
            try:
                known = (self._organisation.folder / name).stat()
            except FileNotFoundError:
                continue
            found.append((known.st_ino, known.st_mtime_ns, known.st_size))
        return found


def _belong_together(certificate: bytes, key: bytes) -> bool:
    """Tell whether the key is the certificate's; raises ValueError for what is not PEM."""
    holder = x509.load_pem_x509_certificate(certificate).public_key()
    return holder == serialization.load_pem_private_key(key, None).public_key()


def server_credentials(home: Home, organisation: Organisation) -> grpc.ServerCredentials:
    """Return mutual TLS with the certificate that is on disk at each handshake; raises HomeError."""
    pair, authority = KeyPair(organisation), home.authority

    def configuration() -> grpc.ServerCertificateConfiguration:
        return grpc.ssl_server_certificate_configuration([(pair.key, pair.certificate)], authority)

    def current() -> grpc.ServerCertificateConfiguration | None:  # asked before every handshake
        # None for "as before" is no saving but safety: gRPC swaps its TLS context for each answer that is not None, and
        # frees the one that a handshake of another thread may just be taking up. That ended the process (SIGABRT).
        return configuration() if pair.renewed() else None

    return grpc.dynamic_ssl_server_credentials(
        configuration(),
        current,  # type: ignore[arg-type]  # its types forget the None that gRPC documents
        require_client_authentication=True,
    )


Open = Callable[[KeyPair], grpc.aio.Channel]


class RenewingChannel(grpc.aio.Channel):
    """A channel that is opened anew once its certificate is replaced; calls under way finish on the old one."""

    def __init__(self, organisation: Organisation, opened: Open) -> None:
        """Open the first; raises HomeError when the organisation has no certificate or key."""
        self._pair, self._opened = KeyPair(organisation), opened
        self._channel = opened(self._pair)
        self._looked = time.monotonic()
        self._methods: dict[str, Any] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()

    def current(self) -> grpc.aio.Channel:
        """Return the channel with the certificate that is on disk."""
        now = time.monotonic()
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            if self._pair.renewed():
                ending = asyncio.ensure_future(self._end(self._channel))
                self._ending.add(ending)
                ending.add_done_callback(self._ending.discard)
                self._channel, self._methods = self._opened(self._pair), {}
        return self._channel

    async def _end(self, old: grpc.aio.Channel) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(FINISH_SECONDS):
                await self._closing.wait()
        await old.close()

    def method(self, method: _Method) -> Any:
        """Return a method of the current channel."""
        channel = self.current()
        path = str(method.arguments[0] if method.arguments else method.named["method"])
        if path not in self._methods:  # by its path: who makes a stub for each call shares it
            self._methods[path] = getattr(channel, method.kind)(*method.arguments, **method.named)
        return self._methods[path]

    def unary_unary(self, *arguments: Any, **named: Any) -> Any:
        """Return a method with one request and one answer."""
        return _Method(self, "unary_unary", arguments, named)

    def unary_stream(self, *arguments: Any, **named: Any) -> Any:
        """Return a method with one request and a stream of answers."""
        return _Method(self, "unary_stream", arguments, named)

    def stream_unary(self, *arguments: Any, **named: Any) -> Any:
        """Return a method with a stream of requests and one answer."""
        return _Method(self, "stream_unary", arguments, named)

    def stream_stream(self, *arguments: Any, **named: Any) -> Any:
        """Return a method with streams both ways."""
        return _Method(self, "stream_stream", arguments, named)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:  # noqa: FBT001, FBT002 - gRPC's
        """Return the state of the current channel."""
        return self.current().get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Wait for another state of the current channel."""
        await self.current().wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Wait until the current channel is connected."""
        await self.current().channel_ready()

    async def close(self, grace: float | None = None) -> None:
        """Close it, and what is left of older ones."""
        self._closing.set()
        await asyncio.gather(*self._ending)
        await self._channel.close(grace)

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.close()


class _Method:
    """What a stub calls: the same method of whatever channel is current."""

    __slots__ = ("arguments", "channel", "kind", "named")

    def __init__(self, channel: RenewingChannel, kind: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        self.channel, self.kind, self.arguments, self.named = channel, kind, arguments, named

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self.channel.method(self)(*arguments, **named)

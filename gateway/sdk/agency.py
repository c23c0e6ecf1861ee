"""An organisation at work: its keys, the verified directory, and what it may do."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from consent_ledger.clock import Clock, system_clock
from consent_ledger.errors import RegieError
from consent_ledger.log.keys import AnyVerifier, parse_verifiers
from consent_ledger.registry import Participant, Registry, check_separation
from gateway.home import Home, Organisation
from gateway.sdk.remote import UNREACHABLE, GrpcRemote, Pause, Remote, patiently
from gateway.telemetry.provider import open_agency_tracing
from gateway.telemetry.traces import Tracing

if TYPE_CHECKING:
    from gateway.sdk.enrolment import Enrolment
    from gateway.sdk.erasing import Erasing
    from gateway.sdk.portal import Portal
    from gateway.sdk.recipient import Recipient
    from gateway.sdk.sender import Sender

START_SECONDS = 5.0
"""How long a server that is just starting is waited for."""


@dataclass(slots=True)
class Agency:
    """One organisation of a home, connected. Made by ``Agency.open``.

    ``clock``, ``rng`` and ``pause`` are arguments so that tests need neither time nor chance.
    """

    home: Home
    organisation: Organisation
    remote: Remote
    clock: Clock
    rng: Callable[[int], bytes]
    pause: Pause
    workers: ThreadPoolExecutor
    tracing: Tracing
    _registry: Registry | None = field(default=None, init=False)
    _log_verifiers: tuple[AnyVerifier, ...] = field(default=(), init=False)
    _sender: Sender | None = field(default=None, init=False)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        home: Home,
        oin: str,
        *,
        clock: Clock = system_clock,
        rng: Callable[[int], bytes] = os.urandom,
        pause: Pause = asyncio.sleep,
        remote: Remote | None = None,
    ) -> AsyncIterator[Agency]:
        """Open the organisation ``oin`` of a home; raises HomeError when the home has no keys of it."""
        organisation = home.organisation(oin)
        link = remote or GrpcRemote(home, organisation, clock)
        tracing, end_tracing = open_agency_tracing(home, organisation, clock)
        with ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="regie") as workers:
            agency = cls(home, organisation, link, clock, rng, pause, workers, tracing)
            try:
                yield agency
            finally:
                if agency._sender is not None:
                    agency._sender.close()
                await link.close()
                await asyncio.to_thread(end_tracing)

    @property
    def oin(self) -> str:
        """The organisation's identification number, 20 digits."""
        return self.organisation.oin

    @property
    def log_verifiers(self) -> tuple[AnyVerifier, ...]:
        """The keys that the log's checkpoints are verified with: one, or several while it changes its key."""
        if not self._log_verifiers:
            self._log_verifiers = parse_verifiers(self.home.log_verifier_key)
        return self._log_verifiers

    async def registry(self, *, fresh: bool = False) -> Registry:
        """Return the verified directory, fetched once; a server that is just starting is waited for.

        Raises RegieError: *_UNAVAILABLE, PROOF_INVALID or SIGNATURE_INVALID when it does not check, and
        OPERATORS_NOT_SEPARATE when one organisation holds roles that must be apart, except in a demo home.
        """
        if self._registry is None or fresh:
            registry = await patiently(self.remote.directory, START_SECONDS, self.pause)
            if not self.home.demo:
                check_separation(registry)
            self._registry = registry
        return self._registry

    async def refreshed(self) -> Registry:
        """Return the newest directory; the one known before while nobody answers. Waits for nobody.

        Raises RegieError as ``registry``; while nothing is known yet, also when nobody answers.
        """
        if self._registry is None:
            return await self.registry()
        try:
            registry = await self.remote.directory()
        except RegieError as error:
            if error.reason not in UNREACHABLE:
                raise
            return self._registry
        if not self.home.demo:
            check_separation(registry)
        self._registry = registry
        return registry

    async def me(self) -> Participant:
        """Return this organisation as the directory knows it; raises RegieError PARTY_UNKNOWN."""
        return (await self.registry()).participant(self.oin)

    def sender(self) -> Sender:
        """Return what sends signals for this organisation; the same each time, so that its outbox stays open."""
        from gateway.sdk.sender import Sender  # noqa: PLC0415 - it needs Agency

        if self._sender is None:
            self._sender = Sender(self)
        return self._sender

    def recipient(self) -> Recipient:
        """Return what receives signals for this organisation."""
        from gateway.sdk.recipient import Recipient  # noqa: PLC0415 - it needs Agency

        return Recipient(self)

    def enrolment(self) -> Enrolment:
        """Return what enrols this organisation's residents."""
        from gateway.sdk.enrolment import Enrolment  # noqa: PLC0415 - it needs Agency

        return Enrolment(self)

    def portal(self) -> Portal:
        """Return what records residents' choices."""
        from gateway.sdk.portal import Portal  # noqa: PLC0415 - it needs Agency

        return Portal(self)

    def erasing(self) -> Erasing:
        """Return what has the ledger erase what it holds about a resident."""
        from gateway.sdk.erasing import Erasing  # noqa: PLC0415 - it needs Agency

        return Erasing(self)

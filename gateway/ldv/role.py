"""The processing log inside the ledger's process: beside its work, never in it."""

from __future__ import annotations

from contextlib import AsyncExitStack

from consent_ledger.clock import Clock
from consent_ledger.sequencer import Sequencer
from gateway.home import Home, Organisation
from gateway.ldv.collector import open_collector
from gateway.ldv.follow import Follower
from gateway.ldv.ledgerbook import LedgerBook
from gateway.ldv.settings import LdvSettings
from gateway.ldv.state import State
from gateway.ldv.subjects import Subjects


async def open_follower(
    stack: AsyncExitStack, home: Home, ours: Organisation, sequencer: Sequencer, clock: Clock
) -> Follower:
    """Return what follows the ledger's log, to be run in the background; closed with ``stack``. Raises HomeError.

    Of several replicas each that has an endpoint exports: the records are the same, and so are their ids.
    """
    settings = LdvSettings.of(home)
    book = LedgerBook(sequencer.reader, settings, Subjects.of(ours), ours.oin, home.operators["gateway"])
    state = stack.enter_context(State.open(ours))
    target = await stack.enter_async_context(open_collector(settings.endpoint, clock)) if settings.endpoint else None
    follower = Follower(book, state, target, clock)
    stack.callback(follower.close)
    sequencer.before_erasing = follower.remember
    return follower

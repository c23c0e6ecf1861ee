"""The ledger's side: its publisher, over the witnesses of regie.toml."""

from __future__ import annotations

from consent_ledger.publishing.publisher import Publisher
from consent_ledger.sequencer import Sequencer
from consent_ledger.witness.client import open_http
from gateway.server import Parts
from gateway.witness.quorum import quorum_of, witnesses_of


async def open_publisher(parts: Parts, sequencer: Sequencer) -> Publisher | None:
    """Return the publisher of a ledger whose witnesses know nothing more than it does; None without witnesses.

    Raises HomeError on settings that contradict each other, and as ``Publisher.compare``.
    """
    quorum, means = quorum_of(parts.home), parts.means
    if not quorum.needed:
        return None
    http = await parts.stack.enter_async_context(open_http())
    addresses = witnesses_of(parts.home)
    publisher = Publisher(sequencer, quorum, addresses, http, means.clock, pool=means.pool, rng=means.rng)
    await publisher.compare(means.settings.witness_seconds)
    return publisher

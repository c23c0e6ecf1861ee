"""How the witnesses of a log stand, asked of each of them (A7)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import httpx2

from consent_ledger.clock import Clock
from consent_ledger.log.errors import VerificationError
from consent_ledger.log.keys import AnyVerifier
from consent_ledger.log.quorum import Quorum
from consent_ledger.witness.client import WitnessAddress, WitnessClient, WitnessError, open_http


class Seen(NamedTuple):
    """One witness: what it shows now, and when it cosigned what is published (seconds since 1970).

    ``size`` is None when it shows nothing, ``problem`` then says why; ``published_s`` is None when it did not cosign.
    """

    name: str
    url: str
    size: int | None
    published_s: int | None
    problem: str

    def lag(self, head: int) -> int | None:
        """Return how many entries it is behind the log."""
        return None if self.size is None else max(0, head - self.size)


class Witnessing(NamedTuple):
    """What is published, and how the witnesses stand; ``problem``: why what is published cannot be believed."""

    size: int | None
    needed: int
    cosigned: int
    witnesses: tuple[Seen, ...]
    problem: str


async def witnessing(
    published: str, quorum: Quorum, addresses: Sequence[WitnessAddress], keys: Sequence[AnyVerifier], clock: Clock
) -> Witnessing:
    """Open what is published, and ask every witness at once what it cosigned last."""
    cosigned, size, problem = dict[str, int](), None, ""
    try:
        cosigned = quorum.cosigned(published)
        size = quorum.open(published, keys).size
    except VerificationError as error:
        problem = str(error)
    origin = published.split("\n", 1)[0]
    async with open_http() as http:
        seen = await asyncio.gather(
            *(_ask(witness, http, origin, keys, clock, cosigned.get(witness.name)) for witness in addresses)
        )
    return Witnessing(size, quorum.needed, len(cosigned), tuple(seen), problem)


async def _ask(  # noqa: PLR0917  (one witness and all that it is asked with)
    witness: WitnessAddress,
    http: httpx2.AsyncClient,
    origin: str,
    keys: Sequence[AnyVerifier],
    clock: Clock,
    published_s: int | None,
) -> Seen:
    try:
        latest = await WitnessClient(witness, http, clock).latest(origin, keys)
    except WitnessError as error:
        return Seen(witness.name, witness.url, None, published_s, str(error))
    return Seen(witness.name, witness.url, latest.size if latest else None, published_s, "")

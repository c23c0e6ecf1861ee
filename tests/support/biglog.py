"""Ledgers with leaves that no exchange made, through the real writer: long ones in a second, and the golden log."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from consent_ledger.events import Rng
from consent_ledger.log.keys import LogKeys
from consent_ledger.log.merkle import leaf_hash
from consent_ledger.log.note import Signer
from consent_ledger.sequencer import Sequencer, create_ledger, open_ledger
from consent_ledger.service.http import log_app, prefix_of
from consent_ledger.service.latest import LatestHead
from consent_ledger.storage.rows import LeafRow
from consent_ledger.writing.transaction import Transaction
from gateway.directory.founding import free_ports
from gateway.web import HttpServer
from tests.support.ledger import SIGNER, Counter, Time, first_events

GOLDEN = Signer.parse("PRIVATE+KEY+example.com/log/testdata+33d7b496+AeymY/SZAX0jZcJ8enZ5FY1Dz+wTML2yWSkK+9DSF3eg")
GOLDEN_ENTRIES = b"one two three four five six seven eit nain ten ileven twelf threeten fourten fivten".split()
GOLDEN_ROOTS = {
    0: "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
    2: "T1X2GdkhUjV3iyufF9b0kVsWFxIU0VI4EpNml2Teci4=",
    15: "rKbDipCvhuX1GZ7g5BBe8sA6BbJ7ja/1nk427v383cs=",
}
GOLDEN_LINES = {
    0: "— example.com/log/testdata M9e0lhxJACzE1KoUdqKuPa+9p6R7dSW8BlEvrg/noo8FkGg6PbJoRNOcdjqjOq89wVvTA60eubCc4oufo5BvIVEgtQc=\n",
    2: "— example.com/log/testdata M9e0llH4NKmlf0u7C8tkJioQOmi7l5ELqljXgKRg6R3G5JJ7vx7emDWo5fpqKuA/Dk/jRrI6il+7QCVirNhyUAWGoAk=\n",
    15: "— example.com/log/testdata M9e0luh4jTG+UMBqOUo9/q+yAEvx1ilBEniMvjf1zfcBOhg+CKubMt53MvIt/uEWP6zdkdIQzd/fmwlM/dlPWF74ewI=\n",
}
PORTION = 8_000


@dataclass(frozen=True)
class RawLeaves:
    """Entries as they are, whatever they say."""

    entries: Sequence[bytes]

    @property
    def weight(self) -> int:
        return len(self.entries)

    def apply(self, tx: Transaction):
        for entry in self.entries:
            tx.writes.leaves.append(LeafRow(tx.next_index, entry, leaf_hash(entry)))
        return lambda sealed: sealed.size


def append(ledger: Sequencer, entries: Sequence[bytes]) -> None:
    for start in range(0, len(entries), PORTION):
        ledger.submit(RawLeaves(entries[start : start + PORTION])).result(60)


def commitment_entries(start: int, end: int) -> list[bytes]:
    """Leaves of committed events: what nearly every leaf of a real log is."""
    return [b"\x0a\x20" + sha256(b"commitment %d" % index).digest() for index in range(start, end)]


def raw_ledger(path: Path, entries: Sequence[bytes] = (), keys: Signer | LogKeys = GOLDEN) -> Sequencer:
    """An open ledger with exactly these leaves."""
    create_ledger(path, keys, [], Time())
    ledger = open_ledger(path, keys, Time())
    append(ledger, entries)
    return ledger


def long_ledger(path: Path, size: int, keys: Signer | LogKeys = SIGNER) -> Sequencer:
    """An open ledger of Regie with ``size`` leaves: its public events, then commitments."""
    create_ledger(path, keys, first_events(), Time())
    ledger = open_ledger(path, keys, Time())
    append(ledger, commitment_entries(ledger.head.size, size))
    return ledger


def golden_head(size: int) -> str:
    return f"{GOLDEN.name}\n{size}\n{GOLDEN_ROOTS[size]}\n\n{GOLDEN_LINES[size]}"


def golden_root(size: int) -> bytes:
    return base64.b64decode(GOLDEN_ROOTS[size])


def app_of(ledger: Sequencer, pool, clock: Time | None = None, rng: Rng | None = None):
    current = LatestHead(ledger, clock or Time(), rng or Counter(), pool)
    return log_app(ledger.reader, ledger.origin, current, pool)


@asynccontextmanager
async def served(ledger: Sequencer, pool):
    """The log over real HTTP; gives its URL prefix."""
    address = f"127.0.0.1:{free_ports(1)[0]}"
    server = HttpServer("ledger", address, 1.0)
    await server.start(app_of(ledger, pool))
    try:
        yield f"http://{address}{prefix_of(ledger.origin)}"
    finally:
        await server.stop()

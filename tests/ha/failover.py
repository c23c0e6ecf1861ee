"""Callers of two replicas of the ledger while database machines die, and what must hold of every answer they got.

A machine is killed (every process of it at once, SIGKILL), or its Patroni and PostgreSQL are frozen: then nobody hears
of their end, and when they are thawed they believe for a moment that they still lead.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from time import monotonic
from typing import Any

from consent_ledger.clock import system_clock
from consent_ledger.log.tiles import TILE_WIDTH
from consent_ledger.sequencer import create_ledger
from consent_ledger.storage.engines import open_for_reading
from consent_ledger.verify.fsck import fsck
from tests.ha.cluster import DATABASE, READER, WRITER, Cluster, Machine, until
from tests.hammer.swarm import Hammer, Replica, traffic
from tests.support.ledger import SIGNER, first_events
from tests.support.lively import check_fake_signature

HOW = ("killed", "frozen")
_WITHIN = 90.0  # seconds for each step of a round
_WARM = 100  # answers between two rounds, at least


@dataclass(frozen=True, slots=True)
class Round:
    """One lost leader; seconds since it was lost."""

    how: str
    lost: str
    leader: str
    leader_s: float  # another machine leads
    serving_s: float  # a request that was made afterwards is answered
    whole_s: float  # the lost machine is back, and all three replicate


@dataclass
class Books(Hammer):
    """What callers were told, and the leaf hashes that a reader saw beneath it while the cluster was in use."""

    leaves: dict[int, bytes] = field(default_factory=dict)
    rounds: list[Round] = field(default_factory=list)

    def _look(self, seen: list[str]) -> None:
        answered = {index for indices in list(self.answers.values()) for index in indices}
        super()._look(seen)
        self._note(answered - self.leaves.keys())

    def _note(self, indices: set[int]) -> None:
        for index, leaf in self.stored(indices).items():
            self.leaves[index] = leaf

    def stored(self, indices: set[int]) -> dict[int, bytes]:
        """Return the leaf hashes that the log has at these indices, as far as it can be read now."""
        reader = open_for_reading(self.server.uri(self.name, self.reader))
        try:
            with reader.snapshot() as snapshot:
                size = snapshot.head().size
                tiles = {
                    tile: snapshot.tile(0, tile, min(TILE_WIDTH, size - tile * TILE_WIDTH))
                    for tile in {index // TILE_WIDTH for index in indices if index < size}
                }
        except Exception as error:
            if getattr(error, "reason", "") != "LEDGER_UNAVAILABLE":
                raise
            return {}
        finally:
            reader.close()
        places = {index: 32 * (index % TILE_WIDTH) for index in indices if index < size}
        return {index: tiles[index // TILE_WIDTH][at : at + 32] for index, at in places.items()}

    def check(self) -> int:
        """Check as a hammer's run, and every leaf hash that was seen; then every table (`regie log fsck`)."""
        size = super().check()
        assert self.stored(set(self.leaves)) == self.leaves, "a leaf is no longer what it was when it was answered"
        location = self.server.uri(self.name, self.reader)
        fsck(location, SIGNER.verifier.format(), check_signature=check_fake_signature)
        return size

    def report(self) -> dict[str, Any]:
        """Return what `make ha-test --json` prints."""
        serving = [each.serving_s for each in self.rounds]
        return {
            "rounds": [{name: getattr(each, name) for name in Round.__slots__} for each in self.rounds],
            "serving_s": {"median": round(median(serving), 2), "max": max(serving)},
            "batches": len(self.answers),
            "entries": sum(map(len, self.answers.values())),
            "asked_again": self.done["asked again"],
            "without_answer": self.done["without answer"],
            "checkpoints": len(self.checkpoints),
            "consistency_proofs": self.verified,
            "leaf_hashes": len(self.leaves),
        }


async def rehearse(cluster: Cluster, rounds: list[str], callers: int, seed: int, say: Callable[[str], None]) -> Books:
    """Lose the leader in each of these ways, under traffic, and check everything; raises what does not hold."""
    location = cluster.uri(DATABASE, WRITER)
    await asyncio.to_thread(create_ledger, location, SIGNER, first_events(), system_clock)
    replicas = [Replica(location, cluster.folder / f"replica-{number}") for number in range(2)]
    books = Books(cluster, DATABASE, random.Random(seed), replicas, reader=READER)
    async with traffic(books, callers) as work:
        for how in rounds:
            before = len(books.answers)
            await asyncio.to_thread(until, _WITHIN, lambda n=before: len(books.answers) >= n + _WARM, "traffic")
            books.rounds.append(await asyncio.to_thread(_lose_leader, cluster, books, how))
            say(told(books.rounds[-1]))
        books.until = monotonic()
        await asyncio.wait(work)
    await asyncio.to_thread(books.check)
    return books


def told(each: Round) -> str:
    """Return a round as a line to read."""
    return (
        f"{each.lost} {each.how}: {each.leader} leads after {each.leader_s:.1f} s, serving again after "
        f"{each.serving_s:.1f} s, three machines again after {each.whole_s:.1f} s"
    )


def _lose_leader(cluster: Cluster, books: Books, how: str) -> Round:
    lost = until(_WITHIN, cluster.leader, "a leader")
    begun = monotonic()
    _lose(lost, how)
    gone = monotonic()  # what is asked from here on cannot have reached it
    leader = until(_WITHIN, lambda: cluster.leader(but=lost), "another leader")
    led = monotonic()
    until(_WITHIN, lambda: books.newest > gone, "an answer to what was asked afterwards")
    served = monotonic()
    _bring_back(lost, how)
    until(_WITHIN, cluster.whole, "the lost machine among the others")
    return Round(how, lost.name, leader.name, *(round(at - begun, 2) for at in (led, served, monotonic())))


def _lose(machine: Machine, how: str) -> None:
    if how == "killed":
        machine.kill()
    else:
        machine.freeze()


def _bring_back(machine: Machine, how: str) -> None:
    if how == "killed":
        machine.start()
    else:
        machine.thaw()

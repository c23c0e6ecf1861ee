"""Callers and readers at once, on a ledger whose process is killed again and again: every answer is checked.

    python -m tests.ledger_faults.hammer [--seconds 600] [--seed S]

The ledger runs in a process of its own with many callers; this process reads the same file, as an auditor would, and
checks each answer the callers got: its checkpoint against the log, its proofs, and what it says against what is there.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event

from consent_ledger.log.checkpoint import Checkpoint, open_checkpoint
from consent_ledger.log.merkle import leaf_hash, verify_consistency, verify_inclusion
from consent_ledger.log.tiles import consistency_path, inclusion_path
from consent_ledger.storage.reader import LedgerReader, Snapshot
from consent_ledger.v1 import consents_pb2, decisions_pb2
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.verify.leaves import commitment_of, read_entry
from consent_ledger.verify.receipt import verify_event
from tests.ledger_faults.callers import Asked, asked_in
from tests.ledger_faults.child import Child, Order, Told, told
from tests.ledger_faults.plan import prepare
from tests.ledger_faults.recheck import check_checkpoint, recheck
from tests.support.ledger import NOW, SIGNER, content_of, subject


@dataclass
class Checker:
    """Reads a ledger while others write it, and fails at the first answer that does not hold."""

    path: Path
    checked: Counter[str] = field(default_factory=Counter)
    newest: Checkpoint | None = None

    def answers(self, heard: list[Told]) -> None:
        """Check answers against one snapshot."""
        reader = LedgerReader(self.path)
        try:
            with reader.snapshot() as snapshot:
                self._head(snapshot)
                for name, answer in heard:
                    asked = asked_in(name)
                    self.checked[asked.kind if not answer.startswith(b"!") else answer.decode()] += 1
                    if not answer.startswith(b"!"):
                        getattr(self, f"_{asked.kind}")(snapshot, asked, answer)
        finally:
            reader.close()

    def _head(self, snapshot: Snapshot) -> None:
        """I6: each head that is seen goes on from the one before."""
        head = open_checkpoint(snapshot.head().checkpoint, [SIGNER.verifier])
        if self.newest is not None:
            assert head.size >= self.newest.size
            path = consistency_path(self.newest.size, head.size, snapshot.tile)
            verify_consistency(self.newest.size, head.size, self.newest.root, head.root, path)
        self.newest = head

    def _decision(self, snapshot: Snapshot, asked: Asked, answer: bytes) -> None:
        listed = decisions_pb2.DecisionList.FromString(decisions_pb2.DecideResponse.FromString(answer).decision_list)
        signed = check_checkpoint(snapshot, listed.checkpoint)
        assert len(listed.log_indices) == len(asked.people)
        for person, index, outcome in zip(asked.people, listed.log_indices, listed.outcomes, strict=True):
            event, private = self._event(snapshot, signed, index)
            assert event.exchange_decided.outcome == outcome
            assert event.exchange_decided.batch_id == asked.batch_id
            assert private.links[0].subject == subject(person)

    def _choice(self, snapshot: Snapshot, asked: Asked, answer: bytes) -> None:
        response = consents_pb2.RecordResponse.FromString(answer)
        receipt = consents_pb2.RecordReceipt.FromString(response.receipt)
        signed = check_checkpoint(snapshot, receipt.checkpoint)
        (result,) = receipt.results
        if not result.HasField("error"):
            event, private = self._event(snapshot, signed, result.log_index)
            assert event.WhichOneof("body") in ("consent_granted", "consent_withdrawn")
            assert private.links[0].subject == subject(asked.people[0])

    def _release(self, snapshot: Snapshot, asked: Asked, answer: bytes) -> None:
        """Check the proofs that come with a delivery, by themselves and against the log."""
        content = content_of(decisions_pb2.ReleaseResponse.FromString(answer))
        signed = check_checkpoint(snapshot, content.checkpoint)
        for signal in content.signals:
            path = [signal.path[at : at + 32] for at in range(0, len(signal.path), 32)]
            verified = verify_event(signed, signal.log_index, path, signal.salt, signal.event)
            assert verified.event.exchange_released.batch_id == asked.batch_id
            self._event(snapshot, signed, signal.log_index)

    @staticmethod
    def _event(snapshot: Snapshot, signed: Checkpoint, index: int) -> tuple[pb.Event, pb.PrivatePart]:
        """Return an event of the log, after proving that it is in the tree that was signed with the answer."""
        (entry,) = snapshot.entries(index, 1)
        path = inclusion_path(index, signed.size, snapshot.tile)
        verify_inclusion(index, signed.size, leaf_hash(entry), signed.root, path)
        row = snapshot.payloads([index])[index]
        assert read_entry(entry) == commitment_of(row.salt, row.event)
        return pb.Event.FromString(row.event), pb.PrivatePart.FromString(row.private)


def hammer(folder: Path, seconds: float, seed: int) -> Counter[str]:
    """Run it; return how many answers of each kind were checked, and how often the ledger was killed."""
    chance = random.Random(seed)
    order = Order(folder, "calling", seed=seed)
    order.ledger.parent.mkdir(parents=True)
    prepare(order.ledger)
    checker, kills, done = Checker(order.ledger), 0, 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        child = Child(replace(order, now_ms=NOW + 1_000 * kills)).start()
        try:
            child.go()
            alive = time.monotonic() + chance.uniform(0.2, 1.0)
            while time.monotonic() < alive:
                heard = told(order)
                checker.answers(heard[done : done + 50])
                done = min(len(heard), done + 50)
                Event().wait(0.01)
        finally:
            child.kill()  # also when an answer is wrong: its callers would ask on until the machine is full
        assert child.end() == -9, order.said.read_text()
        kills += 1
    checker.answers(told(order)[done:])
    found = recheck(order.ledger)  # also: nothing was decided, released or acknowledged twice
    assert checker.newest is not None
    assert found.head.size == checker.newest.size
    return checker.checked + Counter({"kills": kills, "leaves": found.head.size})


def main() -> None:
    """Run it for as long as asked, and print what was checked."""
    parser = argparse.ArgumentParser(prog="python -m tests.ledger_faults.hammer", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10_000))
    asked = parser.parse_args()
    print(f"seed {asked.seed}", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="regie-hammer-") as folder:
        for name, count in sorted(hammer(Path(folder) / "run", asked.seconds, asked.seed).items()):
            print(f"{count:>9} {name}")


if __name__ == "__main__":
    main()

"""`python -m tests.bench.parties`: what each party's part of the protocol costs per signal, in a batch of 1000.

Each cost is a ratio against the bare group operations of that party on one thread, measured in the same run
(pseudonyms.md "Cost per signal": S 1 V + H, T1 2 V, T2 2 V, L 1 V, R 1 V).
"""

import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import TypeVar

from gateway.crypto import batch, gateway_side, group, pseudonyms_side, recipient_side, rows
from gateway.crypto.identifiers import Bsn
from gateway.crypto.ledger_side import LedgerSide
from tests.support.crypto import GATEWAY, LEDGER, PSEUDONYMS, SENDER, Signals, World, valid_bsns

COUNT = 1000
T = TypeVar("T")


def timed(work: Callable[[], T], repeats: int = 5) -> tuple[T, float]:
    """Return the result, and the shortest of several runs in microseconds per signal."""
    shortest = float("inf")
    for _ in range(repeats):
        begun = perf_counter()
        result = work()
        shortest = min(shortest, perf_counter() - begun)
    return result, shortest / COUNT * 1e6


def bare() -> tuple[float, float]:
    """Return the cost of one hash to the group and of one multiplication, without anything around them."""
    uniform, scalar, product = (
        [bytes(56) + n.to_bytes(8, "big") for n in range(COUNT)],
        bytes([7] * 32),
        group._Buffer(),
    )
    points = group.hash_many(uniform, b"bench")
    _, hashing = timed(lambda: [group._from_hash(product, value) for value in uniform])
    _, multiplying = timed(lambda: [group._scalarmult(product, scalar, point) for point in points])
    return hashing, multiplying


def measure(workers: ThreadPoolExecutor | None = None) -> dict[str, dict[str, float]]:
    """Return microseconds per signal and the ratio, by party; with workers their threads share the group operations."""
    world, numbers = World(), valid_bsns(COUNT)
    ledger = LedgerSide(world.ledger_hpke, world.closing_ledger, world.sign[LEDGER], LEDGER, workers)
    world.ledger = ledger
    batch_id = bytes(16)
    header, sender = world.header(batch_id, COUNT), world.public[SENDER]
    inputs = [batch.SignalInput(Bsn(number).message(), bytes(16), bytes(40)) for number in numbers]
    sealing, cost_s = timed(
        lambda: batch.seal_batch(header, batch_id, inputs, world.sender_keys, rng=world.rng.randbytes, workers=workers)
    )
    sealed = sealing.batch

    def first() -> tuple[gateway_side.Admitted, tuple[bytes, bytes]]:
        admitted = gateway_side.admit(sealed, sender, COUNT, workers)
        return admitted, gateway_side.first_evaluation(admitted.elements, *world.factors(world.master1), workers)

    (admitted, evaluated_once), cost_t1 = timed(first)

    def second() -> tuple[bytes, bytes]:
        pseudonyms_side.verify_sender(sender, header, sealed.sealed_pseudonyms, sealed.signature_pseudonyms)
        factors = world.factors(world.master2)
        return pseudonyms_side.second_evaluation(
            world.t2, header, sealed.sealed_pseudonyms, evaluated_once, factors, count=COUNT, workers=workers
        )

    evaluated, cost_t2 = timed(second)
    opened, cost_l = timed(lambda: world.open(sealed, admitted.root, evaluated[0]))
    signals = Signals(sealing, admitted, evaluated_once, evaluated, opened)
    delivery = world.delivery(signals, world.release(signals, list(opened.positions), bytes(32)))
    expected = world.expected(signals, bytes(32))
    received, cost_r = timed(lambda: recipient_side.verify_delivery(delivery, expected, world.recipient_keys, workers))
    assert received.signals[0].index == world.recipient_row(numbers[sealing.order[0]])
    hashing, multiplying = bare()
    table = {"S": (cost_s, hashing + multiplying), "T1": (cost_t1, 2 * multiplying), "T2": (cost_t2, 2 * multiplying)}
    table |= {"L": (cost_l, multiplying), "R": (cost_r, multiplying)} | measure_rows(
        world, inputs, multiplying, workers
    )
    return {name: {"us": round(cost, 1), "ratio": round(cost / limit, 2)} for name, (cost, limit) in table.items()}


def measure_rows(
    world: World, inputs: list[batch.SignalInput], multiplying: float, workers: ThreadPoolExecutor | None
) -> dict[str, tuple[float, float]]:
    """Return cost and multiplications of a row at T2 (1 V, and 2 V to check T1's proof, and 1 V for its own)."""
    factor_1, factor_2 = world.factors(world.master1)[1], world.factors(world.master2)[1]
    key_1 = rows.domain_key(world.sign[GATEWAY], world.domain_recipient, factor_1)
    key_2 = rows.domain_key(world.sign[PSEUDONYMS], world.domain_recipient, factor_2)
    rng = world.rng.randbytes
    blinded = rows.blind([signal.identifier for signal in inputs], rng, workers)
    evaluation = rows.evaluate(factor_1, key_1, blinded.elements, rng, workers)

    def second() -> rows.Evaluation:
        rows.verify_evaluation(blinded.elements, evaluation, workers)
        return rows.evaluate(factor_2, key_2, evaluation.elements, rng, workers)

    _, cost = timed(second, 2)
    return {"T2 rows": (cost, 4 * multiplying)}


def main() -> int:
    """Print both tables as one JSON object."""
    with ThreadPoolExecutor(2) as workers:
        print(json.dumps({"one_thread": measure(), "two_threads": measure(workers)}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())

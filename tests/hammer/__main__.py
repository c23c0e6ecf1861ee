"""`make hammer`: two replicas of the ledger over one PostgreSQL, many callers, random kills, for ten minutes.

make hammer ARGS="--seconds 60 --callers 64 --seed 7"
"""

from __future__ import annotations

import argparse
import asyncio
import secrets

from tests.hammer.swarm import hammer
from tests.support.postgres import running, wheel_programs


def main() -> None:
    """Run it and say what was done; a check that fails ends with its text."""
    parser = argparse.ArgumentParser(prog="make hammer", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--seed", type=int, default=None, help="repeats the choice of victims, not their moments")
    chosen = parser.parse_args()
    seed = secrets.randbelow(1 << 32) if chosen.seed is None else chosen.seed
    print(f"two replicas, {chosen.callers} callers, {chosen.seconds:.0f} s, seed {seed}", flush=True)
    with running(wheel_programs()) as server:
        run = asyncio.run(hammer(server, chosen.seconds, chosen.callers, seed, crashes=True))
        starts = ", ".join(str(replica.starts) for replica in run.replicas)
        print(f"done to them: {dict(run.done)}; starts of the replicas: {starts}")
        print(f"{len(run.answers)} batches answered, the slowest after {run.longest_ms} ms of asking")
        print(f"{len(run.checkpoints)} checkpoints seen, {run.verified} consistency proofs verified meanwhile")
        print(f"one contiguous log of {run.check()} entries: no gap, no fork, nothing answered that is not in it")


if __name__ == "__main__":
    main()

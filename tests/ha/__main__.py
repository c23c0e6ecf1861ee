"""`make ha-test`: the ledger over three database machines whose leader is lost again and again, under traffic.

make ha-test ARGS="--rounds 2 --callers 16 --seed 7 --json"
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import sys

from tests.ha.cluster import NEEDED, running
from tests.ha.failover import HOW, rehearse
from tests.support import tools


def main() -> None:
    """Run it and say what was done; a check that fails ends with its text."""
    parser = argparse.ArgumentParser(prog="make ha-test", description=__doc__)
    parser.add_argument("--rounds", type=int, default=6, help="lost leaders, killed and frozen by turns")
    parser.add_argument("--callers", type=int, default=32)
    parser.add_argument("--seed", type=int, default=None, help="repeats the requests, not their moments")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    missing = [name for name in NEEDED if tools.find(name) is None]
    if missing:
        packages = " ".join(tools.TOOLS[name][1] for name in missing)
        sys.exit(f"make ha-test needs {', '.join(missing)}: apt-get install --no-install-recommends {packages}")
    seed = secrets.randbelow(1 << 32) if chosen.seed is None else chosen.seed
    rounds = [HOW[number % len(HOW)] for number in range(chosen.rounds)]

    def say(line: str) -> None:
        print(line, file=sys.stderr if chosen.json else sys.stdout, flush=True)

    say(f"three machines, two replicas, {chosen.callers} callers, leaders lost: {chosen.rounds}, seed {seed}")
    with running() as cluster:
        books = asyncio.run(rehearse(cluster, rounds, chosen.callers, seed, say))
    report = books.report()
    say(f"serving again: median {report['serving_s']['median']:.1f} s, at most {report['serving_s']['max']:.1f} s")
    say(
        f"{report['batches']} batches answered, {report['asked_again']} of them asked again, {report['without_answer']} "
        f"times no answer; {report['checkpoints']} checkpoints, {report['consistency_proofs']} consistency proofs"
    )
    say(f"one log of {report['entries']} answered entries: none lost, none twice, no fork; every table checks (fsck)")
    if chosen.json:
        print(json.dumps(report))


if __name__ == "__main__":
    main()

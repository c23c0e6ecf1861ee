"""The leader of three database machines dies under traffic: nothing answered is lost, and the log has one continuation.

Bounded: one machine, killed. `make ha-test` loses six, and also freezes them.
"""

import pytest

from tests.ha.cluster import NEEDED, running
from tests.ha.failover import rehearse, told

CALLERS, SEED = 16, 20260102


@pytest.mark.needs(*NEEDED)
@pytest.mark.timeout(240)
async def test_a_machine_that_dies_takes_nothing_with_it():
    with running(in_memory=True) as cluster:
        books = await rehearse(cluster, ["killed"], CALLERS, SEED, print)
        (lost,) = books.rounds
        assert lost.lost != lost.leader
        assert lost.leader_s <= lost.serving_s < lost.whole_s
        assert books.done["without answer"] > 0  # they asked while nobody led
        assert len(books.answers) > CALLERS
        assert books.verified > 0
        assert lost.leader in told(lost)
        assert books.report()["serving_s"]["max"] == lost.serving_s

        # What it checks can fail: a leaf that is another than it was.
        index = max(books.leaves)
        books.leaves[index] = bytes(32)
        with pytest.raises(AssertionError, match="a leaf"):
            books.check()

"""Two replicas of the ledger over PostgreSQL, 64 callers, random kills: one log. For minutes: `make hammer`."""

import pytest

from consent_ledger.log.checkpoint import Checkpoint, sign_checkpoint
from tests.hammer.swarm import hammer
from tests.support.ledger import SIGNER

SECONDS, CALLERS, SEED = 12, 64, 20260101


async def test_one_log_whoever_is_killed(postgres18):
    run = await hammer(postgres18, SECONDS, CALLERS, SEED)
    assert run.done["killed"] > 0
    assert run.done["without answer"] > 0
    assert all(replica.starts > 0 for replica in run.replicas)
    assert sum(replica.starts for replica in run.replicas) > len(run.replicas)
    assert run.verified > 0
    assert len(run.answers) > CALLERS

    # What it checks can fail: an answer that is not in the log, one that was given twice, and a fork.
    batch, indices = run.answers.popitem()
    with pytest.raises(AssertionError):
        run.check()
    run.answers[batch] = [index + 1 for index in indices]
    with pytest.raises(AssertionError):
        run.check()
    run.answers[batch] = indices
    size = max(run.checkpoints)
    genuine = run.checkpoints[size]
    run.checkpoints[size] = sign_checkpoint(Checkpoint(SIGNER.name, size, bytes(32)), [SIGNER])
    with pytest.raises(AssertionError, match="forked"):
        run.check()
    run.checkpoints[size] = genuine
    run.check()

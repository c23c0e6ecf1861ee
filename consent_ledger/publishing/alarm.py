"""What an operator is told when a witness knows another log than the one at hand: why, and what to do."""

from __future__ import annotations

from consent_ledger.log.encoding import encode_base64
from consent_ledger.sequencer import Sequencer
from consent_ledger.witness.client import Ahead, Inconsistent, WitnessClient, WitnessError
from consent_ledger.witness.message import origin_hash

_OLD_COPY = (
    "This is an old copy of the ledger: a backup that was restored, or a database that lost commits. It signs nothing, "
    "because it would sign other entries under numbers that are taken. Put back the newest copy, which has at least "
    "size {size}; if there is none, this log has ended: keep it, and make a new ledger with `regie init`."
)
_TWO_LOGS = (
    "Two logs exist under this name: two copies of the ledger were written to, or its database was changed. It signs "
    "nothing more. Stop every copy, keep all of them as evidence, and compare them (`regie log verify`) with what the "
    "witness shows at {where}."
)


async def explain(client: WitnessClient, problem: Inconsistent, sequencer: Sequencer) -> str:
    """Return why signing stopped and what to do, with the signed evidence that the witness shows."""
    shown = await _shown(client, sequencer)
    if isinstance(problem, Ahead):
        return f"{problem}{shown}. {_OLD_COPY.format(size=problem.size)}"
    where = f"{client.witness.url.rstrip('/')}/{origin_hash(sequencer.origin)}/checkpoint"
    return f"{problem}{shown}. {_TWO_LOGS.format(where=where)}"


async def _shown(client: WitnessClient, sequencer: Sequencer) -> str:
    try:
        latest = await client.latest(sequencer.origin, sequencer.keys.verifiers)
    except WitnessError:
        return ""
    if latest is None:
        return ""
    return f", and shows it with this log's own signature (size {latest.size}, root {encode_base64(latest.root)})"

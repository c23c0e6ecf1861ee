"""What the ledger's role shows of its log and its witnesses."""

from __future__ import annotations

import math
from functools import partial

from consent_ledger.clock import Clock
from consent_ledger.publishing.publisher import Publisher
from consent_ledger.sequencer import Sequencer
from gateway.telemetry.metrics import Metrics


def watch_ledger(metrics: Metrics, sequencer: Sequencer, publisher: Publisher | None, clock: Clock) -> None:
    """Register the gauges of an open ledger. They read what it holds in memory, and cost it nothing."""
    metrics.knows(lambda: sequencer.registry)

    def age() -> float:
        signed_ms = publisher.state.published_ms if publisher else sequencer.head.time_ms
        return (clock() - signed_ms) / 1_000 if signed_ms else math.inf

    def lag(witness: str) -> float:
        assert publisher is not None, "only a publisher has witnesses"
        return max(0, sequencer.head.size - publisher.state.witnesses[witness].size)

    metrics.gauge("regie_log_size", "Entries in the log.", lambda: sequencer.head.size)
    metrics.gauge("regie_checkpoint_age_seconds", "Age of the newest published checkpoint.", age)
    if publisher:
        lags = {name: partial(lag, name) for name in publisher.state.witnesses}
        metrics.gauges("regie_witness_lag_entries", "Entries a witness has not cosigned yet.", "witness", lags)

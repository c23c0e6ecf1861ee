"""Metrics for Prometheus: one registry per role, counted by purpose and organisation, never by person.

Labels are bounded: purposes and organisations are those of the verified directory, everything else is "other".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import prometheus_client as prometheus
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from consent_ledger.registry import Registry
from consent_ledger.v1 import events_pb2
from consent_ledger.v1.batch_pb2 import BatchHeader

OTHER = "other"
MOST_PAIRS = 4_096
"""Pairs of sender and recipient that have series of their own; of further ones both are "other"."""

_STAGE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_CALL_BUCKETS = (*_STAGE_BUCKETS, 30.0, 60.0)  # a pull waits for up to a minute

prometheus.disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, which says when this process began to count


class Metrics:
    """The metrics of one role. Thread-safe."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._directory: Callable[[], Registry] | None = None
        self._pairs: set[tuple[str, str]] = set()
        self._stages = self.histogram("regie_stage_seconds", "How long stages take.", ("stage",), _STAGE_BUCKETS)
        self._calls = self.histogram(
            "regie_rpc_seconds", "How long served calls take.", ("method", "code"), _CALL_BUCKETS
        )

    # -- what others register ---------------------------------------------------------------------------------------

    def counter(self, name: str, help_: str, labels: Sequence[str] = ()) -> Counter:
        """Register a counter; its name ends in ``_total``. No label may be about a person."""
        return Counter(name, help_, labels, registry=self.registry)

    def histogram(self, name: str, help_: str, labels: Sequence[str], buckets: Sequence[float]) -> Histogram:
        """Register a histogram of seconds."""
        return Histogram(name, help_, labels, registry=self.registry, buckets=buckets)

    def gauge(self, name: str, help_: str, value: Callable[[], float]) -> None:
        """Register a gauge that is read at each scrape: ``value`` must be quick, thread-safe and never wait."""
        Gauge(name, help_, registry=self.registry).set_function(value)

    def level(self, name: str, help_: str) -> Gauge:
        """Register a gauge that somebody sets."""
        return Gauge(name, help_, registry=self.registry)

    def gauges(self, name: str, help_: str, label: str, values: Mapping[str, Callable[[], float]]) -> None:
        """Register one gauge for each value of a label."""
        gauge = Gauge(name, help_, (label,), registry=self.registry)
        for value, read in values.items():
            gauge.labels(value).set_function(read)

    def counted(self, name: str, help_: str, label: str, values: Mapping[str, Callable[[], float]]) -> None:
        """Register a counter that somebody else keeps, read at each scrape; as ``gauges`` otherwise."""
        self.registry.register(_Kept(name, help_, label, dict(values)))

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return prometheus.generate_latest(self.registry)

    # -- labels -----------------------------------------------------------------------------------------------------

    def knows(self, directory: Callable[[], Registry]) -> None:
        """Take purposes and organisations of this directory for known."""
        self._directory = directory

    def label(self, kind: Literal["purpose", "party"], value: str) -> str:
        """Return the value of a label: itself when the directory knows it, else "other"."""
        if self._directory is None:
            return OTHER
        registry = self._directory()
        known = registry.find_purpose(value) if kind == "purpose" else registry.find_participant(value)
        return value if known is not None else OTHER

    def pair(self, sender: str, recipient: str) -> tuple[str, str]:
        """Return the labels of two organisations."""
        pair = self.label("party", sender), self.label("party", recipient)
        if pair not in self._pairs:
            if len(self._pairs) >= MOST_PAIRS:
                return OTHER, OTHER
            self._pairs.add(pair)
        return pair

    # -- Observer ---------------------------------------------------------------------------------------------------

    def staged(self, name: str, seconds: float) -> None:
        """Measure a stage that ended; stages are named in the code."""
        self._stages.labels(name).observe(seconds)

    def called(self, method: str, code: str, seconds: float) -> None:
        """Measure a served call that ended; a method that nobody serves is not called."""
        self._calls.labels(method, code).observe(seconds)


class _Kept(Collector):
    """A counter that somebody else keeps."""

    def __init__(self, name: str, help_: str, label: str, values: Mapping[str, Callable[[], float]]) -> None:
        self._name, self._help, self._label, self._values = name, help_, label, values

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Read it."""
        family = CounterMetricFamily(self._name, self._help, labels=(self._label,))
        for value, read in self._values.items():
            family.add_metric((value,), read())
        yield family


class Exchanges:
    """What the gateway counts: answers by purpose, pair and coarse outcome."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._total = metrics.counter(
            "regie_exchanges_total", "Signals answered.", ("purpose", "sender", "recipient", "outcome")
        )

    def count(self, header: BatchHeader, outcomes: Mapping[events_pb2.Outcome.ValueType, int]) -> None:
        """Count the answers of one batch."""
        labels = self._metrics.label("purpose", header.purpose), *self._metrics.pair(header.sender, header.recipient)
        for outcome, count in outcomes.items():
            self._total.labels(*labels, _name(events_pb2.Outcome, outcome)).inc(count)


class Decisions:
    """What the ledger counts: decisions by purpose and exact reason."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._total = metrics.counter("regie_decisions_total", "Decisions taken.", ("purpose", "reason"))

    def count(self, purpose: str, reasons: Mapping[int, int]) -> None:
        """Count the decisions of one batch."""
        label = self._metrics.label("purpose", purpose)
        for reason, count in reasons.items():
            self._total.labels(label, _name(events_pb2.Reason, reason)).inc(count)


def _name(enum: Any, number: int) -> str:
    """Return NAME of PREFIX_NAME; a number that this program does not know is "other"."""
    try:
        name: str = enum.Name(number)
    except ValueError:
        return OTHER
    return name.partition("_")[2]

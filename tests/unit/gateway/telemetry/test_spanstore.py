"""The span store: what is kept comes back, what does not fit is counted, and nobody waits for it."""

import threading
from time import monotonic

import pysqlite3.dbapi2 as sqlite
import pytest
from opentelemetry.sdk.trace.export import SpanExportResult

from consent_ledger.clock import DAY_MS, system_clock
from gateway.home import HomeError
from gateway.telemetry import spanstore, traces
from gateway.telemetry.otlp import Counted, collector_of
from gateway.telemetry.spanreads import _DURATIONS, durations, percentile, read_trace
from gateway.telemetry.spanstore import SpanStore

SENDER, RECIPIENT = "00000099000000005001", "00000099000000007001"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "spans.db"


@pytest.fixture
def store(path):
    made = SpanStore(path, 14, system_clock)
    yield made
    made.shutdown()


def tracing_into(store, service="regie-gateway"):
    provider = traces.make_provider(service=service, oin=SENDER)
    provider.add_span_processor(store)
    return traces.Tracing(provider)


def one_batch(tracing):
    journey = tracing.begin("submission")
    with journey.within():
        traces.describe(purpose="vroegsignalering-energie", sender=SENDER, recipient=RECIPIENT, count=3)
        with traces.stage("seal"):
            pass
    journey.end()
    return journey.traceparent.split("-")[1]


def test_spans_come_back_with_parents_before_children(store, path):
    trace_id = one_batch(tracing_into(store))
    assert store.force_flush(5_000)
    root, stage = read_trace([path], trace_id)
    assert (root.name, root.parent_id, root.service, root.oin) == ("submission", None, "regie-gateway", SENDER)
    assert root.attributes == {
        "regie.purpose": "vroegsignalering-energie",
        "regie.sender": SENDER,
        "regie.recipient": RECIPIENT,
        "regie.count": 3,
    }
    assert (stage.name, stage.parent_id, stage.trace_id) == ("seal", root.span_id, trace_id)
    assert root.start_ns <= stage.start_ns <= stage.end_ns <= root.end_ns
    assert path.stat().st_mode & 0o077 == 0


def test_a_trace_is_read_over_several_stores_and_each_span_once(store, path, tmp_path):
    other = SpanStore(tmp_path / "other.db", 14, system_clock)
    trace_id = one_batch(tracing_into(store))
    with tracing_into(other, "regie-ledger").call("/a/B", [("traceparent", f"00-{trace_id}-{'1' * 16}-01")]):
        pass
    assert store.force_flush(5_000)
    other.shutdown()
    found = read_trace([path, tmp_path / "other.db", path, tmp_path / "absent.db"], trace_id)
    assert [span.service for span in found] == ["regie-gateway", "regie-gateway", "regie-ledger"]
    assert not (tmp_path / "absent.db").exists()
    for unknown in ("0" * 32, trace_id.upper(), "x", ""):
        assert read_trace([path], unknown) == []


def test_a_file_that_is_no_store_counts_as_absent(tmp_path):
    (tmp_path / "spans.db").write_bytes(b"x" * 5_000)
    assert read_trace([tmp_path / "spans.db"], "1" * 32) == []
    assert durations([tmp_path / "spans.db"], 0, 1 << 42) == []


def test_a_full_queue_drops_and_counts_and_nobody_waits(path, monkeypatch):
    gate, reached, keep = threading.Event(), threading.Event(), SpanStore._keep

    def stuck(self, spans):
        reached.set()
        assert gate.wait(10)
        keep(self, spans)

    monkeypatch.setattr(SpanStore, "_keep", stuck)
    monkeypatch.setattr(spanstore, "_GATHER_SECONDS", 0)
    store = SpanStore(path, 14, system_clock, most_waiting=10)
    tracing = tracing_into(store)
    with tracing.call("/a/First", ()):
        pass
    assert reached.wait(10)
    begun = monotonic()
    for _ in range(50):
        with tracing.call("/a/B", ()):
            pass
    assert monotonic() - begun < 1
    assert store.dropped == 40
    assert not store.force_flush(50)
    gate.set()
    store.shutdown()
    with sqlite.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM span").fetchone() == (11,)


def test_a_store_that_cannot_be_written_costs_spans_and_nothing_else(tmp_path):
    store = SpanStore(tmp_path / "no folder" / "spans.db", 14, system_clock)
    one_batch(tracing_into(store))
    assert store.force_flush(5_000)
    assert store.dropped == 2
    (tmp_path / "no folder").mkdir()  # mended while it runs
    trace_id = one_batch(tracing_into(store))
    store.shutdown()
    store.shutdown()
    assert len(read_trace([tmp_path / "no folder" / "spans.db"], trace_id)) == 2


def test_spans_are_kept_for_as_many_days_as_said(path):
    first = SpanStore(path, 14, system_clock)
    trace_id = one_batch(tracing_into(first))
    first.shutdown()
    for days, left in ((13, 2), (15, 0)):
        later = SpanStore(path, 14, lambda days=days: system_clock() + days * DAY_MS)
        one_batch(tracing_into(later))  # pruned with the first that is written
        later.shutdown()
        assert len(read_trace([path], trace_id)) == left


def test_spans_that_are_not_sampled_are_not_kept(store, path):
    with tracing_into(store).call("/a/B", [("traceparent", f"00-{'1' * 32}-{'1' * 16}-00")]):
        pass
    assert store.force_flush(5_000)
    assert not path.exists()


def test_percentiles_are_of_the_nearest_rank():
    assert [percentile(range(1, 101), share) for share in (0.5, 0.95, 0.99)] == [50, 95, 99]
    assert [percentile([7], share) for share in (0.5, 0.99)] == [7, 7]


def test_durations_are_by_stage_and_pair_within_a_time(store, path):
    tracing = tracing_into(store)
    ids = {one_batch(tracing) for _ in range(5)}
    assert store.force_flush(5_000)
    now = system_clock()
    seal, submission = durations([path], now - 60_000, now + 60_000)
    assert [(one.name, one.sender, one.recipient, one.count) for one in (seal, submission)] == [
        ("seal", SENDER, RECIPIENT, 5),
        ("submission", SENDER, RECIPIENT, 5),
    ]
    assert len(seal.slowest) == 3
    assert set(seal.slowest) < ids
    assert 0 < seal.p50_ms <= seal.p95_ms <= seal.p99_ms
    assert durations([path], now - 120_000, now - 60_000) == []
    assert sum(one.count for one in durations([path], 0, 1 << 42, most=4)) == 4


def test_durations_use_their_index(store, path):
    one_batch(tracing_into(store))
    assert store.force_flush(5_000)
    with sqlite.connect(path) as connection:
        plan = " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {_DURATIONS}", (1, 2, 3)))
    assert "USING COVERING INDEX span_durations" in plan
    assert "TEMP B-TREE" not in plan


class Failing:
    def export(self, _spans):
        return SpanExportResult.FAILURE


def test_what_a_collector_did_not_take_is_counted():
    counted = Counted(Failing())
    counted.export([1, 2, 3])
    assert counted.dropped == 3


@pytest.mark.parametrize(
    ("said", "posted_to"),
    [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
        ("https://tempo.example/", "https://tempo.example/v1/traces"),
        ("https://tempo.example/otlp/v1/traces", "https://tempo.example/otlp/v1/traces"),
    ],
)
def test_a_collector_is_an_http_address(said, posted_to):
    assert collector_of(said) == posted_to


@pytest.mark.parametrize("said", ["", "127.0.0.1:4318", "grpc://x:4317", "http://"])
def test_another_address_of_a_collector_is_refused(said):
    with pytest.raises(HomeError):
        collector_of(said)

"""Metrics: bounded labels, nothing personal, and pages for whoever watches."""

from collections import Counter

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from consent_ledger.v1 import batch_pb2, events_pb2
from gateway.telemetry import metrics as module
from gateway.telemetry.metrics import Decisions, Exchanges, Metrics
from gateway.telemetry.pages import telemetry_app

KNOWN = {"00000099000000005001", "00000099000000007001", "vroegsignalering-energie"}
PLANTED = "999990019"


class Directory:
    def find_purpose(self, name):
        return name if name in KNOWN else None

    find_participant = find_purpose


@pytest.fixture
def metrics():
    made = Metrics()
    made.knows(Directory)
    return made


def samples(metrics, name):
    families = text_string_to_metric_families(metrics.text().decode())
    return {tuple(sorted(s.labels.items())): s.value for f in families for s in f.samples if s.name == name}


def header(purpose="vroegsignalering-energie", sender="00000099000000005001", recipient="00000099000000007001"):
    return batch_pb2.BatchHeader(purpose=purpose, sender=sender, recipient=recipient)


def test_exchanges_are_counted_by_purpose_pair_and_outcome(metrics):
    exchanges = Exchanges(metrics)
    for _ in range(2):
        exchanges.count(header(), Counter({events_pb2.OUTCOME_ACCEPTED: 3, events_pb2.OUTCOME_LATER_OPNIEUW: 1}))
    pair = [("purpose", "vroegsignalering-energie"), ("recipient", "00000099000000007001")]
    pair += [("sender", "00000099000000005001")]
    assert samples(metrics, "regie_exchanges_total") == {
        (("outcome", "ACCEPTED"), *pair): 6,
        (("outcome", "LATER_OPNIEUW"), *pair): 2,
    }


def test_what_the_directory_does_not_know_is_other(metrics):
    Exchanges(metrics).count(header(PLANTED, PLANTED, PLANTED), {events_pb2.OUTCOME_ACCEPTED: 1, 4711: 1})
    Decisions(metrics).count(PLANTED, {events_pb2.REASON_NO_CONSENT: 2, 4711: 1})
    assert PLANTED not in metrics.text().decode()
    other = [("purpose", "other"), ("recipient", "other"), ("sender", "other")]
    assert set(samples(metrics, "regie_exchanges_total")) == {
        (("outcome", "ACCEPTED"), *other),
        (("outcome", "other"), *other),
    }
    assert samples(metrics, "regie_decisions_total") == {
        (("purpose", "other"), ("reason", "NO_CONSENT")): 2,
        (("purpose", "other"), ("reason", "other")): 1,
    }


def test_without_a_directory_everything_is_other():
    assert Metrics().label("purpose", "vroegsignalering-energie") == "other"


def test_pairs_are_bounded_too(metrics, monkeypatch):
    monkeypatch.setattr(module, "MOST_PAIRS", 1)
    first = metrics.pair("00000099000000005001", "00000099000000007001")
    assert metrics.pair("00000099000000007001", "00000099000000005001") == ("other", "other")
    assert metrics.pair(*first) == first


def test_no_series_says_when_it_was_made(metrics):
    metrics.staged("seal", 0.1)
    metrics.called("/a/B", "OK", 0.1)
    assert b"_created" not in metrics.text()
    assert samples(metrics, "regie_stage_seconds_count") == {(("stage", "seal"),): 1}
    assert samples(metrics, "regie_rpc_seconds_count") == {(("code", "OK"), ("method", "/a/B")): 1}


def test_what_somebody_else_keeps_is_read_at_each_scrape(metrics):
    kept = {"size": 1.0}
    metrics.gauge("regie_log_size", "Entries.", lambda: kept["size"])
    metrics.counted("regie_spans_dropped_total", "Lost.", "to", {"store": lambda: kept["size"]})
    kept["size"] = 7
    assert samples(metrics, "regie_log_size") == {(): 7}
    assert samples(metrics, "regie_spans_dropped_total") == {(("to", "store"),): 7}
    assert b"# TYPE regie_spans_dropped_total counter" in metrics.text()


async def test_pages_show_metrics_and_health_and_nothing_else(metrics):
    state = ["starting"]
    app = telemetry_app(metrics, lambda: state[0])
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://x") as http:
        assert (await http.get("/healthz")).status_code == 503
        state[0] = "ok"
        answer = await http.get("/healthz")
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
        answer = await http.get("/metrics")
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert "# TYPE regie_stage_seconds histogram" in answer.text
        assert (await http.get("/")).status_code == 404
        assert (await http.post("/metrics")).status_code == 405

import io
import json
import logging

import grpc
import pytest
import structlog
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gateway.telemetry import logs, traces

PLANTED = "999990019"


@pytest.fixture
def lines():
    stream = io.StringIO()
    before, handlers = structlog.get_config(), logging.getLogger().handlers
    logs.configure(stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    structlog.configure(**before)
    logging.getLogger().handlers = handlers


def test_only_known_keys_reach_the_log(lines):
    logs.get_logger().info("refused", reason="NOT_FRESH", bsn=PLANTED, payload=b"x", exc_info=True)
    (line,) = lines()
    assert line.keys() == {"event", "level", "timestamp", "reason"}
    assert line["reason"] == "NOT_FRESH"


def test_long_and_binary_values_are_not_repeated(lines):
    logs.get_logger().info("x", sender=PLANTED.encode(), purpose="p" * 5000)
    (line,) = lines()
    assert line["sender"] == "9 bytes"
    assert len(line["purpose"]) == logs.LONGEST_VALUE


def test_other_libraries_lose_their_text(lines):
    try:
        int(PLANTED + "x")
    except ValueError:
        logging.getLogger("grpc._cython").exception("failed for %s", PLANTED)
    (line,) = lines()
    assert line["logger"] == "grpc._cython"
    assert line["exception_type"] == "ValueError"
    assert PLANTED not in json.dumps(line)


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


def test_span_keeps_only_allowed_attributes(exporter):
    tracing = traces.Tracing(traces.make_provider(exporter))
    with tracing.call("/a/B", ()) as span:
        traces.describe(purpose="vroegsignalering-energie", sender="1", recipient="2", count=3)
        traces.annotate(span, {"regie.bsn": PLANTED, "exception.message": PLANTED})
        traces.status(span, grpc.StatusCode.NOT_FOUND)
    (done,) = exporter.get_finished_spans()
    assert set(done.attributes) <= traces.ALLOWED_ATTRIBUTES
    assert done.attributes["regie.count"] == 3
    assert done.attributes["rpc.grpc.status_code"] == 5
    assert PLANTED not in done.to_json()


def test_an_exception_leaves_no_text_in_its_span(exporter):
    tracing = traces.Tracing(traces.make_provider(exporter))
    with pytest.raises(ValueError), tracing.call("/a/B", ()):
        raise ValueError(PLANTED)
    (done,) = exporter.get_finished_spans()
    assert not done.events
    assert PLANTED not in done.to_json()


def test_the_callers_trace_goes_on(exporter):
    tracing = traces.Tracing(traces.make_provider(exporter))
    caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with tracing.call("/a/B", [("traceparent", caller), ("other-bin", b"\x00")]) as span:
        (onward,) = [value for key, value in traces.outgoing() if key == "traceparent"]
        assert onward.split("-")[1] == "0af7651916cd43dd8448eb211c80319c"
        assert onward.split("-")[2] == f"{span.get_span_context().span_id:016x}"
    (done,) = exporter.get_finished_spans()
    assert done.parent.span_id == 0xB7AD6B7169203331
    assert not trace.get_current_span().get_span_context().is_valid


def test_two_calls_without_a_caller_have_their_own_traces(exporter):
    tracing = traces.Tracing(traces.make_provider(exporter))
    for _ in range(2):
        with tracing.call("/a/B", [("traceparent", "nonsense")]):
            pass
    one, two = exporter.get_finished_spans()
    assert one.context.trace_id != two.context.trace_id

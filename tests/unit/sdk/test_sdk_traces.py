"""The sender's side of traces: one for each batch, the same when it is sent again, and the caller's when there is one."""

import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from gateway.sdk import dispatch
from gateway.telemetry import traces
from gateway.telemetry.spanreads import read_trace
from gateway.telemetry.spanstore import span_stores
from tests.support.sdk import FakeGateway, lost
from tests.unit.sdk.test_sdk_sender import Kit, row

CALLER = SpanContext(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, True, TraceFlags(1))


class Watched(FakeGateway):
    """Notes in which trace each submission comes."""

    async def submit(self, request):
        self.seen = [*getattr(self, "seen", []), traces.traceparent().split("-")[1]]
        return await super().submit(request)


@pytest.fixture
def kit(home):
    made = Kit(home)
    made.gateway = Watched(home)
    return made


async def test_each_batch_has_a_trace_of_its_own(kit, monkeypatch):
    monkeypatch.setattr(dispatch, "BATCH_SIZE", 2)
    await kit.send([row(number) for number in range(6)])
    assert len(set(kit.gateway.seen)) == len(kit.gateway.seen) == 3
    for trace_id in kit.gateway.seen:
        spans = read_trace(span_stores(kit.home), trace_id)
        assert [span.name for span in spans] == ["submission", "seal", "submit", "verify"]
        assert spans[0].attributes["regie.count"] == 2


async def test_a_batch_that_is_sent_again_stays_in_its_trace(kit):
    kit.gateway.troubles = [lost]
    first = await kit.send([row(0)], patience=0)
    assert first.counts["probeer_later"] == 1
    await kit.send([row(0)])
    before, after = kit.gateway.seen
    assert before == after
    roots = [span for span in read_trace(span_stores(kit.home), before) if span.name == "submission"]
    assert [span.parent_id for span in roots] == [None, roots[0].span_id]


async def test_a_caller_that_has_a_trace_finds_its_batches_there(kit, monkeypatch):
    monkeypatch.setattr(dispatch, "BATCH_SIZE", 1)
    with trace.use_span(NonRecordingSpan(CALLER)):
        await kit.send([row(0), row(1)])
    assert kit.gateway.seen == [f"{CALLER.trace_id:032x}"] * 2
    spans = read_trace(span_stores(kit.home), kit.gateway.seen[0])
    assert {span.parent_id for span in spans if span.name == "submission"} == {f"{CALLER.span_id:016x}"}


async def test_nothing_of_a_trace_is_left_behind_with_the_caller(kit):
    await kit.send([row(0)])
    assert not trace.get_current_span().get_span_context().is_valid

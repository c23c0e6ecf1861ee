"""Whose trace a call belongs to, over a real connection."""

import uuid

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from consent_ledger.service.tracing import trace_context
from gateway.telemetry import traces
from gateway.telemetry.propagation import caller_of, sound
from gateway.v1 import exchange_pb2 as pb
from tests.support.ledger_services import Context
from tests.unit.gateway.server.test_gateway_edge import served

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GOOD = f"00-{TRACE}-{PARENT}-01"
TRANSACTION = "6fa459ea-ee8a-3ca4-894e-db77e160355e"
BAD = (
    "",
    "nonsense",
    GOOD.upper(),
    GOOD + "-more",
    GOOD.replace("00-", "ff-", 1),
    f"00-{'0' * 32}-{PARENT}-01",
    f"00-{TRACE}-{'0' * 16}-01",
    GOOD[:-1],
)


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


async def call(exporter, *metadata):
    """Make one call; return its spans, and what its handler would send on."""
    onward = []

    async def act(_request, _context):
        with traces.stage("admit"):
            onward.extend(traces.outgoing())
        return pb.PullResponse()

    async with served(act, exporter=exporter) as stub:
        await stub.Pull(pb.PullRequest(), metadata=metadata)
    return {span.name.rpartition("/")[2]: span for span in exporter.get_finished_spans()}, dict(onward)


async def test_a_transaction_gives_the_trace_its_id_and_the_span_says_so(exporter):
    spans, onward = await call(exporter, ("fsc-transaction-id", TRANSACTION))
    assert f"{spans['Pull'].context.trace_id:032x}" == uuid.UUID(TRANSACTION).hex
    assert spans["Pull"].parent is None
    assert spans["Pull"].attributes["regie.trace_source"] == "fsc-transaction-id"
    assert spans["admit"].parent.span_id == spans["Pull"].context.span_id
    # The UUID of a transaction is no random number, and the flags must not say that it is (W3C level 2).
    assert onward["traceparent"] == f"00-{uuid.UUID(TRANSACTION).hex}-{spans['admit'].context.span_id:016x}-01"


async def test_a_traceparent_goes_before_a_transaction(exporter):
    spans, _ = await call(exporter, ("traceparent", GOOD), ("fsc-transaction-id", TRANSACTION))
    assert f"{spans['Pull'].context.trace_id:032x}" == TRACE
    assert spans["Pull"].attributes["regie.trace_source"] == "traceparent"


@pytest.mark.parametrize("bad", BAD)
async def test_a_malformed_traceparent_counts_as_none(exporter, bad):
    spans, _ = await call(exporter, ("traceparent", bad), ("fsc-transaction-id", TRANSACTION))
    assert spans["Pull"].attributes["regie.trace_source"] == "fsc-transaction-id"
    assert sound(bad) == ""
    assert trace_context(Context(traceparent=bad)) == (b"", b"")


def test_two_traceparents_count_as_none():
    twice = [("traceparent", GOOD), ("traceparent", GOOD), ("fsc-transaction-id", TRANSACTION)]
    assert caller_of(twice).source == "fsc-transaction-id"
    assert caller_of([*twice, ("fsc-transaction-id", TRANSACTION)]).source == "own"


@pytest.mark.parametrize("bad", [TRANSACTION[:-1], TRANSACTION.replace("-", ""), "0" * 36, f"urn:uuid:{TRANSACTION}"])
async def test_what_is_no_uuid_is_no_transaction(exporter, bad):
    # Without any trace, asking for offers is too frequent for a span; its stages stand alone.
    spans, _ = await call(exporter, ("fsc-transaction-id", bad))
    assert set(spans) == {"admit"}


async def test_who_does_not_want_to_be_sampled_is_not_and_the_trace_goes_on(exporter):
    spans, onward = await call(exporter, ("traceparent", GOOD[:-1] + "0"))
    assert spans == {}
    assert onward["traceparent"].split("-")[1] == TRACE
    assert onward["traceparent"].endswith("-00")


async def test_free_text_of_others_is_neither_kept_nor_passed_on(exporter):
    planted = "regie=999990019"
    spans, onward = await call(exporter, ("traceparent", GOOD), ("tracestate", planted), ("baggage", planted))
    assert set(onward) == {"traceparent"}
    assert all("999990019" not in span.to_json() for span in spans.values())


def test_the_ledger_reads_the_same_headers():
    assert trace_context(Context(traceparent=GOOD)) == (bytes.fromhex(TRACE), bytes.fromhex(PARENT))
    fallback = Context(**{"fsc-transaction-id": TRANSACTION})
    assert trace_context(fallback) == (uuid.UUID(TRANSACTION).bytes, b"")
    assert trace_context(Context()) == (b"", b"")


def test_what_is_kept_of_others_is_a_traceparent_or_nothing():
    assert sound(GOOD) == GOOD
    assert sound(GOOD + "-" + "x" * 1000) == ""

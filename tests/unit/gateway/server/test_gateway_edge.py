"""What leaves a server when a call is refused or a fault of ours happens, over a real connection."""

import asyncio
from contextlib import asynccontextmanager

import grpc
import pytest
import structlog
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from consent_ledger.errors import STATUS_OF, RegieError
from consent_ledger.v1 import errors_pb2
from gateway.errors import from_rpc, to_status
from gateway.evaluator.hop import ask
from gateway.interceptors import Edge
from gateway.telemetry import traces
from gateway.v1 import exchange_pb2 as pb
from gateway.v1 import exchange_pb2_grpc
from gateway.validation import validate

SECRET = "999990019"


class Exchange(exchange_pb2_grpc.ExchangeServiceServicer):
    def __init__(self, act):
        self.act = act

    async def Pull(self, request, context):  # noqa: N802 - gRPC's name
        return await self.act(request, context)


@asynccontextmanager
async def served(act, *, admit=lambda *_: None, exporter=None, refresh=None):
    edge = Edge(admit, traces.Tracing(traces.make_provider(exporter)), "gateway", refresh)
    server = grpc.aio.server(interceptors=[edge])
    port = server.add_insecure_port("127.0.0.1:0")
    exchange_pb2_grpc.add_ExchangeServiceServicer_to_server(Exchange(act), server)
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield exchange_pb2_grpc.ExchangeServiceStub(channel)
    finally:
        await server.stop(0)


def raising(error):
    async def act(_request, _context):
        raise error

    return act


async def failure(stub, request=None, **options):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Pull(request or pb.PullRequest(), **options)
    return caught.value


@pytest.mark.parametrize("reason", sorted(STATUS_OF))
async def test_every_reason_crosses_the_wire(reason):
    error = RegieError(reason, "text", "header.sender", 7)
    async with served(raising(error)) as stub:
        back = from_rpc(await failure(stub))
    assert (back.reason, back.message, back.field, back.row) == (reason, "text", "header.sender", 7)


def test_the_vocabulary_is_the_one_of_the_contract():
    names = {name.removeprefix("ERROR_REASON_") for name in dict(errors_pb2.ErrorReason.items())} - {"UNSPECIFIED"}
    assert names == set(STATUS_OF)


def test_status_names_domain_and_reason():
    text = str(to_status(RegieError("NOT_FRESH", "expired")))
    assert "regie" in text
    assert "NOT_FRESH" in text


async def test_a_fault_of_ours_says_a_number_and_nothing_else():
    exporter = InMemorySpanExporter()
    with structlog.testing.capture_logs() as logged:
        async with served(raising(KeyError(SECRET)), exporter=exporter) as stub:
            error = await failure(stub)
    assert error.code() is grpc.StatusCode.INTERNAL
    (incident,) = [line for line in logged if line["event"] == "incident"]
    assert incident["incident"] in error.details()
    assert incident["exception_type"] == "KeyError"
    assert incident["where"].startswith("tests/unit/gateway/server/test_gateway_edge.py:")
    spans = "".join(span.to_json() for span in exporter.get_finished_spans())
    for text in (str(error.details()), str(error.trailing_metadata()), str(logged), spans):
        assert SECRET not in text


async def test_requests_are_validated_before_the_handler_runs():
    ran = []

    async def act(request, _context):
        ran.append(request)
        return pb.PullResponse()

    async with served(act) as stub:
        error = from_rpc(await failure(stub, pb.PullRequest(wait_seconds=61)))
        assert (error.reason, error.field) == ("FIELD_INVALID", "wait_seconds")
        nested = pb.PullRequest(pulls=[{"pull": b"x", "signature": b"short"}])
        assert from_rpc(await failure(stub, nested)).field == "pulls[0].signature"
        assert not ran
        await stub.Pull(pb.PullRequest(wait_seconds=60))
    assert len(ran) == 1


async def test_who_may_not_call_is_refused_before_validation():
    def admit(method, _context):
        assert method == "/gateway.v1.ExchangeService/Pull"
        raise RegieError("PEER_KIND_NOT_SERVED", "no")

    async with served(raising(AssertionError()), admit=admit) as stub:
        error = await failure(stub, pb.PullRequest(wait_seconds=61))
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_an_unknown_key_is_looked_up_once_more():
    known = []

    async def act(_request, _context):
        if not known:
            raise RegieError("KEY_UNKNOWN", "new")
        return pb.PullResponse()

    async def refresh():
        known.append(1)

    async with served(act, refresh=refresh) as stub:
        await stub.Pull(pb.PullRequest())
    async with served(raising(RegieError("KEY_UNKNOWN", "new")), refresh=refresh) as stub:
        assert from_rpc(await failure(stub)).reason == "KEY_UNKNOWN"
    assert len(known) == 2


async def test_failures_without_our_words_are_not_repeated():
    async def act(_request, context):
        await context.abort(grpc.StatusCode.DATA_LOSS, SECRET)

    async with served(act) as stub:
        error = from_rpc(await failure(stub))
    assert error.reason == "INTERNAL"
    assert SECRET not in str(error)


async def test_a_passed_deadline_is_unavailable():
    async def act(_request, _context):
        await asyncio.sleep(30)

    async with served(act) as stub:
        error = from_rpc(await failure(stub, timeout=0.2), "LEDGER_UNAVAILABLE")
    assert error.reason == "LEDGER_UNAVAILABLE"


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("SIGNATURE_INVALID", "SIGNATURE_INVALID"),
        ("INTERNAL", "EVALUATOR_UNAVAILABLE"),
        ("PEER_SUSPENDED", "EVALUATOR_UNAVAILABLE"),
        ("LEDGER_UNAVAILABLE", "EVALUATOR_UNAVAILABLE"),
    ],
)
async def test_what_the_next_operator_says_about_us_stays_with_us(theirs, ours):
    async with served(raising(RegieError(theirs, "x"))) as stub:
        with pytest.raises(RegieError) as caught:
            await ask(stub.Pull, pb.PullRequest(), 5.0, "EVALUATOR_UNAVAILABLE")
    assert caught.value.reason == ours


async def test_the_trace_goes_to_the_next_operator():
    seen = []

    async def act(_request, context):
        seen.append(dict(context.invocation_metadata())["traceparent"])
        return pb.PullResponse()

    async with served(act) as stub:
        with traces.Tracing(traces.make_provider()).call("/a/B", ()) as span:
            await ask(stub.Pull, pb.PullRequest(), 5.0, "LEDGER_UNAVAILABLE")
    assert seen[0].split("-")[1] == f"{span.get_span_context().trace_id:032x}"


def test_validation_names_fields_and_never_values():
    with pytest.raises(RegieError) as caught:
        validate(pb.ReportOutcomeRequest(report={"header_hash": bytes(32), "sealed": b"x", "recipient": SECRET}))
    assert caught.value.field == "report.recipient"
    assert SECRET not in str(caught.value)

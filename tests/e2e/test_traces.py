"""A batch's trace through three organisations and back, over real connections, read from the span stores."""

import io
import json
import logging
import socket
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import httpx2
import pytest
import structlog
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from consent_ledger.clock import system_clock
from consent_ledger.v1 import events_pb2
from consent_ledger.verify.snapshot import open_snapshot
from gateway.directory.channels import open_channel
from gateway.home import HomeError
from gateway.sdk import dispatch, recipient
from gateway.sdk.agency import Agency
from gateway.sdk.enrolfile import enrol_file
from gateway.sdk.importfile import import_file
from gateway.sdk.sendfile import send_file
from gateway.server import serving
from gateway.settings import Settings
from gateway.telemetry import logs
from gateway.telemetry.spanreads import durations, read_trace
from gateway.telemetry.spanstore import span_stores
from gateway.town.participants import LAMPJE, VIEWER, ZONNEVEEN
from gateway.v1 import exchange_pb2, exchange_pb2_grpc
from tests.support import people
from tests.support.otlp import OtlpReceiver
from tests.support.servers import make_home

PURPOSE, ITEM = "vroegsignalering-energie", "betalingsachterstand"
ROLES = ("gateway", "pseudonyms", "ledger", "witness")
PERSONS = people.people(3)
CALLER = 0x0AF7651916CD43DD8448EB211C80319C
SUBMISSION = [
    ("regie-agency", "submission"),
    ("regie-agency", "seal"),
    ("regie-agency", "submit"),
    ("regie-gateway", "/gateway.v1.ExchangeService/SubmitBatch"),
    ("regie-gateway", "admit"),
    ("regie-gateway", "evaluate"),
    ("regie-gateway", "ask pseudonyms"),
    ("regie-pseudonyms", "/gateway.v1.EvaluatorService/EvaluateSignals"),
    ("regie-pseudonyms", "evaluate"),
    ("regie-gateway", "ask ledger"),
    ("regie-ledger", "/consent_ledger.v1.DecisionService/Decide"),
    ("regie-ledger", "open"),
    ("regie-ledger", "decide"),
    ("regie-gateway", "keep"),
    ("regie-agency", "verify"),
]
DELIVERY = [
    ("regie-agency", "delivery"),
    ("regie-agency", "pull"),
    ("regie-gateway", "/gateway.v1.ExchangeService/Pull"),
    ("regie-gateway", "ask ledger"),
    ("regie-ledger", "/consent_ledger.v1.DecisionService/Release"),
    ("regie-ledger", "open"),
    ("regie-ledger", "decide"),
    ("regie-agency", "open"),
    ("regie-agency", "acknowledge"),
    ("regie-gateway", "/gateway.v1.ExchangeService/Acknowledge"),
    ("regie-gateway", "ask ledger"),
    ("regie-ledger", "/consent_ledger.v1.DecisionService/Acknowledge"),
    ("regie-ledger", "open"),
    ("regie-ledger", "decide"),
    ("regie-agency", "hand over"),
]
OUTCOME = [
    ("regie-agency", "outcome"),
    ("regie-gateway", "/gateway.v1.ExchangeService/ReportOutcome"),
    ("regie-gateway", "ask ledger"),
    ("regie-ledger", "/consent_ledger.v1.DecisionService/ReportOutcome"),
    ("regie-ledger", "open"),
    ("regie-ledger", "decide"),
]


@pytest.fixture
def log():
    stream = io.StringIO()
    before, handlers = structlog.get_config(), logging.getLogger().handlers
    logs.configure(stream)
    yield stream
    structlog.configure(**before)
    logging.getLogger().handlers = handlers


@asynccontextmanager
async def town(home, folder, **settings):
    """Served, with everybody enrolled; all of them said yes."""
    async with serving(home, ROLES, settings=Settings(**settings)):
        async with Agency.open(home, ZONNEVEEN.oin) as municipality:
            await enrol_file(municipality, people.residents(folder / "residents.csv", PERSONS))
        answers = zip(PERSONS, ["JA"] * len(PERSONS), strict=True)
        path = people.choices(folder / "choices.csv", answers, LAMPJE.oin, ZONNEVEEN.oin, PURPOSE, ITEM)
        async with Agency.open(home, VIEWER.oin) as portal:
            assert (await import_file(portal, path)).rejected_rows == 0
        yield


async def send(home, folder, people_=PERSONS):
    path = people.arrears(folder / "arrears.csv", people_)
    async with Agency.open(home, LAMPJE.oin) as sender:
        summary = await send_file(sender, path, purpose=PURPOSE, recipient=ZONNEVEEN.oin)
    assert summary.sent.counts["accepted"] == len(people_)


async def receive(home):
    async with Agency.open(home, ZONNEVEEN.oin) as agency:
        got = []
        async for delivery in agency.recipient().deliveries():
            await delivery.done()
            got.append(delivery.delivery_id)
        await agency.recipient().report(got[0], offer="gesprek", channel="brief", when_ms=system_clock())
    return got


def leaves(home):
    """The trace ids of decided and released leaves."""
    with open_snapshot(home.operator("ledger").data / "ledger.db") as snapshot:
        events = [events_pb2.Event.FromString(row.event) for rows in snapshot.rows(256) for row in rows if row.event]
    decided = {event.exchange_decided.trace_id.hex() for event in events if event.HasField("exchange_decided")}
    released = {event.exchange_released.trace_id.hex() for event in events if event.HasField("exchange_released")}
    return decided, released


def named(spans):
    return [(span.service, span.name) for span in spans]


async def test_one_trace_goes_from_the_sender_to_the_outcome(tmp_path, log):
    home = make_home(tmp_path / "home")
    async with town(home, tmp_path):
        await send(home, tmp_path)
        await receive(home)
    decided, released = leaves(home)
    assert decided == released
    (trace_id,) = decided
    spans = read_trace(span_stores(home), trace_id)
    assert named(spans) == [*SUBMISSION, *DELIVERY, *OUTCOME]
    assert {span.oin for span in spans} == {
        LAMPJE.oin,
        ZONNEVEEN.oin,
        *(home.operators[role] for role in ("gateway", "pseudonyms", "ledger")),
    }
    # Everything hangs together below the one root, which is the sender's.
    by_id = {span.span_id: span for span in spans}
    assert [span.name for span in spans if span.parent_id not in by_id] == ["submission"]
    for span in spans[1:]:
        assert by_id[span.parent_id].start_ns <= span.start_ns
    submit = spans[3]
    later = {span.parent_id for span in spans if span.name in {"delivery", "hand over", "outcome"}}
    assert later == {submit.span_id}
    assert submit.attributes["regie.trace_source"] == "traceparent"
    for span in (*spans[: len(SUBMISSION)], *spans[len(SUBMISSION) :][:4]):  # up to the ledger's release
        assert (span.attributes["regie.sender"], span.attributes["regie.recipient"]) == (LAMPJE.oin, ZONNEVEEN.oin)
    latencies = {(one.service, one.name, one.sender): one for one in durations(span_stores(home), 0, 1 << 42)}
    decide = latencies["regie-ledger", "decide", LAMPJE.oin]
    assert decide.count == 1
    assert decide.slowest == (trace_id,)
    assert 0 < decide.p50_ms == decide.p99_ms


@contextmanager
def as_part_of(trace_id, *, sampled):
    """Inside a trace of the caller's own."""
    context = SpanContext(trace_id, 0xB7AD6B7169203331, is_remote=False, trace_flags=TraceFlags(int(sampled)))
    with trace.use_span(NonRecordingSpan(context)):
        yield


async def get(address, path):
    async with httpx2.AsyncClient() as http:
        answer = await http.get(f"http://{address}{path}")
        return answer.status_code, answer.text


async def test_the_callers_trace_is_honoured_and_so_is_its_wish_not_to_be_sampled(tmp_path, log):
    with OtlpReceiver() as collector:
        home = replace(make_home(tmp_path / "home"), collector=collector.endpoint.removesuffix("/v1/traces"))
        async with town(home, tmp_path):
            with as_part_of(CALLER, sampled=True):
                await send(home, tmp_path, PERSONS[:2])
            with as_part_of(CALLER + 1, sampled=False):
                await send(home, tmp_path, PERSONS[2:])
            metrics = {role: (await get(home.metrics[role], "/metrics"))[1] for role in ROLES}
            assert await get(home.metrics["ledger"], "/healthz") == (200, '{"status":"ok"}')
            assert (await get(home.metrics["ledger"], "/other"))[0] == 404
            await refused(home)
    decided, _ = leaves(home)
    assert decided == {f"{CALLER:032x}", f"{CALLER + 1:032x}"}

    directory, *spans = read_trace(span_stores(home), f"{CALLER:032x}")
    assert directory.name == "/gateway.v1.DirectoryService/GetDirectory"  # otherwise too frequent for a span
    assert named(spans) == SUBMISSION
    assert spans[0].parent_id == "b7ad6b7169203331"
    assert read_trace(span_stores(home), f"{CALLER + 1:032x}") == []
    # The collector got the same.
    exported = {one.span.span_id.hex(): one for one in collector.received}
    assert {span.span_id for span in spans} <= set(exported)
    assert {exported[span.span_id].resource["service.name"] for span in spans} == {span.service for span in spans}
    assert (CALLER + 1).to_bytes(16, "big") not in {one.span.trace_id for one in collector.received}

    pair = f'purpose="{PURPOSE}",recipient="{ZONNEVEEN.oin}",sender="{LAMPJE.oin}"'
    assert f'regie_exchanges_total{{outcome="ACCEPTED",{pair}}} 3.0' in metrics["gateway"]
    assert f'regie_decisions_total{{purpose="{PURPOSE}",reason="ALLOWED"}} 3.0' in metrics["ledger"]
    assert (
        'regie_rpc_seconds_count{code="OK",method="/gateway.v1.ExchangeService/SubmitBatch"} 2.0' in metrics["gateway"]
    )
    for stage in ("admit", "evaluate", "ask ledger", "keep"):
        assert f'regie_stage_seconds_count{{stage="{stage}"}} 2.0' in metrics["gateway"]
    assert "regie_witness_lag_entries{witness=" in metrics["ledger"]
    documented = (Path(__file__).parents[2] / "docs" / "telemetry.md").read_text("utf-8")
    names = {
        line.split()[2] for text in metrics.values() for line in text.splitlines() if line.startswith("# TYPE regie")
    }
    assert {name for name in names if f"`{name}`" not in documented} == set()
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    (line,) = [line for line in lines if line.get("trace_id") == f"{CALLER + 2:032x}"]
    assert (line["event"], line["reason"]) == ("refused", "PEER_KIND_NOT_SERVED")


async def refused(home):
    """The ledger's operator submits a batch, as part of a trace."""
    async with open_channel(home, home.operator("ledger"), "gateway") as channel:
        stub = exchange_pb2_grpc.ExchangeServiceStub(channel)
        metadata = (("traceparent", f"00-{CALLER + 2:032x}-b7ad6b7169203331-01"),)
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.SubmitBatch(exchange_pb2.SubmitBatchRequest(), timeout=10, metadata=metadata)


async def test_without_tracing_no_span_is_made_and_decisions_still_have_their_trace(tmp_path, monkeypatch):
    monkeypatch.setenv("REGIE_TRACING", "false")
    # Also: several batches are handed over in full when they are more than are resolved together.
    monkeypatch.setattr(dispatch, "BATCH_SIZE", 1)
    monkeypatch.setattr(recipient, "AT_ONCE", 1)
    home = make_home(tmp_path / "home")
    async with town(home, tmp_path):
        await send(home, tmp_path)
        assert len(await receive(home)) == len(PERSONS)
    assert span_stores(home) == []
    decided, released = leaves(home)
    assert decided == released
    assert {len(trace_id) for trace_id in decided} == {32}
    assert len(decided) == len(PERSONS)


async def test_an_address_of_metrics_that_is_in_use_is_said_before_anything_starts(tmp_path):
    home = make_home(tmp_path / "home")
    host, port = home.metrics["gateway"].split(":")
    with socket.create_server((host, int(port))), pytest.raises(HomeError, match="gateway metrics cannot listen at"):
        async with serving(home, ROLES):
            pass
    assert not (home.operator("gateway").data / "gateway.db").exists()
    with pytest.raises(HomeError, match="the address of a collector"):
        async with serving(replace(home, collector="collector:4318"), ROLES):
            pass

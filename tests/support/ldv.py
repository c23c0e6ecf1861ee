"""The processing log of a small ledger (tests/support/ledger.py), and the standard's table to check records by."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from google.protobuf import json_format
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from consent_ledger.processing import PATH, find
from consent_ledger.v1 import decisions_pb2
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.writing.afterwards import AcknowledgeWork, OutcomeWork
from gateway.home import Organisation
from gateway.ldv.collector import Collector, open_collector
from gateway.ldv.follow import Exporter
from gateway.ldv.ledgerbook import KINDS, LedgerBook
from gateway.ldv.settings import LdvSettings
from gateway.ldv.state import State
from gateway.ldv.subjects import Subjects
from tests.support.ledger import CITY, GATEWAY, LEDGER, SIGNER, Ledger
from tests.support.otlp import Received, values

REGISTER = "https://ledger.example"
SETTINGS = LdvSettings(None, True, REGISTER, SIGNER.name)
SUBJECTS = Subjects(bytes(range(64)))
MS = 1_000_000


def organisation(folder: Path, oin: str = LEDGER) -> Organisation:
    (folder / "orgs" / oin).mkdir(parents=True, exist_ok=True)
    return Organisation(oin, folder / "orgs" / oin)


def book_of(ledger: Ledger, settings: LdvSettings = SETTINGS) -> LedgerBook:
    return LedgerBook(ledger.sequencer.reader, settings, SUBJECTS, LEDGER, GATEWAY)


@contextmanager
def exporter_of(ledger: Ledger, state: State, settings: LdvSettings = SETTINGS) -> Iterator[Exporter]:
    with ThreadPoolExecutor(1) as thread:
        yield Exporter(book_of(ledger, settings), state, thread)


@asynccontextmanager
async def collector_at(endpoint: str, ledger: Ledger):
    async with open_collector(endpoint, ledger.clock) as collector:
        assert isinstance(collector, Collector)
        yield collector


def acknowledge(ledger: Ledger, hh: bytes) -> None:
    said = decisions_pb2.Acknowledgement(header_hash=hh, time_ms=ledger.clock(), recipient=CITY)
    ledger.sequencer.submit(AcknowledgeWork(said)).result(10)


def report(ledger: Ledger, hh: bytes, position: int, offer: str = "gesprek") -> int:
    said = decisions_pb2.OutcomeReport(
        position=position, offer=offer, channel=pb.CHANNEL_BRIEF, when_ms=ledger.clock(), language="nl"
    )
    name = hh[:16] + position.to_bytes(4, "big")
    return ledger.sequencer.submit(OutcomeWork(hh, CITY, said, name)).result(10).log_index


def held(ledger: Ledger) -> list[tuple[int, str]]:
    """Index and kind of every entry that is a record, read the long way."""
    return [(index, kind) for index, event, _ in ledger.events() if (kind := event.WhichOneof("body")) in KINDS]


def read_lines(path: Path) -> list[Received]:
    """Every record of an exported file; ids in it are hexadecimal, which protobuf's own JSON does not know."""
    found = []
    for line in path.read_text("utf-8").splitlines():
        raw = json.loads(line)
        for group in raw["resourceSpans"]:
            for scope in group["scopeSpans"]:
                for span in scope["spans"]:
                    for name in ("traceId", "spanId", "parentSpanId"):
                        if name in span:
                            assert re.fullmatch("[0-9a-f]+", span[name])
                            span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
        message = json_format.ParseDict(raw, TracesData())
        found += [
            Received(span, values(group.resource.attributes), scope.scope.name, len(found) + 1)
            for group in message.resource_spans
            for scope in group.scope_spans
            for span in scope.spans
        ]
    return found


def check(one: Received, *, register: str = REGISTER, extension: bool = True, processor: str | None = GATEWAY) -> None:
    """Field by field, the standard's table (design, auditors.md): every field there, of its type, with nothing else."""
    span, attributes = one.span, one.attributes
    assert len(span.trace_id) == 16
    assert any(span.trace_id)
    assert len(span.span_id) == 8
    assert any(span.span_id)
    assert len(span.parent_span_id) in {0, 8}
    assert span.status.code in {0, 1}, "a refusal is no error"
    assert span.name
    for time in (span.start_time_unix_nano, span.end_time_unix_nano):
        assert time % MS == 0, "the standard's times are whole milliseconds"
    assert span.start_time_unix_nano <= span.end_time_unix_nano
    assert one.resource["service.name"]
    uri = str(attributes.pop("dpl.core.processing_activity_id"))
    assert uri.startswith(register + PATH)
    gone = "(" in span.name
    if uri != register + PATH:
        *_, identity, version = uri.split("/")
        assert find(identity, version) is not None, "the register does not have it"
        assert span.name.partition(" (")[0] == identity
    subject = attributes.pop("dpl.core.data_subject_id", None)
    kind = attributes.pop("dpl.core.data_subject_id_type", None)
    if gone:
        assert subject is None
        assert kind is None
    else:
        assert re.fullmatch("[0-9a-f]{64,}", str(subject))
        assert kind
    assert attributes.pop("dpl.core.foreign_operation.processor", None) == processor
    own = [name for name in (*attributes, *one.resource) if name.startswith("nl.regie.")]
    assert bool(own) == extension
    assert set(attributes) == {name for name in own if name not in one.resource}, "an attribute that nobody documented"

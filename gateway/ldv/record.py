"""One record of the processing log, as the standard has it, and the same as OTLP carries it.

Logboek Dataverwerkingen 1.0.0, "Logregel": trace_id, span_id, status, name, start_time, end_time, parent_span_id,
resource, attributes. The standard's times are milliseconds and OTLP's nanoseconds: one is the other times a million,
exactly, so that nothing is made up and nothing is lost.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

STATUS: dict[str, Status.StatusCode.ValueType] = {
    "Unset": Status.STATUS_CODE_UNSET,
    "Ok": Status.STATUS_CODE_OK,
    "Error": Status.STATUS_CODE_ERROR,
}
NS_PER_MS = 1_000_000
SCOPE = InstrumentationScope(name="regie.ldv", version="1")

ACTIVITY = "dpl.core.processing_activity_id"
SUBJECT = "dpl.core.data_subject_id"
SUBJECT_TYPE = "dpl.core.data_subject_id_type"
PROCESSOR = "dpl.core.foreign_operation.processor"
EXTENSION = "nl.regie."
"""Our own attributes are below it, none elsewhere, and a home may leave them all out (docs/ldv.md)."""

Value = str | int | bool


@dataclass(frozen=True, slots=True)
class Record:
    """One processing of one data subject's data. Ids are bytes (16, 8, and 8 or none), times are Unix milliseconds."""

    trace_id: bytes
    span_id: bytes
    status: Literal["Unset", "Ok", "Error"]
    name: str
    start_ms: int
    end_ms: int
    parent_span_id: bytes = b""
    attributes: Mapping[str, Value] = field(default_factory=dict)

    def span(self) -> Span:
        """Return it as OTLP carries it; times in nanoseconds."""
        return Span(
            trace_id=self.trace_id,
            span_id=self.span_id,
            parent_span_id=self.parent_span_id,
            name=self.name,
            kind=Span.SPAN_KIND_INTERNAL,
            start_time_unix_nano=self.start_ms * NS_PER_MS,
            end_time_unix_nano=self.end_ms * NS_PER_MS,
            attributes=_pairs(self.attributes),
            status=Status(code=STATUS[self.status]),
        )


def span_id(label: bytes, place: int) -> bytes:
    """Return the 8 bytes that name the record of a place (log index, row) in a book, always the same.

    SHA-256("regie/ldv/v1" || label || place in 8 bytes, big-endian), cut; never all zero, which OTLP calls invalid.
    """
    found = hashlib.sha256(b"regie/ldv/v1" + label + place.to_bytes(8, "big")).digest()[:8]
    return found if any(found) else b"\0" * 7 + b"\1"


def trace_id(given: bytes, batch_id: bytes) -> bytes:
    """Return the caller's trace id (16 bytes); without one, that of the batch, the same at every organisation."""
    if len(given) == 16 and any(given):
        return given
    return hashlib.sha256(b"regie/ldv/trace/v1" + batch_id).digest()[:16]


def request_of(resource: Mapping[str, Value], records: Sequence[Record]) -> bytes:
    """Return records as the body of one OTLP/HTTP export."""
    return ExportTraceServiceRequest(resource_spans=[_group(resource, records)]).SerializeToString()


def json_line(resource: Mapping[str, Value], record: Record) -> str:
    """Return one record as a line of an OTLP/JSON file (TracesData): ids in hexadecimal, 64-bit numbers as text."""
    span: dict[str, Any] = {"traceId": record.trace_id.hex(), "spanId": record.span_id.hex()}
    if record.parent_span_id:
        span["parentSpanId"] = record.parent_span_id.hex()
    span |= {
        "name": record.name,
        "kind": int(Span.SPAN_KIND_INTERNAL),
        "startTimeUnixNano": str(record.start_ms * NS_PER_MS),
        "endTimeUnixNano": str(record.end_ms * NS_PER_MS),
        "attributes": _json_pairs(record.attributes),
        "status": {"code": int(STATUS[record.status])} if record.status != "Unset" else {},
    }
    scope = {"scope": {"name": SCOPE.name, "version": SCOPE.version}, "spans": [span]}
    group = {"resource": {"attributes": _json_pairs(resource)}, "scopeSpans": [scope]}
    return json.dumps({"resourceSpans": [group]}, ensure_ascii=False, separators=(",", ":"))


def _group(resource: Mapping[str, Value], records: Sequence[Record]) -> ResourceSpans:
    spans = ScopeSpans(scope=SCOPE, spans=[record.span() for record in records])
    return ResourceSpans(resource=Resource(attributes=_pairs(resource)), scope_spans=[spans])


def _pairs(attributes: Mapping[str, Value]) -> list[KeyValue]:
    return [_pair(name, value) for name, value in attributes.items()]


@lru_cache(4_096, typed=True)  # True is not 1; most attributes of a batch's records are the same
def _pair(name: str, value: Value) -> KeyValue:
    return KeyValue(key=name, value=_value(value))


def _value(value: Value) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    return AnyValue(int_value=value) if isinstance(value, int) else AnyValue(string_value=value)


def _json_pairs(attributes: Mapping[str, Value]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _json_value(value)} for name, value in attributes.items()]


def _json_value(value: Value) -> dict[str, Value]:
    if isinstance(value, bool):
        return {"boolValue": value}
    return {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}

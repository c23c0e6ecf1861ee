"""Files that auditors take out (A13): a ZIP with the data and a manifest that says what they are and of which head.

Rows are read page by page and written as they come, so that a large export needs no more memory than a small one.
Nothing is in them that is not on the pages: residents by the numbers of the case.
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from consent_ledger.v1 import events_pb2 as pb
from gateway.auditor.index import states
from gateway.auditor.index.queries import Exchange

Row = dict[str, Any]
MEMORY = 1 << 20
"""Bytes of a file that are held before it goes to the disk."""
_FORMULA = frozenset("=+-@\t\r")
_OK, _UNSET = 1, 0
COLUMNS = (
    *("log_index", "time", "sender", "sender_name", "recipient", "recipient_name", "purpose", "purpose_version"),
    *("items", "state", "reason", "outcome", "resident", "trace_id", "decided_by", "released_index", "released"),
    *("withheld_index", "withheld", "acknowledged_index", "acknowledged", "outcome_index", "outcome_reported"),
    *("channel", "deviations"),
)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a file is: the question, when and for which case it was asked, and at which head of the log."""

    kind: str
    query: Mapping[str, str]
    case: str
    time_ms: int
    head_size: int
    head_root: bytes
    checkpoint: str

    def text(self, name: str, digest: str, rows: int) -> str:
        """Return it as JSON, with the file's name, SHA-256 and number of rows."""
        said = {
            "file": name,
            "sha256": digest,
            "rows": rows,
            "kind": self.kind,
            "query": dict(self.query),
            "case": self.case,
            "time": _time(self.time_ms),
            "head": {"size": self.head_size, "root": self.head_root.hex(), "checkpoint": self.checkpoint},
        }
        return json.dumps(said, ensure_ascii=False, indent=2) + "\n"


def row_of(exchange: Exchange, party: Callable[[str], str], shown: Callable[[bytes], str]) -> Row:
    """Return what an export says of an exchange."""
    return {
        "log_index": exchange.idx,
        "time": _time(exchange.time_ms),
        "sender": exchange.sender,
        "sender_name": party(exchange.sender),
        "recipient": exchange.recipient,
        "recipient_name": party(exchange.recipient),
        "purpose": exchange.purpose,
        "purpose_version": exchange.version,
        "items": exchange.items,
        "state": states.STATES[exchange.state],
        "reason": pb.Reason.Name(exchange.reason).removeprefix("REASON_"),  # type: ignore[arg-type]  # an int
        "outcome": pb.Outcome.Name(exchange.outcome).removeprefix("OUTCOME_"),  # type: ignore[arg-type]  # an int
        "resident": shown(exchange.resident),
        "trace_id": exchange.trace_id.hex(),
        "decided_by": exchange.decided_by,
        "released_index": exchange.released_idx,
        "released": _time(exchange.released_ms),
        "withheld_index": exchange.withheld_idx,
        "withheld": _time(exchange.withheld_ms),
        "acknowledged_index": exchange.acked_idx,
        "acknowledged": _time(exchange.acked_ms),
        "outcome_index": exchange.outcome_idx,
        "outcome_reported": _time(exchange.outcome_ms),
        "channel": pb.Channel.Name(exchange.channel).removeprefix("CHANNEL_") if exchange.channel else "",  # type: ignore[arg-type]
        "deviations": _deviations(exchange.deviations),
    }


def csv_lines(rows: Iterable[Row]) -> Iterator[str]:
    """Yield the lines of a CSV file (RFC 4180); a cell that a spreadsheet would compute gets an apostrophe."""
    yield _csv(COLUMNS)
    for row in rows:
        yield _csv([row[column] for column in COLUMNS])


def json_lines(rows: Iterable[Row]) -> Iterator[str]:
    """Yield one JSON object a line."""
    for row in rows:
        yield json.dumps(row, ensure_ascii=False) + "\n"


def otlp_lines(rows: Iterable[Row]) -> Iterator[str]:
    """Yield one ExportTraceServiceRequest in JSON a line, as OpenTelemetry's collector reads and writes files."""
    for row in rows:
        start = _nanos(row["time"])
        ends = [_nanos(row[name]) for name in ("released", "withheld", "acknowledged", "outcome_reported") if row[name]]
        span = {
            "traceId": row["trace_id"] or _made(row["log_index"])[:32],
            "spanId": _made(row["log_index"])[32:48],
            "name": "exchange",
            "kind": 1,
            "startTimeUnixNano": str(start),
            "endTimeUnixNano": str(max([start, *ends])),
            "attributes": [
                _attribute(f"nl.regie.{name}", value) for name, value in row.items() if value not in (None, "")
            ],
            "status": {"code": _UNSET if row["state"] == "refused" else _OK},
        }
        yield (
            json.dumps(
                {
                    "resourceSpans": [
                        {
                            "resource": {"attributes": [_attribute("service.name", "regie-audit-export")]},
                            "scopeSpans": [{"scope": {"name": "nl.regie.audit"}, "spans": [span]}],
                        }
                    ]
                },
                ensure_ascii=False,
            )
            + "\n"
        )


LINES: dict[str, tuple[str, Callable[[Iterable[Row]], Iterator[str]]]] = {
    "csv": ("exchanges.csv", csv_lines),
    "jsonl": ("exchanges.jsonl", json_lines),
    "otlp": ("exchanges.otlp.jsonl", otlp_lines),
}
"""Kinds of export: the file's name, and what writes it."""


def pack(manifest: Manifest, name: str, lines: Iterable[str], rows: Callable[[], int]) -> IO[bytes]:
    """Write lines and their manifest into a ZIP and return it, at its beginning; ``rows`` is asked at the end."""
    file: IO[bytes] = SpooledTemporaryFile(MEMORY)  # noqa: SIM115  (who reads it closes it)
    digest = sha256()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open(name, "w", force_zip64=True) as entry:
            for line in lines:
                data = line.encode()
                digest.update(data)
                entry.write(data)
        archive.writestr("manifest.json", manifest.text(name, digest.hexdigest(), rows()))
    file.seek(0)
    return file


def _csv(cells: Iterable[Any]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow([safe(cell) for cell in cells])
    return line.getvalue()


def safe(cell: Any) -> str:
    """Return a cell as text that no spreadsheet takes for a formula (OWASP, "CSV Injection")."""
    text = "" if cell is None else str(cell)
    return f"'{text}" if text[:1] in _FORMULA else text


def _attribute(key: str, value: Any) -> dict[str, Any]:
    if isinstance(value, int):
        return {"key": key, "value": {"intValue": str(value)}}
    return {"key": key, "value": {"stringValue": str(value)}}


def _made(index: int) -> str:
    """Return ids of an exchange without a trace of its own, in hexadecimal: always the same."""
    return sha256(f"regie/audit/otlp/v1/{index}".encode()).hexdigest()


def _deviations(numbers: str) -> str:
    return " ".join(pb.Deviation.Name(int(one)).removeprefix("DEVIATION_") for one in numbers.split())  # type: ignore[arg-type]


def _time(time_ms: int | None) -> str:
    if time_ms is None:
        return ""
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _nanos(text: str) -> int:
    at = datetime.fromisoformat(text)
    return round(at.timestamp() * 1000) * 1_000_000

"""Log lines: JSON on standard error, and only keys of an allow-list.

Nobody can log a payload, an identifier or a group element by accident: a key that is not named here is dropped, and so
is the text of every exception, because that text may repeat what the exception was about.
"""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import structlog
from opentelemetry import trace
from structlog.typing import EventDict, WrappedLogger

_OF_LINES = ("event", "level", "timestamp", "logger")
_OF_CALLS = ("role", "address", "method", "reason", "status", "seconds")
_OF_FAULTS = ("incident", "exception_type", "where")
_OF_EXCHANGES = ("oin", "sender", "recipient", "purpose", "count")
_OF_LOGS = ("witness", "size")
_OF_TRACES = ("trace_id",)
ALLOWED_KEYS = frozenset((*_OF_TRACES, *_OF_LINES, *_OF_CALLS, *_OF_FAULTS, *_OF_EXCHANGES, *_OF_LOGS))
LONGEST_VALUE = 200


def name_trace(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Add the trace that a line belongs to, if any; nobody else says which."""
    span = trace.get_current_span().get_span_context()
    event.pop("trace_id", None)
    return {**event, "trace_id": f"{span.trace_id:032x}"} if span.is_valid else event


def keep_allowed(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Drop every key outside the allow-list, and cut values that are longer than any of ours."""
    return {key: _short(value) for key, value in event.items() if key in ALLOWED_KEYS}


def _short(value: object) -> object:
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, tuple | list):
        return [_short(item) for item in value[:16]]
    if isinstance(value, bytes | bytearray | memoryview):
        return f"{len(value)} bytes"
    return str(value)[:LONGEST_VALUE]


class Stripped(logging.Handler):
    """Passes records of other libraries on as their logger's name, level and exception type; never their text."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line without the record's message."""
        kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        get_logger().log(record.levelno, "library", logger=record.name, exception_type=kind)


def configure(stream: TextIO | None = None) -> None:
    """Send our log lines as JSON to ``stream`` (standard error), and strip those of the libraries."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            name_trace,
            keep_allowed,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(stream or sys.stderr),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [Stripped(level=logging.WARNING)]


def get_logger() -> structlog.stdlib.BoundLogger:
    """Return the logger; key-value pairs outside the allow-list vanish."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger()
    return logger

"""Messages that arrive as bytes inside messages (what somebody signed): parse, then check the contract's rules.

Requests themselves are checked by the server's interceptor; servicers get them valid.
"""

from __future__ import annotations

from typing import TypeVar

import protovalidate
from google.protobuf.message import DecodeError, Message

from consent_ledger.errors import RegieError

Parsed = TypeVar("Parsed", bound=Message)


def parse(message_class: type[Parsed], data: bytes, field: str) -> Parsed:
    """Return the message behind ``data``; raises RegieError FIELD_INVALID naming the field inside ``field``."""
    try:
        message = message_class.FromString(data)
    except DecodeError:
        raise RegieError("FIELD_INVALID", f"this is no {message_class.DESCRIPTOR.name}", field=field) from None
    violations = protovalidate.collect_violations(message)
    if violations:
        where = violations[0].proto.field
        path = ".".join(element.field_name for element in where.elements) if where else ""
        text = violations[0].proto.message or "this value is not allowed"
        raise RegieError("FIELD_INVALID", text, field=f"{field}.{path}" if path else field)
    return message

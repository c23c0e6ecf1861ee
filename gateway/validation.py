"""Requests are checked against the rules in their .proto before any code looks at them."""

from __future__ import annotations

from typing import TypeVar

import protovalidate
from google.protobuf.message import DecodeError, Message

from consent_ledger.errors import RegieError

M = TypeVar("M", bound=Message)


def validate(message: Message, within: str = "") -> None:
    """Check a message against its rules; raises RegieError FIELD_INVALID naming the first field at fault.

    The text names the rule, never the value. ``within`` is the field that held the message as bytes.
    """
    try:
        protovalidate.validate(message, fail_fast=True)
    except protovalidate.ValidationError as error:
        violation = error.violations[0].proto
        path = ".".join(part for part in (within, _path(violation.field)) if part)
        raise RegieError("FIELD_INVALID", f"{path or 'the message'}: {violation.message}", path) from None


def parse(kind: type[M], data: bytes, field: str) -> M:
    """Return the message that a bytes field holds, checked; raises RegieError FIELD_INVALID naming the field."""
    message = kind()
    try:
        message.ParseFromString(data)
    except DecodeError:
        raise RegieError("FIELD_INVALID", f"{field}: expected {kind.DESCRIPTOR.name} bytes", field) from None
    validate(message, field)
    return message


def _path(path: object) -> str:
    text = ""
    for element in getattr(path, "elements", ()):
        text += f".{element.field_name}" if text else str(element.field_name)
        index = getattr(getattr(element, "subscript", None), "value", None)
        if isinstance(index, int):
            text += f"[{index}]"
    return text

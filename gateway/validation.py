"""Requests are checked against the rules in their .proto before any code looks at them."""

from __future__ import annotations

import protovalidate
from google.protobuf.message import Message

from consent_ledger.errors import RegieError
from consent_ledger.service.validation import parse

__all__ = ["parse", "validate"]


def validate(message: Message) -> None:
    """Check a message against its rules; raises RegieError FIELD_INVALID naming the first field at fault.

    The text names the rule, never the value. Messages inside bytes fields are for consent_ledger.service.validation.
    """
    try:
        protovalidate.validate(message, fail_fast=True)
    except protovalidate.ValidationError as error:
        violation = error.violations[0].proto
        path = _path(violation.field)
        raise RegieError("FIELD_INVALID", f"{path or 'the message'}: {violation.message}", path) from None


def _path(path: object) -> str:
    text = ""
    for element in getattr(path, "elements", ()):
        text += f".{element.field_name}" if text else str(element.field_name)
        index = getattr(getattr(element, "subscript", None), "value", None)
        if isinstance(index, int):
            text += f"[{index}]"
    return text

"""What a resident can change, as the ledger's Change message has it."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message

from consent_ledger.errors import RegieError
from consent_ledger.v1 import consents_pb2 as pb
from consent_ledger.viewer.port import AllRows

CHANGE_FIELDS: dict[type[Message], str] = {
    getattr(pb.Change(), field.name).__class__: field.name
    for field in pb.Change.DESCRIPTOR.oneofs_by_name["what"].fields
}
"""The field of Change.what that a message goes into; each kind of change has a message of its own."""


def rows_of(rows: AllRows, purpose: str) -> list[pb.Rows]:
    """Return the rows of one purpose; raises PURPOSE_UNKNOWN when there are none."""
    found = [row for row in rows if row.purpose == purpose]
    if not found:
        raise RegieError("PURPOSE_UNKNOWN", "there is no row in this purpose", "purpose")
    return found


def fill(change: pb.Change, rows: AllRows, what: Message) -> None:
    """Write what changes into a change, with the rows it is about: those of its scope's purpose, or all."""
    scope: Any = getattr(what, "scope", None)
    change.rows.extend(rows if scope is None else rows_of(rows, scope.purpose))
    getattr(change, CHANGE_FIELDS[type(what)]).CopyFrom(what)

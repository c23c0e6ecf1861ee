"""What the program in the browser knows of this version's events: their fields, from the protos themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from consent_ledger.v1 import events_pb2 as pb

_SCALARS = {
    FieldDescriptor.TYPE_UINT32: "uint",
    FieldDescriptor.TYPE_UINT64: "uint",
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_ENUM: "enum",
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_BYTES: "bytes",
}
_NEVER_PACKED = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES, FieldDescriptor.TYPE_MESSAGE)
_ROOTS = (pb.Event, pb.PrivatePart, pb.Leaf)


def messages() -> dict[str, dict[int, dict[str, Any]]]:
    """Return per message its fields by number, as protobuf.js reads them; raises KeyError for a type it cannot read."""
    return {kind.name: {field.number: _field(field) for field in kind.fields} for kind in _reachable()}


def _reachable() -> Iterator[Descriptor]:
    waiting, seen = [root.DESCRIPTOR for root in _ROOTS], set[str]()
    while waiting:
        kind = waiting.pop()
        if kind.name not in seen:
            seen.add(kind.name)
            waiting += [field.message_type for field in kind.fields if field.message_type]
            yield kind


def _field(field: FieldDescriptor) -> dict[str, Any]:
    found: dict[str, Any] = {"name": field.name}
    found["type"] = field.message_type.name if field.message_type else _SCALARS[field.type]
    if field.is_repeated:
        found["repeated"] = True
        if field.type not in _NEVER_PACKED:
            found["packed"] = True
    if field.containing_oneof:
        found["oneof"] = True
    return found

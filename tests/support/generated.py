"""Messages made from their descriptors: half of the fields keep the rules of the .proto, the others break them."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

RULES = "buf.validate.field"
_LARGEST = 200
"""Bytes, characters or items: lengths beyond it say nothing new about a parser."""


def messages(descriptor: Descriptor) -> st.SearchStrategy[Message]:
    """Messages of this type, with any of its fields."""
    return st.fixed_dictionaries({}, optional={f.name: _values(f) for f in descriptor.fields}).map(
        lambda values: _message(descriptor, values)
    )


def _message(descriptor: Descriptor, values: dict[str, Any]) -> Message:
    return GetMessageClass(descriptor)(**values)


def _values(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    one = _one(field)
    return st.lists(one, max_size=3) if field.is_repeated else one


def _one(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.message_type is not None:
        return messages(field.message_type)
    if field.enum_type is not None:
        return st.sampled_from([value.number for value in field.enum_type.values]) | st.integers(0, 1000)
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_STRING:
        return _bytes(field) if field.type == FieldDescriptor.TYPE_BYTES else _text(field)
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return st.booleans()
    bits, signed = {
        FieldDescriptor.CPPTYPE_INT32: (31, True),
        FieldDescriptor.CPPTYPE_INT64: (63, True),
        FieldDescriptor.CPPTYPE_UINT32: (32, False),
        FieldDescriptor.CPPTYPE_UINT64: (64, False),
    }[kind]
    return st.integers(-(2**bits) if signed else 0, 2**bits - 1) | st.integers(0, 20)


def _rules(field: FieldDescriptor) -> Any:
    for option, value in field.GetOptions().ListFields():
        if option.full_name == RULES:
            return value
    return None


def _bytes(field: FieldDescriptor) -> st.SearchStrategy[bytes]:
    rules = _rules(field)
    free = st.binary(max_size=_LARGEST)
    if rules is None:
        return free
    if rules.bytes.len:
        return st.binary(min_size=rules.bytes.len, max_size=rules.bytes.len) | free
    least = min(rules.bytes.min_len, _LARGEST)
    return st.binary(min_size=least, max_size=max(least, _LARGEST)) | free


def _text(field: FieldDescriptor) -> st.SearchStrategy[str]:
    free = st.text(st.characters(exclude_categories=["Cs"]), max_size=_LARGEST)
    rules = _rules(field)
    if rules is not None and rules.string.pattern:
        return st.from_regex(rules.string.pattern, fullmatch=True) | free
    return st.from_regex(r"[0-9]{20}", fullmatch=True) | free

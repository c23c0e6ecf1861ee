"""Columns of values as PostgreSQL's arrays in binary (PostgreSQL, src/backend/utils/adt/arrayfuncs.c, array_recv).

Rows go to the server as one array per column and come out of ``unnest``: one statement for any number of rows, which
may share a round trip with others (COPY may not). The driver's own arrays cost four times as much.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any, ClassVar

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

_HEADER = struct.Struct(">iiIii")  # dimensions, whether there are nulls, type, length, first index
_LENGTH = struct.Struct(">i").pack
_INTEGER = struct.Struct(">iq").pack
_NULL = _LENGTH(-1)


class Column:
    """The values of one column for some rows; made by its subclasses from what Python has."""

    element: ClassVar[int]  # OIDs of PostgreSQL's own types never change
    array: ClassVar[int]
    __slots__ = ("data",)

    def __init__(self, values: Iterable[Any]) -> None:
        """Encode values, None among them."""
        parts = [_NULL if value is None else self._encode(value) for value in values]
        self.data = _HEADER.pack(1, 1, self.element, len(parts), 1) + b"".join(parts)

    def _encode(self, value: Any) -> bytes:
        raise NotImplementedError


class Integers(Column):
    """bigint[] of int."""

    element, array = 20, 1016
    __slots__ = ()

    def _encode(self, value: int) -> bytes:
        return _INTEGER(8, value)


class Bytes(Column):
    """bytea[] of bytes."""

    element, array = 17, 1001
    __slots__ = ()

    def _encode(self, value: bytes) -> bytes:
        return _LENGTH(len(value)) + value


class Texts(Column):
    """text[] of str."""

    element, array = 25, 1009
    __slots__ = ()

    def _encode(self, value: str) -> bytes:
        data = value.encode()
        return _LENGTH(len(data)) + data


def _dumper(column: type[Column]) -> type[Dumper]:
    class ColumnDumper(Dumper):
        format = Format.BINARY
        oid = column.array

        def dump(self, obj: Column) -> Buffer:
            return obj.data

    return ColumnDumper


def register(connection: psycopg.Connection[Any]) -> None:
    """Let a connection send columns."""
    for column in (Integers, Bytes, Texts):
        connection.adapters.register_dumper(column, _dumper(column))

"""The band of a signal, by what the signal itself says: its sender states it to the ledger, its recipient checks it."""

from __future__ import annotations

from functools import lru_cache

from google.protobuf.message import DecodeError

from consent_ledger import severity
from gateway.v1 import signals_pb2

_MONTHS = {
    signals_pb2.DURATION_BAND_UNDER_1_MONTH: 0,
    signals_pb2.DURATION_BAND_1_TO_2_MONTHS: 1,
    signals_pb2.DURATION_BAND_2_TO_3_MONTHS: 2,
    signals_pb2.DURATION_BAND_OVER_3_MONTHS: 3,
}


@lru_cache(maxsize=4096)
def severity_of(payload: bytes) -> int:
    """Return the band of Signal bytes, 1 to 4; 0 for what has none. Cached: a file says few different things."""
    try:
        signal = signals_pb2.Signal.FromString(payload)
    except DecodeError:
        return severity.NONE
    match signal.WhichOneof("body"):
        case "arrears":
            months = _MONTHS.get(signal.arrears.duration)
            return severity.NONE if months is None else severity.of_months(months)
        case "income_drop":
            return severity.of_drop(signal.income_drop.drop.low)
        case _:
            return severity.NONE

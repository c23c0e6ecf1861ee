"""How serious a signal is, in four bands that a resident can choose a threshold from (R4, R16).

The sender states the band of each signal to the ledger, sealed, so that the gateway does not learn it. The ledger knows
bands, and never what was measured; the recipient compares the band with what the signal itself says.
"""

from __future__ import annotations

from consent_ledger.purpose import Purpose, Text

LARGEST = 4
NONE = 0
"""Not stated: reaches no threshold."""

_ARREARS = (
    Text("een rekening die nog geen maand open staat", "a bill unpaid for less than a month"),
    Text("een rekening die 1 maand open staat", "a bill unpaid for 1 month"),
    Text("een rekening die 2 maanden open staat", "a bill unpaid for 2 months"),
    Text("een rekening die langer dan 3 maanden open staat", "a bill unpaid for more than 3 months"),
)
_INCOME_DROP = (
    Text("een kleine daling van uw inkomen", "a small fall in your income"),
    Text("een daling van uw inkomen van 10 procent of meer", "a fall in your income of 10 percent or more"),
    Text("een daling van uw inkomen van 25 procent of meer", "a fall in your income of 25 percent or more"),
    Text("een daling van uw inkomen van 50 procent of meer", "a fall in your income of 50 percent or more"),
)
_WORDS = {"ARREARS": _ARREARS, "INCOME_DROP": _INCOME_DROP}


def of_months(months_at_least: int) -> int:
    """Return the band of a bill unpaid for at least so many whole months."""
    return min(max(months_at_least, 0), 3) + 1


def of_drop(percent_at_least: int) -> int:
    """Return the band of an income that fell by at least so many percent."""
    return sum(percent_at_least >= bound for bound in (0, 10, 25, 50))


def words(purpose: Purpose, severity: int) -> Text | None:
    """Return what a band means for a purpose, as the end of "share only from ..."; None when it has no such band."""
    known = _WORDS.get(purpose.signal_type, ())
    return known[severity - 1] if 0 < severity <= len(known) else None


def bands(purpose: Purpose) -> int:
    """Return how many bands a threshold can be chosen from for a purpose; 0: its signals have none."""
    return len(_WORDS.get(purpose.signal_type, ()))

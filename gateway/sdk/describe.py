"""Signals and preferences as plain values, in the words of the files and of DDAS."""

from __future__ import annotations

from typing import Any

from consent_ledger.v1 import events_pb2
from gateway.v1 import signals_pb2

PARTNERS = {
    signals_pb2.PARTNER_KIND_ENERGIE: "Energie",
    signals_pb2.PARTNER_KIND_HUUR: "Huur",
    signals_pb2.PARTNER_KIND_HYPOTHEEK: "Hypotheek",
    signals_pb2.PARTNER_KIND_CAK_ZORGVERZEKERINGEN: "CAK Zorgverzekeringen",
    signals_pb2.PARTNER_KIND_ZORG: "Zorg",
    signals_pb2.PARTNER_KIND_WATER: "Water",
    signals_pb2.PARTNER_KIND_DUO: "DUO",
    signals_pb2.PARTNER_KIND_BELASTINGDIENST: "Belastingdienst",
    signals_pb2.PARTNER_KIND_CAK_EIGEN_BIJDRAGE: "CAK Eigen bijdrage",
    signals_pb2.PARTNER_KIND_OVERIGE: "Overige",
    signals_pb2.PARTNER_KIND_DIENST_TOESLAGEN: "Dienst Toeslagen",
}
DURATIONS = {
    signals_pb2.DURATION_BAND_UNDER_1_MONTH: "<1",
    signals_pb2.DURATION_BAND_1_TO_2_MONTHS: "1-2",
    signals_pb2.DURATION_BAND_2_TO_3_MONTHS: "2-3",
    signals_pb2.DURATION_BAND_OVER_3_MONTHS: ">3",
}
PARTNER_OF_KIND = {
    "energy_supplier": signals_pb2.PARTNER_KIND_ENERGIE,
    "tax_office": signals_pb2.PARTNER_KIND_BELASTINGDIENST,
}
CHANNELS: dict[str, events_pb2.Channel.ValueType] = {
    name.removeprefix("CHANNEL_").lower(): number for name, number in events_pb2.Channel.items() if number
}
"""Names of channels (brief, email, telefoon, ...) to their numbers."""

_DETAILS = {events_pb2.DETAIL_SHORT: "short", events_pb2.DETAIL_FULL: "full"}
_CHANNEL_NAMES = {number: name for name, number in CHANNELS.items()}


def partner_kind(kind: str) -> signals_pb2.PartnerKind.ValueType:
    """Return the DDAS partner kind of a kind of participant."""
    return PARTNER_OF_KIND.get(kind, signals_pb2.PARTNER_KIND_OVERIGE)


def signal_values(signal: signals_pb2.Signal) -> dict[str, Any]:
    """Return a signal as JSON-ready values with its ``type``."""
    if signal.HasField("arrears"):
        arrears = signal.arrears
        return {
            "type": "arrears",
            "partner": PARTNERS.get(arrears.partner, "Overige"),
            "months": DURATIONS.get(arrears.duration, ""),
            "end_of_supply": arrears.end_of_supply,
            "warm_handover": arrears.warm_handover,
            "signal_date": arrears.signal_date,
            "steps": [signals_pb2.Step.Name(step).removeprefix("STEP_").lower() for step in arrears.steps],
        }
    drop = signal.income_drop.drop
    return {"type": "income_drop", "drop_band": f"{drop.low}-{drop.high}", "period": signal.income_drop.period}


def preference_values(preferences: events_pb2.Preferences) -> dict[str, Any]:
    """Return contact preferences as JSON-ready values; until chosen: letter only (R26)."""
    return {
        "channels": [_CHANNEL_NAMES[channel] for channel in preferences.channels] or ["brief"],
        "never": [_CHANNEL_NAMES[channel] for channel in preferences.never],
        "language": preferences.language or "nl",
        "same_person": preferences.same_person,
        "general_only": preferences.general_only,
        "form_of_address": preferences.form_of_address or "u",
        "answer_days": preferences.answer_days,
        "quiet": [events_pb2.QuietTime.Name(time).removeprefix("QUIET_TIME_").lower() for time in preferences.quiet],
        "companion": preferences.companion,
        "detail": _DETAILS.get(preferences.detail, ""),
        "neutral_envelope": preferences.neutral_envelope,
        "one_offer": preferences.one_offer,
    }

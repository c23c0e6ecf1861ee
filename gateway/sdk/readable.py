"""A signal in words for the resident it is about, in both languages: plain, nothing that was not said (R16, R18)."""

from __future__ import annotations

from consent_ledger.purpose import Text
from consent_ledger.v1 import consents_pb2
from gateway.v1 import signals_pb2

_DURATIONS = {
    signals_pb2.DURATION_BAND_UNDER_1_MONTH: Text("Korter dan 1 maand", "Less than 1 month"),
    signals_pb2.DURATION_BAND_1_TO_2_MONTHS: Text("1 tot 2 maanden", "1 to 2 months"),
    signals_pb2.DURATION_BAND_2_TO_3_MONTHS: Text("2 tot 3 maanden", "2 to 3 months"),
    signals_pb2.DURATION_BAND_OVER_3_MONTHS: Text("Langer dan 3 maanden", "More than 3 months"),
}
_STEPS = {
    signals_pb2.STEP_REMINDER: Text("u kreeg een herinnering", "you were sent a reminder"),
    signals_pb2.STEP_CONTACT: Text("er is contact met u gezocht", "you were contacted"),
    signals_pb2.STEP_HELP_POINTED: Text("u bent gewezen op hulp", "you were told about help"),
    signals_pb2.STEP_OFFER_MADE: Text("u kreeg een voorstel", "you were made an offer"),
}
_YES, _NO = Text("Ja", "Yes"), Text("Nee", "No")


def lines_of(signal: signals_pb2.Signal) -> list[consents_pb2.CopyLine]:
    """Return what a signal says, one line for each thing."""
    if signal.HasField("arrears"):
        return _arrears(signal.arrears)
    drop = signal.income_drop.drop
    return [
        _line(
            Text("Uw inkomen is gedaald met", "Your income fell by"),
            Text(f"{drop.low} tot {drop.high} procent", f"{drop.low} to {drop.high} percent"),
        ),
        _line(Text("Periode", "Period"), Text(signal.income_drop.period, signal.income_drop.period)),
    ]


def _arrears(arrears: signals_pb2.ArrearsSignal) -> list[consents_pb2.CopyLine]:
    lines = [
        _line(Text("Zo lang is er een achterstand", "How long a bill has been unpaid"), _DURATIONS[arrears.duration]),
        _line(Text("De levering stopt misschien", "The supply may be stopped"), _YES if arrears.end_of_supply else _NO),
        _line(
            Text("U wilt dat iemand u voorstelt", "You want to be introduced"), _YES if arrears.warm_handover else _NO
        ),
        _line(Text("Datum van het signaal", "Date of the signal"), Text(arrears.signal_date, arrears.signal_date)),
    ]
    if arrears.steps:
        steps = [_STEPS[step] for step in arrears.steps]
        value = Text("; ".join(step.nl for step in steps), "; ".join(step.en for step in steps))
        lines.append(_line(Text("Wat er al is gedaan", "What was done already"), value))
    return lines


def _line(label: Text, value: Text) -> consents_pb2.CopyLine:
    return consents_pb2.CopyLine(label=label.to_proto(), value=value.to_proto())

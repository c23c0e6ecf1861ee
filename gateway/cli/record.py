"""How `regie consent list` shows what the ledger holds about a resident."""

from __future__ import annotations

from typing import Any

from consent_ledger.registry import Registry
from consent_ledger.v1 import consents_pb2, events_pb2
from gateway.cli.common import day, moment
from gateway.cli.output import Output
from gateway.sdk.describe import CHANNELS, preference_values


def show(output: Output, record: consents_pb2.GetRecordResponse, registry: Registry) -> None:
    """Print choices and exchanges: a table each, or one JSON object."""
    choices = [_choice(choice) for choice in record.choices]
    exchanges = [_exchange(exchange) for exchange in record.exchanges]
    output.table(
        "Keuzes",
        ("doel", "van -> naar", "antwoord", "tot", "gestopt"),
        [
            (
                choice.scope.purpose,
                _between(registry, choice.scope.sender, choice.scope.recipient),
                events_pb2.Mode.Name(choice.mode).removeprefix("MODE_"),
                day(choice.valid_until_ms),
                day(choice.withdrawn_ms),
            )
            for choice in record.choices
        ],
    )
    output.table(
        "Uitwisselingen",
        ("dag", "van -> naar", "wat er gebeurde"),
        [
            (day(e.time_ms), _between(registry, e.sender, e.recipient), _text(e, registry, "nl"))
            for e in record.exchanges
        ],
    )
    paused = {"since": moment(record.paused_since_ms), "until": moment(record.paused_until_ms)}
    values = {
        "choices": choices,
        "exchanges": [
            {**values, "text": {"nl": _text(e, registry, "nl"), "en": _text(e, registry, "en")}}
            for values, e in zip(exchanges, record.exchanges, strict=True)
        ],
        "paused": paused if record.paused_since_ms else None,
        "preferences": preference_values(record.preferences),
    }
    lines = [] if choices or exchanges else ["Er is nog niets gekozen, en er is niets gedeeld."]
    if record.paused_since_ms:
        lines.append(f"Alles staat op pauze sinds {day(record.paused_since_ms)}.")
    output.result(values, lines)


def _choice(choice: consents_pb2.ChoiceRecord) -> dict[str, Any]:
    return {
        "sender": choice.scope.sender,
        "recipient": choice.scope.recipient,
        "purpose": choice.scope.purpose,
        "answer": events_pb2.Mode.Name(choice.mode).removeprefix("MODE_"),
        "items": list(choice.items),
        "valid_from": moment(choice.valid_from_ms),
        "valid_until": moment(choice.valid_until_ms),
        "withdrawn": moment(choice.withdrawn_ms),
        "recorded": moment(choice.recorded_ms),
        "log_index": choice.log_index,
    }


def _exchange(exchange: consents_pb2.ExchangeRecord) -> dict[str, Any]:
    withheld = exchange.withheld_reason
    return {
        "log_index": exchange.log_index,
        "time": moment(exchange.time_ms),
        "sender": exchange.sender,
        "recipient": exchange.recipient,
        "purpose": exchange.purpose,
        "items": list(exchange.items),
        "reason": _reason(exchange.reason),
        "released_index": exchange.released_index or None,
        "withheld_reason": _reason(withheld) if withheld else None,
        "received": moment(exchange.acknowledged_ms) or None,
        "outcome": _outcome(exchange.outcome) if exchange.outcome_index else None,
    }


def _outcome(outcome: events_pb2.OutcomeReported) -> dict[str, Any]:
    """Return what the recipient did (R22), and in what it did otherwise than the resident asked (R35)."""
    names = {number: name for name, number in CHANNELS.items()}
    return {
        "offer": outcome.offer,
        "channel": names.get(outcome.channel),
        "when": moment(outcome.when_ms),
        "deviations": [
            events_pb2.Deviation.Name(deviation).removeprefix("DEVIATION_").lower() for deviation in outcome.deviations
        ],
    }


def _reason(reason: events_pb2.Reason.ValueType) -> str:
    return events_pb2.Reason.Name(reason).removeprefix("REASON_")


def _between(registry: Registry, sender: str, recipient: str) -> str:
    return f"{_name(registry, sender)} -> {_name(registry, recipient)}"


def _name(registry: Registry, oin: str) -> str:
    participant = registry.find_participant(oin)
    return participant.name if participant else oin


def _text(exchange: consents_pb2.ExchangeRecord, registry: Registry, language: str) -> str:
    text: str = getattr(exchange.text, language)
    return text.replace("{org}", _name(registry, exchange.sender))

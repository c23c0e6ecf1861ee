"""The national data model for early debt signals (VNG DDAS vroegsignalering, v1.2): its words, and a delivery to CBS.

A delivery is what a municipality (or its supplier) hands to Statistics Netherlands, not a message of a sender. It is
made of what Regie holds (released arrears signals, reported outcomes) and of the municipality's own register, by whose
references Regie knows residents: Regie itself has no address and no number of anybody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from consent_ledger.dates import local_time
from gateway.sdk.describe import PARTNERS
from gateway.sdk.outcomestore import Reported
from gateway.sdk.rows import Resident
from gateway.v1 import signals_pb2

NOT_PICKED_UP = (
    "Inwoner al bekend bij schuldhulpverlening",
    "Inwoner is overleden",
    "Niet opgepakt: andere reden",
    "Niet opgepakt: herhaalde melding",
    "Niet opgepakt: onterecht signaal",
    "Persoon is geen inwoner (meer) in de gemeente",
)
"""Results that are a status of a signal as well: there is no case."""

RESULTS = (
    *NOT_PICKED_UP,
    "(Budget)advies en/of quick fix",
    "Definitief geen contact kunnen krijgen",
    "Geen reactie na eerder contact",
    "Inwoner heeft al een ander lopend traject",
    "Inwoner heeft zelf al betaald/betalingsregeling getroffen",
    "Inwoner regelt het zelf/hoeft geen hulp vanuit vroegsignalering",
    "Vervolghulp en/of verwijzing",
    "Vervolghulp en/of verwijzing financieel",
    "Vervolghulp en/of verwijzing niet financieel",
    "Verwijzing zonder tussenkomst inwoner",
)
"""EnumEindresultaat of v1.2."""

RESULTS_BEFORE = {
    "Inwoner hoeft geen hulp vanuit vroegsignalering": (
        "Inwoner regelt het zelf/hoeft geen hulp vanuit vroegsignalering"
    ),
    "Verwijzing zonder contact": "Verwijzing zonder tussenkomst inwoner",
}
"""What v0.9 called two of them: both are read, v1.2 is written."""

PARTS_OF_DAY = {"Ochtend": 9, "Middag": 14, "Avond": 19}
"""EnumDagdeel, each with an hour of it."""

CONTACTS = {
    "": "Administratief",
    "brief": "Brief",
    "email": "Mail",
    "telefoon": "Telefoon",
    "whatsapp": "SMS/Whatsapp",
    "sms": "SMS/Whatsapp",
    "chat": "Overige",
    "gesprek_op_kantoor": "Afspraak op locatie",
    "huisbezoek": "Huisbezoek",
}
"""Channels by their names, as EnumContactsoort."""

NOT_TAKEN_UP, TAKEN_UP = "Nog niet opgepakt", "Opgepakt"


@dataclass(frozen=True, slots=True)
class Header:
    """What a delivery says about itself. ``municipality`` is the CBS code, 4 digits; dates are included."""

    municipality: str
    organisation: str
    supplier: str
    first: date
    last: date
    kvk: str = ""


@dataclass(frozen=True, slots=True)
class Signalled:
    """One released arrears signal about a resident of the register, and what was done with it, in order of time."""

    delivery_id: str
    arrears: signals_pb2.ArrearsSignal
    resident: Resident
    outcomes: Sequence[Reported]


def delivery(header: Header, signals: Sequence[Signalled], now_ms: int) -> dict[str, Any]:
    """Return a delivery, JSON-ready, valid against the schema of v1.2."""
    organisation = {"naam": header.organisation} | ({"kvk-nummer": header.kvk} if header.kvk else {})
    cases = [case for signal in signals if (case := _case(signal)) is not None]
    return {
        "startdatumLevering": header.first.isoformat(),
        "einddatumLevering": header.last.isoformat(),
        "aanleverdatumEnTijd": datetime.fromtimestamp(now_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "codeGegevensleverancier": header.supplier,
        "leveringen": [
            {
                "teller": 1,
                "gemeentecode": header.municipality,
                "aanleverendeOrganisatie": organisation,
                "vroegsignalen": [_signal(signal) for signal in signals],
                "vroegsignaalzaken": cases,
            }
        ],
    }


def _signal(signal: Signalled) -> dict[str, Any]:
    """No amount and no date on which it began: neither was shared (R16)."""
    arrears = signal.arrears
    return {
        "ID": signal.delivery_id,
        "crisissignaal": arrears.end_of_supply,
        "warmeOverdracht": arrears.warm_handover,
        "signaaldatum": arrears.signal_date,
        "status": status(signal.outcomes),
        "signaalpartner": {"type": PARTNERS.get(arrears.partner, "Overige")},
        "client": client(signal.resident),
    }


def status(outcomes: Sequence[Reported]) -> str:
    """Return the status of a signal by what was done with it."""
    if not outcomes:
        return NOT_TAKEN_UP
    result = _result(outcomes)
    return result if result in NOT_PICKED_UP else TAKEN_UP


def _result(outcomes: Sequence[Reported]) -> str:
    return next((outcome.result for outcome in reversed(outcomes) if outcome.result), "")


def client(resident: Resident) -> dict[str, str]:
    """Return who it is about in as few data as the schema lets: the BSN alone, else address and birth date."""
    if resident.bsn is not None:
        return {"burgerservicenummer": resident.bsn.number}
    address = resident.address
    assert address is not None, "a resident of a register has an identifier"
    # The model has no field for a house letter: it stands before the addition.
    addition = address.house_letter + address.house_addition
    return {
        "geboortedatum": address.birth_date,
        "postcode": address.postcode,
        "huisnummer": address.house_number,
    } | ({"huisnummertoevoeging": addition} if addition else {})


def _case(signal: Signalled) -> dict[str, Any] | None:
    """Return the case of a signal that was taken up."""
    if status(signal.outcomes) != TAKEN_UP:
        return None
    result = _result(signal.outcomes)
    return ({"resultaat": result} if result else {}) | {
        "datumOpgepakt": _day(signal.outcomes[0]),
        "vroegsignalen": [{"ID": signal.delivery_id}],
        "contactpogingen": [_contact(outcome) for outcome in signal.outcomes],
    }


def _contact(outcome: Reported) -> dict[str, Any]:
    known: dict[str, Any] = {"soort": CONTACTS.get(outcome.channel, "Overige"), "datum": _day(outcome)}
    if outcome.reached is not None:
        known["bereikt"] = outcome.reached
    if outcome.part_of_day:
        known["dagdeel"] = outcome.part_of_day
    return known


def _day(outcome: Reported) -> str:
    return local_time(outcome.when_ms).date().isoformat()

"""Consent receipts: the fields of ISO/IEC TS 27560:2023 by their own names, with DPV 2.3 as their meaning (JSON-LD).

The profile is https://w3id.org/dpv/schema/dpv-27560#record; the context stands in the file, so that reading it needs no
network. No name and no identifier of the resident is in it: the viewer knows neither.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from consent_ledger.registry import Registry
from consent_ledger.v1 import consents_pb2
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.viewer.catalogue import Language, Words
from consent_ledger.viewer.parties import Party
from consent_ledger.viewer.telling import Choice, tell_choices

PROFILE = "https://w3id.org/dpv/schema/dpv-27560#record"
CONTEXT: dict[str, Any] = {
    "dct": "http://purl.org/dc/terms/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "skos": "http://www.w3.org/2004/02/skos/core#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
    "dpv": "https://w3id.org/dpv#",
    "pd": "https://w3id.org/dpv/pd#",
    "loc": "https://w3id.org/dpv/loc#",
    "eu-gdpr": "https://w3id.org/dpv/legal/eu/gdpr#",
    "schema_version": {"@id": "dct:conformsTo", "@type": "@id"},
    "record_id": "dct:identifier",
    "pii_principal_id": {"@id": "dpv:hasDataSubject", "@type": "@id"},
    "notice": {"@id": "dpv:hasNotice"},
    "language": "dct:language",
    "processing": "dpv:hasProcess",
    "purpose": "dpv:hasPurpose",
    "purpose_type": {"@id": "skos:broader", "@type": "@id"},
    "lawful_basis": "dpv:hasLegalBasis",
    "pii_information": "dpv:hasPersonalData",
    "pii_controllers": "dpv:hasDataController",
    "recipient_third_parties": "dpv:hasRecipientThirdParty",
    "storage_locations": {"@id": "dpv:hasLocation", "@type": "@id"},
    "retention_period": "dpv:hasStorageCondition",
    "jurisdiction": {"@id": "dpv:hasJurisdiction", "@type": "@id"},
    "withdrawal_method": {"@id": "dpv:isExercisedAt", "@type": "@id"},
    "events": "dpv:hasConsentStatus",
    "event_state": "@type",
    "event_time": {"@id": "dpv:isIndicatedAtTime", "@type": "xsd:dateTime"},
    "event_type": "dpv:hasIndicationMethod",
    "entity_id": {"@id": "dpv:isIndicatedBy", "@type": "@id"},
    "validity_duration": "dpv:hasDuration",
    "label": "rdfs:label",
    "value": "rdf:value",
}
_PURPOSES = {
    "ARREARS": "https://w3id.org/dpv/sector/finance#DebtManagement",
    "INCOME_DROP": "https://w3id.org/dpv/sector/publicservices#SocialWelfareEligibilityAssessment",
}
_PERSONAL_DATA = {"inkomen_gedaald": "pd:Income"}
_FINANCIAL = "pd:Financial"
"""Broader than every item without a term of its own: DPV has none for an unpaid bill."""
_STATES: dict[str, str] = {
    "active": "dpv:ConsentGiven",
    "ends": "dpv:ConsentGiven",
    "starts": "dpv:ConsentGiven",
    "confirm": "dpv:ConsentRequested",
    "stopped": "dpv:ConsentWithdrawn",
    "ended": "dpv:ConsentExpired",
    "no": "dpv:ConsentRefused",
}


def receipts(
    registry: Registry, choices: Iterable[consents_pb2.ChoiceRecord], words: Words, origin: str, now_ms: int
) -> dict[str, Any]:
    """Return a receipt per choice, as one JSON-LD document; ``origin`` is where choices are withdrawn."""
    told = tell_choices(registry, choices, now_ms)
    return {"@context": CONTEXT, "@graph": [_record(each, words, origin) for each in told]}


def iso(time_ms: int) -> str:
    """Write a moment as ISO 8601 in UTC."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _record(choice: Choice, words: Words, origin: str) -> dict[str, Any]:
    record, language = choice.record, words.language
    place = f"{origin}/{language}/mijn/toestemmingen/{record.log_index}"
    return {
        "@id": f"urn:regie:entry:{record.log_index}",
        "@type": "dpv:ConsentRecord",
        "schema_version": PROFILE,
        "record_id": str(record.log_index),
        "pii_principal_id": "urn:regie:subject:self",
        "language": language,
        "jurisdiction": "loc:NL",
        "notice": {"@type": "dpv:ConsentNotice", "@id": place},
        "pii_controllers": [_party(choice.sender), _party(choice.recipient)],
        "recipient_third_parties": [_party(choice.recipient)],
        "withdrawal_method": place,
        "processing": _process(choice, language),
        "events": _events(choice, words),
    }


def _process(choice: Choice, language: Language) -> dict[str, Any]:
    purpose, record = choice.purpose, choice.record
    kind = _PURPOSES.get(purpose.signal_type, "") if purpose else ""
    process: dict[str, Any] = {
        "@type": "dpv:Process",
        "purpose": {
            "@id": f"urn:regie:purpose:{record.scope.purpose}:{record.scope.purpose_version}",
            "label": getattr(choice.title, language),
            **({"purpose_type": kind} if kind else {}),
        },
        "lawful_basis": [{"@id": "eu-gdpr:A6-1-a"}],
        "pii_information": [
            {
                "@id": f"urn:regie:item:{name}",
                "@type": _PERSONAL_DATA.get(name, _FINANCIAL),
                "label": getattr(label, language),
            }
            for name, label in _items(choice)
        ],
        "storage_locations": ["loc:NL"],
    }
    if purpose:
        process["lawful_basis"].append({"label": getattr(purpose.legal_ground, language)})
        days = {"@type": "dpv:TemporalDuration", "value": f"P{purpose.retention_days}D"}
        process["retention_period"] = {"@type": "dpv:StorageDuration", "validity_duration": days}
    return process


def _items(choice: Choice) -> Iterable[tuple[str, Any]]:
    names = choice.record.items or [item.name for item in choice.purpose.items] if choice.purpose else ()
    return zip(names, choice.items, strict=False)


def _events(choice: Choice, words: Words) -> list[dict[str, Any]]:
    """Return what happened to the choice, oldest first: said, and then stopped or over."""
    record = choice.record
    first = "dpv:ConsentRefused" if record.mode == pb.MODE_NEE else "dpv:ConsentGiven"
    if choice.state == "confirm":
        first = _STATES["confirm"]
    events = [_event(first, record.recorded_ms, _via(record, words))]
    if record.valid_until_ms:
        span = f"{iso(record.valid_from_ms)}/{iso(record.valid_until_ms)}"
        events[0]["validity_duration"] = {"@type": "dpv:TemporalDuration", "value": span}
    if choice.state == "stopped":
        events.append(_event(_STATES["stopped"], record.withdrawn_ms, words.text("download.event_stopped")))
    elif choice.state == "ended":
        events.append(_event(_STATES["ended"], record.valid_until_ms, words.text("download.event_ended")))
    return events


def _event(state: str, time_ms: int, method: str) -> dict[str, Any]:
    return {"event_state": state, "event_time": iso(time_ms), "event_type": method, "entity_id": "dpv:DataSubject"}


def _via(record: consents_pb2.ChoiceRecord, words: Words) -> str:
    return words.text(f"download.event_via_{record.captured_via}")


def _party(party: Party) -> dict[str, str]:
    return {"@id": f"urn:oin:{party.oin}", "@type": "dpv:LegalEntity", "label": party.name}

"""The fold of public events, the catalogue, and operators that must be apart."""

import re
from dataclasses import fields

import pytest

from consent_ledger.errors import RegieError
from consent_ledger.log.cosignature import MlDsa44Signer
from consent_ledger.log.note import Signer
from consent_ledger.purposes import CATALOGUE, Purpose, Text
from consent_ledger.registry import Registry, check_separation
from consent_ledger.v1 import events_pb2 as pb
from tests.support.ledger import (
    ARREARS,
    CITY,
    GATEWAY,
    KINDS,
    LEDGER,
    PSEUDONYMS,
    SIGNER,
    SUPPLIER,
    VIEWER,
    first_events,
    key_id,
)

FORBIDDEN = (
    "schuldenaar|wanbetaler|wanbetaling|probleemgeval|problematische schulden|in gebreke|verwijtbaar|risicoburger|"
    "doelgroep|dient te|middels|indien|reeds"
)


def fold(*bodies: dict) -> Registry:
    events = first_events() + [pb.PublicEvent(**body) for body in bodies]
    for sequence, event in enumerate(events, 1):
        event.sequence = sequence
    return Registry.fold(enumerate(events))


def refused(call) -> str:
    with pytest.raises(RegieError) as caught:
        call()
    return caught.value.reason


def test_participants_keys_and_purposes():
    registry = fold()
    assert [p.oin for p in registry.participants] == sorted(KINDS)
    city = registry.participant(CITY)
    assert (city.kind, city.name, city.suspended) == ("municipality", "Organisatie 21", False)
    assert city.key("sign").key_id == key_id(CITY, "sign")
    assert city.key("hpke") == city.key_by_id(key_id(CITY, "hpke"))
    assert registry.operator("ledger").oin == LEDGER
    assert registry.purposes == CATALOGUE
    assert len(registry.log_keys) == 1
    assert refused(lambda: registry.participant("9" * 20)) == "PARTY_UNKNOWN"
    assert refused(lambda: registry.purpose("anders")) == "PURPOSE_UNKNOWN"
    assert refused(lambda: registry.operator("auditor")) == "PARTY_UNKNOWN"
    assert refused(lambda: registry.operator("municipality")) == "PARTY_UNKNOWN"  # there are two


def test_keys_are_rotated_and_retired_ones_never_used():
    new = pb.ParticipantKey(key_id=b"newkey01", usage=pb.KEY_USAGE_SIGN_ED25519, public_key=b"n" * 32)
    added = {"participant_key_added": pb.ParticipantKeyAdded(oin=CITY, key=new, signature=b"s")}
    retired = {"participant_key_retired": pb.ParticipantKeyRetired(oin=CITY, key_id=key_id(CITY, "sign"))}
    city = fold(added).participant(CITY)
    assert city.key("sign").key_id == b"newkey01"
    assert city.key_by_id(key_id(CITY, "sign"))  # overlap
    city = fold(added, retired).participant(CITY)
    assert refused(lambda: city.key_by_id(key_id(CITY, "sign"))) == "KEY_UNKNOWN"
    assert refused(lambda: fold(retired).participant(CITY).key("sign")) == "KEY_UNKNOWN"
    assert refused(lambda: fold(retired, retired)) == "KEY_UNKNOWN"
    assert refused(lambda: fold(added, added)) == "FIELD_INVALID"


def test_events_change_no_registry_that_somebody_holds():
    before = fold()
    after = before.apply(
        99,
        pb.PublicEvent(
            sequence=before.sequence + 1, participant_suspended=pb.ParticipantSuspended(oin=SUPPLIER, ground="x")
        ),
    )
    assert not before.participant(SUPPLIER).suspended
    assert after.participant(SUPPLIER).suspended


@pytest.mark.parametrize("sequence", [0, 1, 10_000])
def test_a_gap_in_the_public_events_shows(sequence):
    registry = fold()
    assert refused(lambda: registry.apply(9, pb.PublicEvent(sequence=sequence))) == "PROOF_INVALID"


def test_events_that_refer_to_nothing_cannot_be_published():
    for body, reason in (
        ({"participant_suspended": pb.ParticipantSuspended(oin="9" * 20)}, "PARTY_UNKNOWN"),
        ({"participant_key_added": pb.ParticipantKeyAdded(oin="9" * 20)}, "PARTY_UNKNOWN"),
        ({"participant_key_added": pb.ParticipantKeyAdded(oin=CITY)}, "FIELD_INVALID"),
        ({"purpose_retired": pb.PurposeRetired(id="anders", version=1)}, "PURPOSE_UNKNOWN"),
        ({"purpose_retired": pb.PurposeRetired(id=ARREARS, version=2)}, "PURPOSE_UNKNOWN"),
        ({"purpose_published": pb.PurposePublished(purpose=CATALOGUE[0].to_proto())}, "FIELD_INVALID"),
        ({}, "FIELD_INVALID"),
    ):
        assert refused(lambda body=body: fold(body)) == reason


def test_registering_again_keeps_keys_and_lifts_a_suspension():
    again = pb.ParticipantRegistered(oin=CITY, kind=pb.PARTICIPANT_KIND_MUNICIPALITY, name="Nieuwe naam", population=9)
    registry = fold({"participant_suspended": pb.ParticipantSuspended(oin=CITY)}, {"participant_registered": again})
    city = registry.participant(CITY)
    assert (city.name, city.population, city.suspended, len(city.keys)) == ("Nieuwe naam", 9, False, 2)


# -- the catalogue --------------------------------------------------------------------------------------------------


def test_the_catalogue_is_that_of_the_product():
    assert [(p.id, p.prohibited) for p in CATALOGUE] == [
        ("vroegsignalering-energie", False),
        ("regelingen-bij-inkomensdaling", False),
        ("gerichte-advertentie", True),
        ("handhaving", True),
        ("fraudeopsporing", True),
        ("incasso", True),
        ("profilering", True),
    ]
    assert all(Purpose.from_proto(p.to_proto()) == p for p in CATALOGUE)
    assert "inkomen_bedrag" not in CATALOGUE[1].item_names


def texts(purpose: Purpose) -> list[Text]:
    found = [getattr(purpose, field.name) for field in fields(purpose)]
    return [each for each in found if isinstance(each, Text)] + [item.label for item in purpose.items]


@pytest.mark.parametrize("purpose", CATALOGUE, ids=lambda p: p.id)
def test_texts_are_in_both_languages_and_do_not_blame(purpose):
    """R39, R40; short sentences, since B1 readers read them."""
    for text in texts(purpose):
        assert bool(text.nl) == bool(text.en)
        assert not re.search(FORBIDDEN, text.nl, re.IGNORECASE)
        assert purpose.prohibited or "fraude" not in text.nl.lower()
        assert all(len(sentence.split()) <= 20 for sentence in text.nl.split("."))
    assert bool(purpose.prohibited_because.nl) == purpose.prohibited


# -- operators ------------------------------------------------------------------------------------------------------


def register(oin: str, kind: int, name: str = "", certificate: bytes = b"") -> dict:
    who = pb.ParticipantRegistered(oin=oin, kind=kind, name=name or f"Nieuw {oin}", certificate=certificate)
    return {"participant_registered": who}


def test_separate_operators_pass():
    check_separation(fold())
    check_separation(fold(register("8" * 20, KINDS[GATEWAY], "Tweede poort")))


@pytest.mark.parametrize(
    ("oin", "kind"),
    [
        (PSEUDONYMS, GATEWAY),
        (GATEWAY, PSEUDONYMS),
        (PSEUDONYMS, LEDGER),
        (PSEUDONYMS, CITY),
        (PSEUDONYMS, SUPPLIER),
        (PSEUDONYMS, VIEWER),
        (LEDGER, CITY),
        (LEDGER, VIEWER),
        (LEDGER, SUPPLIER),
        (GATEWAY, SUPPLIER),
        (GATEWAY, VIEWER),
    ],
)
@pytest.mark.parametrize("mark", ["oin", "name", "certificate", "key"])
def test_one_organisation_in_two_roles_is_found(oin, kind, mark):
    registry = fold()
    other = "8" * 20
    body = {
        "oin": [register(oin, KINDS[kind])],
        "name": [register(other, KINDS[kind], registry.participant(oin).name.upper() + " ")],
        "certificate": [register(other, KINDS[kind], certificate=registry.participant(oin).certificate)],
        "key": [
            register(other, KINDS[kind]),
            {
                "participant_key_added": pb.ParticipantKeyAdded(
                    oin=other,
                    key=pb.ParticipantKey(
                        key_id=b"samekey1",
                        usage=pb.KEY_USAGE_SIGN_ED25519,
                        public_key=registry.participant(oin).key("sign").public,
                    ),
                )
            },
        ],
    }[mark]
    assert refused(lambda: check_separation(fold(*body))) == "OPERATORS_NOT_SEPARATE"
    if mark != "oin":
        check_separation(fold(*body, {"participant_suspended": pb.ParticipantSuspended(oin=other)}))


def test_gateway_and_ledger_may_be_one_operator_and_so_may_gateway_and_municipality():
    check_separation(fold(register("8" * 20, KINDS[LEDGER], fold().participant(GATEWAY).name)))
    check_separation(fold(register("8" * 20, KINDS[CITY], fold().participant(GATEWAY).name)))


def log_key(seed: int, name: str = SIGNER.name) -> str:
    return Signer(name, bytes([seed]) * 32).verifier.format()


def log_added(key: str) -> dict[str, pb.LogKeyAdded]:
    return {"log_key_added": pb.LogKeyAdded(verifier_key=key)}


def log_retired(key: str) -> dict[str, pb.LogKeyRetired]:
    return {"log_key_retired": pb.LogKeyRetired(verifier_key=key)}


def test_keys_of_the_log_come_and_go_and_none_returns():
    first, new = SIGNER.verifier.format(), log_key(9)
    quantum = MlDsa44Signer(SIGNER.name, bytes(32)).verifier.format()
    registry = fold(log_added(new), log_added(quantum), log_added(new))
    assert (registry.log_keys, registry.retired_log_keys) == ((first, new, quantum), ())
    registry = fold(log_added(new), log_added(quantum), log_retired(first), log_retired(quantum))
    assert (registry.log_keys, registry.retired_log_keys) == ((new,), (first, quantum))
    assert refused(lambda: fold(log_added(new), log_retired(first), log_added(first))) == "FIELD_INVALID"
    assert refused(lambda: fold(log_retired(new))) == "KEY_UNKNOWN"
    assert refused(lambda: fold(log_added(new), log_retired(first), log_retired(first))) == "KEY_UNKNOWN"


def test_what_is_no_key_of_this_log():
    quantum = MlDsa44Signer(SIGNER.name, bytes(32)).verifier.format()
    for odd in ("", "hello", log_key(9, "another.example/log"), log_key(9)[:-2], SIGNER.format()):
        assert refused(lambda odd=odd: fold(log_added(odd))) == "FIELD_INVALID"
    # Without an Ed25519 key the witness network would not know the log.
    last = SIGNER.verifier.format()
    assert refused(lambda: fold(log_retired(last))) == "FIELD_INVALID"
    assert refused(lambda: fold(log_added(quantum), log_retired(last))) == "FIELD_INVALID"

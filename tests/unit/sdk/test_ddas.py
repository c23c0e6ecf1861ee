"""A municipality's delivery to CBS: valid against VNG's schema of v1.2, and nothing in it that was not shared."""

import json
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from gateway.crypto.identifiers import AddressBirthDate, Bsn
from gateway.sdk import ddas, describe
from gateway.sdk.outcomestore import Reported
from gateway.sdk.rows import Resident
from gateway.v1 import signals_pb2
from tests.support.people import bsn
from tests.support.shared import ddas_file

NOW = 1_795_000_000_000
HEADER = ddas.Header("0344", "Gemeente Zonneveen", "00000099000000007001", date(2026, 10, 1), date(2026, 10, 31))
ADDRESS = AddressBirthDate("1234AB", "10", "A", "BIS", "1980-02-29")
BY_ADDRESS, BY_BSN = Resident(None, ADDRESS), Resident(Bsn(bsn(3)), ADDRESS)


@pytest.fixture(scope="module")
def schema():
    return Draft202012Validator(
        ddas_file("v1.2", "json_schema_Uitwisselmodel.json"), format_checker=Draft202012Validator.FORMAT_CHECKER
    )


def arrears(**fields) -> signals_pb2.ArrearsSignal:
    values = {
        "partner": signals_pb2.PARTNER_KIND_ENERGIE,
        "duration": signals_pb2.DURATION_BAND_1_TO_2_MONTHS,
        "signal_date": "2026-10-03",
    }
    return signals_pb2.ArrearsSignal(**{**values, **fields})


def reported(channel="brief", result="", reached=None, part="", when_ms=NOW) -> Reported:
    return Reported(bytes(32), 0, when_ms, channel, result, reached, part, 7)


def signalled(*outcomes, resident=BY_ADDRESS, **fields) -> ddas.Signalled:
    return ddas.Signalled("ab" * 16 + "-0", arrears(**fields), resident, outcomes)


def only(made, what="vroegsignalen"):
    (found,) = made["leveringen"][0][what]
    return found


def test_every_word_that_is_written_is_one_of_the_model(schema):
    signals = [
        signalled(reported(channel, result, reached, part), partner=partner, resident=resident)
        for channel in ddas.CONTACTS
        for result in ("", *ddas.RESULTS)
        for reached, part in ((None, ""), (True, "Ochtend"), (False, "Middag"), (True, "Avond"))
        for partner, resident in ((signals_pb2.PARTNER_KIND_ENERGIE, BY_BSN),)
    ]
    signals += [signalled(partner=partner) for partner in describe.PARTNERS]
    schema.validate(ddas.delivery(HEADER, signals, NOW))


def test_the_words_are_all_those_of_the_model(schema):
    words = schema.schema["$defs"]
    assert sorted(ddas.RESULTS) == sorted(words["EnumEindresultaat"]["enum"])
    assert list(ddas.PARTS_OF_DAY) == words["EnumDagdeel"]["enum"]
    assert set(ddas.CONTACTS.values()) <= set(words["EnumContactsoort"]["enum"])
    statuses = {*ddas.NOT_PICKED_UP, ddas.NOT_TAKEN_UP, ddas.TAKEN_UP}
    assert statuses == set(words["EnumSignaalstatus"]["enum"])
    assert set(describe.PARTNERS.values()) == set(words["EnumSignaalpartner"]["enum"])


def test_results_of_the_version_before_are_read():
    before = set(ddas_file("v0.9", "json_schema_Uitwisselmodel.json")["$defs"]["EnumEindresultaat"]["enum"])
    assert {ddas.RESULTS_BEFORE.get(result, result) for result in before} <= set(ddas.RESULTS)
    assert set(ddas.RESULTS_BEFORE) == before - set(ddas.RESULTS)


def test_every_channel_has_a_word():
    assert set(ddas.CONTACTS) == {"", *describe.CHANNELS}


@given(
    kvk=st.sampled_from(["", "12345678"]),
    signals=st.lists(
        st.builds(
            lambda outcomes, resident, crisis, warm: signalled(
                *outcomes, resident=resident, end_of_supply=crisis, warm_handover=warm
            ),
            st.lists(
                st.builds(
                    reported,
                    st.sampled_from(list(ddas.CONTACTS)),
                    st.sampled_from(["", *ddas.RESULTS]),
                    st.none() | st.booleans(),
                    st.sampled_from(["", *ddas.PARTS_OF_DAY]),
                    st.integers(0, 4_000_000_000_000),
                ),
                max_size=3,
            ),
            st.sampled_from([BY_ADDRESS, BY_BSN, Resident(Bsn(bsn(1)), None)]),
            st.booleans(),
            st.booleans(),
        ),
        max_size=4,
    ),
)
def test_whatever_happened_the_delivery_is_valid(schema, kvk, signals):
    header = ddas.Header(HEADER.municipality, HEADER.organisation, HEADER.supplier, HEADER.first, HEADER.last, kvk)
    made = ddas.delivery(header, signals, NOW)
    schema.validate(json.loads(json.dumps(made)))
    cases = made["leveringen"][0]["vroegsignaalzaken"]
    taken_up = [s for s in made["leveringen"][0]["vroegsignalen"] if s["status"] == "Opgepakt"]
    assert len(cases) == len(taken_up)


def test_somebody_is_told_by_as_little_as_the_model_lets():
    assert ddas.client(BY_BSN) == {"burgerservicenummer": bsn(3)}
    assert ddas.client(BY_ADDRESS) == {
        "geboortedatum": "1980-02-29",
        "postcode": "1234AB",
        "huisnummer": "10",
        "huisnummertoevoeging": "ABIS",
    }


def test_neither_amount_nor_duration_is_in_it():
    found = only(ddas.delivery(HEADER, [signalled(end_of_supply=True, warm_handover=True)], NOW))
    assert set(found) == {
        *("ID", "crisissignaal", "warmeOverdracht", "signaaldatum", "status", "signaalpartner", "client"),
    }
    assert (found["crisissignaal"], found["warmeOverdracht"], found["signaaldatum"]) == (True, True, "2026-10-03")


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ((), "Nog niet opgepakt"),
        ((reported(),), "Opgepakt"),
        ((reported(result="(Budget)advies en/of quick fix"),), "Opgepakt"),
        ((reported("", "Niet opgepakt: onterecht signaal"),), "Niet opgepakt: onterecht signaal"),
        ((reported(), reported("", "Inwoner is overleden")), "Inwoner is overleden"),
        ((reported("", "Niet opgepakt: andere reden"), reported(result="Vervolghulp en/of verwijzing")), "Opgepakt"),
    ],
)
def test_the_status_follows_what_was_done(outcomes, expected):
    made = ddas.delivery(HEADER, [signalled(*outcomes)], NOW)
    assert only(made)["status"] == expected
    assert len(made["leveringen"][0]["vroegsignaalzaken"]) == (expected == "Opgepakt")


def test_a_case_tells_every_attempt():
    late = NOW + 5 * 86_400_000
    attempts = (
        reported("telefoon", "", False, "Avond"),
        reported("huisbezoek", "Vervolghulp en/of verwijzing", True, when_ms=late),
    )
    case = only(ddas.delivery(HEADER, [signalled(*attempts)], NOW), "vroegsignaalzaken")
    assert case["resultaat"] == "Vervolghulp en/of verwijzing"
    assert [attempt["soort"] for attempt in case["contactpogingen"]] == ["Telefoon", "Huisbezoek"]
    assert [attempt.get("bereikt") for attempt in case["contactpogingen"]] == [False, True]
    assert case["datumOpgepakt"] == case["contactpogingen"][0]["datum"] < case["contactpogingen"][1]["datum"]

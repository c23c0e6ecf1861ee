import csv
import datetime as dt
import re
from collections import Counter

import pytest
from stdnum.nl import bsn

from gateway.directory.participants import KINDS, OPERATORS
from gateway.town import files, generator
from gateway.town.participants import LINDEWAARD, SMALL, SUPPLIERS, TAX_OFFICE, TOWN, ZONNEVEEN
from gateway.town.people import bsns_for_tests

TODAY = dt.date(2026, 11, 23)


@pytest.fixture(scope="module")
def town():
    return generator.make_town(TODAY)


def test_only_test_bsns_and_each_once(town):
    numbers = [resident.bsn for resident in town.residents if resident.bsn]
    assert len(numbers) == len(set(numbers)) == len(bsns_for_tests()) == 909
    assert all(re.fullmatch(r"99999\d{4}", number) and bsn.is_valid(number) for number in numbers)


def test_two_thousand_residents_in_two_municipalities(town):
    assert len(town.residents) == 2_000
    assert Counter(r.municipality for r in town.residents) == {ZONNEVEEN.oin: 1_200, LINDEWAARD.oin: 800}
    assert len({r.ref for r in town.residents}) == 2_000


def test_addresses_are_of_the_dutch_form(town):
    for resident in town.residents:
        assert re.fullmatch(r"[1-9][0-9]{3}(?!SA|SD|SS)[A-Z]{2}", resident.postcode)
        assert 1 <= int(resident.house_number) <= 99_999
        assert re.fullmatch(r"[A-Z]?", resident.house_letter)
        assert re.fullmatch(r"[A-Z0-9]{0,4}", resident.house_addition)
        assert dt.date.fromisoformat(resident.birth_date) < TODAY


def test_some_share_an_address_and_nobody_shares_address_and_birth_date(town):
    homes = Counter(resident.address for resident in town.residents)
    assert sum(count > 1 for count in homes.values()) > 200
    assert len({(*r.address, r.birth_date) for r in town.residents}) == 2_000


def test_the_same_seed_gives_the_same_town_and_another_seed_another(town):
    assert generator.make_town(TODAY) == town
    assert generator.make_town(TODAY, seed=1).residents != town.residents


def test_choices_of_all_kinds_and_some_without_a_choice(town):
    assert {choice.answer for choice in town.choices} == {"JA", "NEE", "VRAAG_MIJ_EERST", "EERST_ZELF"}
    chose = {choice.resident.ref for choice in town.choices if choice.purpose == generator.ARREARS_PURPOSE}
    assert 300 < len(town.residents) - len(chose) < 700
    for choice in town.choices:
        assert choice.months in {"3", "6", "12"} or choice.answer == "NEE"
        assert choice.sender in {TAX_OFFICE.oin, *(company.oin for company in SUPPLIERS)}


def test_no_fact_is_younger_than_the_demos_story_and_each_file_goes_to_one_municipality(town):
    for rows in town.arrears.values():
        assert len({row.resident.municipality for row in rows}) == 1
        assert len({row.reference for row in rows}) == len(rows) > 100
        assert all(dt.date.fromisoformat(row.signal_date) <= TODAY - dt.timedelta(days=21) for row in rows)
    assert {row.resident.municipality for row in town.income} == {ZONNEVEEN.oin}
    assert {row.period for row in town.income} <= {"2026-09", "2026-08", "2026-07", "2026-Q2"}


def test_the_cast_is_in_no_file_but_the_register(town):
    cast = {resident.ref for resident in town.cast}
    assert all(resident.bsn and resident.municipality == ZONNEVEEN.oin for resident in town.cast)
    in_files = [*(row for rows in town.arrears.values() for row in rows), *town.income, *town.choices]
    assert not cast & {row.resident.ref for row in in_files}


def test_files_have_the_columns_of_the_commands(town, tmp_path):
    names = {path.name for path in files.write_town(town, tmp_path / "town")}
    assert names == {
        "residents-zonneveen.csv",
        "residents-lindewaard.csv",
        "arrears-lampje.csv",
        "arrears-stroomtuin.csv",
        "arrears-warmbron.csv",
        "income.csv",
        "choices.csv",
        "logins.csv",
    }
    headers = {
        "residents-zonneveen.csv": "resident_ref,bsn,birth_date,postcode,house_number,house_letter,house_addition",
        "arrears-lampje.csv": "reference,birth_date,postcode,house_number,house_letter,house_addition,"
        "months,end_of_supply,warm_handover,signal_date,steps",
        "income.csv": "reference,bsn,drop_band,period",
        "choices.csv": "bsn,birth_date,postcode,house_number,house_letter,house_addition,"
        "sender,recipient,purpose,items,answer,months",
        "logins.csv": "key,name,story_nl,story_en,represents,bsn,birth_date,postcode,house_number,house_letter,"
        "house_addition",
    }
    for name, header in headers.items():
        rows = (tmp_path / "town" / name).read_text("utf-8").splitlines()
        assert rows[0] == header
        assert all(len(row) == len(rows[0].split(",")) for row in csv.reader(rows))


def test_participants_have_test_oins_and_the_operators_differ():
    for group in (TOWN, SMALL):
        oins = [participant.oin for participant in group]
        assert len(set(oins)) == len(oins)
        assert all(re.fullmatch(r"00000099\d{12}", oin) for oin in oins)
        assert [participant.kind for participant in group][: len(OPERATORS)] == list(OPERATORS)
        assert {participant.kind for participant in group} == set(KINDS)

"""Identifiers: one notation, or refused; and no value in any text."""

import struct
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.crypto import group, identifiers, oprf
from gateway.crypto.identifiers import AddressBirthDate, BagBirthDate, Bsn, Ean, IdentifierError
from tests.support.crypto import valid_bsns

TODAY = date(2026, 11, 23)
ADDRESS = {
    "postcode": "1234AB",
    "house_number": "12",
    "house_letter": "A",
    "house_addition": "2",
    "birth_date": "1980-02-29",
}


def lp(*fields):
    return b"".join(struct.pack(">I", len(field)) + field for field in (text.encode() for text in fields))


def refused(field, make):
    with pytest.raises(IdentifierError) as caught:
        make()
    assert caught.value.field == field
    return str(caught.value)


def address(**changed):
    return AddressBirthDate(**(ADDRESS | changed), today=TODAY)


def test_bsn_message():
    message = lp("regie/id/v1", "nl.bsn", "123456782")
    assert Bsn("123456782").message() == message
    assert Bsn("123456782").to_point() == oprf.hash_identifier(message)
    assert group.decode(Bsn("123456782").to_point())


def test_a_bsn_of_8_digits_is_that_of_9():
    (number,) = valid_bsns(1, start=12_345_600)
    assert number[0] == "0"
    assert Bsn(number[1:]) == Bsn(number) == Bsn(f" {number} ")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "123456789",
        "000000000",
        "00000000",
        "1234567",
        "1234567820",
        "1234.56.782",
        "12345678a",
        "-12345678",
        "123 456 782",
        "123456782\n",
        "\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0662",
        "１２３４５６７８２",
        "²23456782",
    ],
)
def test_bsns_that_are_refused(text):
    refused("bsn", lambda: Bsn(text))


@given(st.integers(0, 999_999_999), st.integers(0, 8), st.integers(1, 9))
def test_the_11_test_finds_every_wrong_digit(start, at, more):
    (number,) = valid_bsns(1, start=start % 900_000_000)
    wrong = number[:at] + str((int(number[at]) + more) % 10) + number[at + 1 :]
    refused("bsn", lambda: Bsn(wrong))


def test_address_message():
    expected = lp("regie/id/v1", "nl.addr-dob", "1234AB", "12", "A", "2", "1980-02-29")
    assert address().message() == expected
    bare = lp("regie/id/v1", "nl.addr-dob", "1234AB", "12", "", "", "1980-02-29")
    assert address(house_letter="", house_addition="").message() == bare


@pytest.mark.parametrize(
    "changed",
    [
        {"postcode": "1234 AB"},
        {"postcode": "1234ab"},
        {"postcode": " 1234 aB  "},
        {"house_letter": "a"},
        {"house_letter": " A"},
        {"house_number": "12 "},
        {"house_addition": " 2 "},
        {"birth_date": " 1980-02-29"},
    ],
)
def test_two_notations_of_one_address_are_one(changed):
    assert address(**changed).message() == address().message()


def test_letters_and_additions_do_not_collide():
    distinct = [
        address(house_letter="A", house_addition=""),
        address(house_letter="", house_addition="A"),
        address(house_letter="A", house_addition="A"),
        address(house_letter="A", house_addition="AA"),
        address(house_letter="", house_addition=""),
        address(house_number="1", house_letter="", house_addition="2"),
        address(house_number="12", house_letter="", house_addition="2"),
    ]
    assert len({one.message() for one in distinct}) == len(distinct)
    assert address(house_addition="bis1") == address(house_addition="BIS1")


@pytest.mark.parametrize(
    ("field", "text"),
    [
        *(
            ("postcode", text)
            for text in (
                "0123AB",
                "",
                "123AB",
                "12345AB",
                "1234A",
                "1234ABC",
                "1234  AB",
                "12 34AB",
                "1234-AB",
                "1234\tAB",
            )
        ),
        *(("postcode", text) for text in ("1234AB\n", "1234ÄB", "1234\u017fB", "１234AB")),
        *(("house_number", text) for text in ("", "0", "00012", "012", "100000", "12A", "-1", "1.0", "12-14", "²")),
        *(("house_letter", text) for text in ("AB", "1", "-", "É", "ß")),
        *(("house_addition", text) for text in ("ABCDE", "2-3", "a b", "½", "HS.", "\u0661")),
    ],
)
def test_addresses_that_are_refused(field, text):
    said = refused(field, lambda: address(**{field: text}))
    if len(text) > 2:
        assert text not in said


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1980",
        "1980-02",
        "1980-00-00",
        "1980-02-00",
        "1980-00-12",
        "0000-02-12",
        "1981-02-29",
        "1980-13-01",
        "1980-04-31",
        "80-02-12",
        "12-02-1980",
        "1980/02/12",
        "19800212",
        "1980-2-12",
        "1980-02-12T00:00",
        "1980-W07-2",
        "1899-12-31",
        "2026-11-24",
        "９１980-02-12",
    ],
)
def test_birth_dates_that_are_refused(text):
    said = refused("birth_date", lambda: address(birth_date=text))
    assert not text or text not in said
    refused("birth_date", lambda: BagBirthDate("0344200000000001", text, today=TODAY))


@pytest.mark.parametrize("text", ["1980-00-00", "1980-02-00", "1980-00-12", "0000-02-12"])
def test_incomplete_dates_are_told_so(text):
    assert "complete" in refused("birth_date", lambda: address(birth_date=text))


@pytest.mark.parametrize("text", ["1900-01-01", "2000-02-29", "2026-11-23"])
def test_birth_dates_that_are_real(text):
    assert address(birth_date=text).birth_date == text


def test_bag_message():
    message = lp("regie/id/v1", "nl.bag-dob", "0344200000000001", "1980-02-29")
    assert BagBirthDate("0344200000000001", "1980-02-29", TODAY).message() == message


@pytest.mark.parametrize("text", ["", "034420000000000", "03442000000000011", "0344010000000001", "0344 20000000001"])
def test_bag_ids_that_are_refused(text):
    refused("bag_id", lambda: BagBirthDate(text, "1980-02-29"))


def test_ean_message():
    assert Ean("871234567890123451").message() == lp("regie/id/v1", "nl.ean", "871234567890123451")


@pytest.mark.parametrize(
    "text", ["", "871234567890123455", "87123456789012345", "8712345678901234510", "0" * 18, "87 1234567890123451"]
)
def test_eans_that_are_refused(text):
    refused("ean", lambda: Ean(text))


def test_schemes_do_not_collide():
    people = [Bsn("123456782"), address(), BagBirthDate("0344200000000001", "1980-02-29"), Ean("871234567890123451")]
    assert len({person.message() for person in people}) == len({person.scheme for person in people}) == 4


def test_no_value_shows():
    for person in (Bsn("123456782"), address(), BagBirthDate("0344200000000001", "1980-02-29")):
        shown = repr(person)
        assert not any(part in shown for part in person.fields() if len(part) > 1)


def test_message_is_framed():
    assert identifiers.Bsn("123456782").message().startswith(b"\0\0\0\x0bregie/id/v1\0\0\0\x06nl.bsn\0\0\0\x09")

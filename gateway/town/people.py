"""Residents who do not exist: addresses made up, citizen numbers only from the block 99999xxxx."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from gateway.town.participants import LINDEWAARD, ZONNEVEEN

RESIDENTS = 2_000
FIRST_BSN, LAST_BSN = 999_990_000, 999_999_999
POSTCODE_LETTERS = "ABCDEGHJKLMNPRTVWXZ"
STREETS_PER_TOWN = 60
POSTCODES = {ZONNEVEEN.oin: 4996, LINDEWAARD.oin: 8496}
REFERENCE = {ZONNEVEEN.oin: "ZV", LINDEWAARD.oin: "LW"}
LARGER_TOWN = 1_200
OLDEST, YOUNGEST = date(1936, 1, 1), date(2004, 12, 31)


@dataclass(frozen=True, slots=True)
class Resident:
    """One resident as the municipality's register has it; ``bsn`` is empty for those who need none in this town."""

    ref: str
    municipality: str
    bsn: str
    birth_date: str
    postcode: str
    house_number: str
    house_letter: str
    house_addition: str

    @property
    def address(self) -> tuple[str, str, str, str]:
        """Postcode, number, letter and addition."""
        return self.postcode, self.house_number, self.house_letter, self.house_addition


def bsns_for_tests() -> list[str]:
    """Return every number of the form 99999xxxx that passes the 11-test (909 of them), in order."""
    weights = (9, 8, 7, 6, 5, 4, 3, 2, -1)
    numbers = (str(number) for number in range(FIRST_BSN, LAST_BSN + 1))
    return [n for n in numbers if sum(w * int(d) for w, d in zip(weights, n, strict=True)) % 11 == 0]


def make_residents(rng: random.Random) -> list[Resident]:
    """Return 2,000 residents of two municipalities.

    The first 909 have a test BSN: the block holds no more, and only the files of the tax office need one. About one in
    three shares the address with the resident before. No two have the same address and birth date: nl.addr-dob could
    not tell them apart.
    """
    numbers = bsns_for_tests()
    rng.shuffle(numbers)
    residents: list[Resident] = []
    for municipality, count in ((ZONNEVEEN.oin, LARGER_TOWN), (LINDEWAARD.oin, RESIDENTS - LARGER_TOWN)):
        for place, (address, born) in enumerate(_addressed(rng, municipality, count), start=1):
            bsn = numbers[len(residents)] if len(residents) < len(numbers) else ""
            ref = f"{REFERENCE[municipality]}-{place:04d}"
            residents.append(Resident(ref, municipality, bsn, born.isoformat(), *address))
    return residents


def _addressed(
    rng: random.Random,
    municipality: str,
    count: int,
) -> Iterator[tuple[tuple[str, str, str, str], date]]:
    """Yield distinct pairs of address and birth date; neighbours in the list may live together."""
    streets = rng.sample([a + b for a in POSTCODE_LETTERS for b in POSTCODE_LETTERS], STREETS_PER_TOWN)
    taken: set[tuple[tuple[str, str, str, str], date]] = set()
    homes: set[tuple[str, str, str, str]] = set()
    address: tuple[str, str, str, str] | None = None
    while len(taken) < count:
        together = address is not None and rng.random() < 1 / 3
        if address is None or not together:
            address = _address(rng, f"{POSTCODES[municipality]}{rng.choice(streets)}")
            if address in homes:
                address = None
                continue
            homes.add(address)
        person = (address, _birth_date(rng))
        if person not in taken:
            taken.add(person)
            yield person


def _address(rng: random.Random, postcode: str) -> tuple[str, str, str, str]:
    kind = rng.random()
    letter = rng.choice("ABC") if kind < 0.1 else ""
    addition = rng.choice(("BIS", "HS", "1", "2", "3")) if kind > 0.95 else ""
    return postcode, str(rng.randint(1, 240)), letter, addition


def _birth_date(rng: random.Random) -> date:
    return OLDEST + timedelta(days=rng.randint(0, (YOUNGEST - OLDEST).days))

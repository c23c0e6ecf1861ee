"""Hiding, checked exhaustively in a toy group.

Every scalar and every point's discrete logarithm is not zero, so each is a power of one generator of the multiplicative
group modulo the order, and every value a party sees is a product: in logarithms, a sum. With a group of 2 or 3 powers
all randomness can be enumerated. A coalition learns nothing of a person when its view, over all keys it does not have
and all blinding, is distributed alike for every person.
"""

from collections import Counter
from itertools import product

import pytest

KEYS = ("s1L", "s1R", "s2L", "s2R", "cL", "cR")
BLINDING = ("a", "uL", "uR")


def signal_view(party: str, m: int, k: dict[str, int], b: dict[str, int]) -> tuple[int, ...]:
    """Return the logarithms that a party sees of one signal (pseudonyms.md "Signals")."""
    x = b["a"] + m
    y_l, y_r = k["s1L"] + x, k["s1R"] + x
    tau_l, tau_r = -b["a"] - b["uL"], -b["a"] - b["uR"]
    e_l, e_r = k["s2L"] + tau_l + y_l, k["s2R"] + tau_r + y_r
    return {
        "T1": (x, y_l, y_r, e_l, e_r),
        "T2": (tau_l, tau_r, y_l, y_r, e_l, e_r),
        "L": (b["uL"], e_l),
        "R": (b["uR"], e_r),
        "X": (x,),
        "S": (m, b["a"], b["uL"], b["uR"]),
    }[party]


OWN_KEYS = {"T1": ("s1L", "s1R"), "T2": ("s2L", "s2R"), "L": ("cL",), "R": ("cR",), "X": (), "S": ()}


def distribution(parties: list[str], people: tuple[int, ...], order: int) -> Counter[tuple[int, ...]]:
    """Count the views of a coalition of one signal for each of these people, over all keys and all blinding."""
    counted: Counter[tuple[int, ...]] = Counter()
    for powers in product(range(order), repeat=len(KEYS) + len(BLINDING) * len(people)):
        keys = dict(zip(KEYS, powers, strict=False))
        seen = [keys[name] for party in parties for name in OWN_KEYS[party]]
        for at, person in enumerate(people):
            start = len(KEYS) + len(BLINDING) * at
            blinding = dict(zip(BLINDING, powers[start:], strict=False))
            for party in parties:
                seen += signal_view(party, person, keys, blinding)
        counted[tuple(value % order for value in seen)] += 1
    return counted


def hidden(coalition: str, signals: int = 1, order: int = 3) -> bool:
    parties = coalition.split("+")
    everybody = product(range(order), repeat=signals)
    first, *others = (distribution(parties, people, order) for people in everybody)
    return all(other == first for other in others)


@pytest.mark.parametrize("coalition", ["T1", "T2", "T1+T2", "L", "R", "L+R", "T1+L", "T1+R", "T2+L", "T2+R"])
def test_a_signal_hides_its_person(coalition):
    assert hidden(coalition)


@pytest.mark.parametrize("coalition", ["T1", "T2", "T1+T2"])
def test_evaluators_learn_nothing_of_two_signals_not_even_equality(coalition):
    assert hidden(coalition, signals=2, order=2)


@pytest.mark.parametrize("coalition", ["L", "R", "T1+L", "T2+R"])
def test_row_owners_see_which_of_their_signals_are_of_one_person(coalition):
    # Their pseudonyms, by design; which person that is rests on the missing key, as the test above shows.
    assert not hidden(coalition, signals=2, order=2)


@pytest.mark.parametrize("coalition", ["T1+T2+L", "T1+T2+R", "T2+L+X", "T2+R+X", "S"])
def test_coalitions_that_identify(coalition):
    # All keys; X outside T1 (rule 3); and the sender, who knows. These show that the check can fail.
    assert not hidden(coalition)

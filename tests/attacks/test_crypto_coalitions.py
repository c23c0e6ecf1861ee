"""Who learns what: every row of the table of coalitions in the page "Pseudonyms", run as an attack with a dictionary.

A coalition pools its keys and everything it saw of one signal, and of one row, of the same person. It then undoes the
protocol in every way that multiplications can: each point it saw, times each product of powers -1, 0, 1 of each scalar
it knows. It has identified the person when one of the results is M of a candidate of its dictionary.
"""

from dataclasses import dataclass
from functools import cache
from itertools import product

import pytest

from gateway.crypto import batch, envelope, group, hpke, oprf, rows
from gateway.crypto.identifiers import Bsn
from tests.support.crypto import GATEWAY, PSEUDONYMS, World, valid_bsns

ORDER = group.ORDER
WORLD = World()
DICTIONARY = valid_bsns(200)
VICTIM, OTHER = DICTIONARY[117], DICTIONARY[30]
CANDIDATES = {Bsn(number).to_point(): number for number in DICTIONARY}
SIGNALS = WORLD.run([VICTIM, OTHER, VICTIM])
VICTIM_SLOT, OTHER_SLOT, AGAIN_SLOT = (SIGNALS.sealing.order.index(number) for number in range(3))


@dataclass(frozen=True)
class View:
    """What a party saw of one person, and the scalars that it knows."""

    points: frozenset[bytes]
    scalars: frozenset[int]

    def __or__(self, other: "View") -> "View":
        return View(self.points | other.points, self.scalars | other.scalars)


@cache
def row(number: str) -> dict[str, tuple[bytes, bytes, bytes]]:
    """A row of this person in both domains: B, s1*B, s2*s1*B as T1 and T2 see them."""
    seen = {}
    for at, (role, domain) in enumerate((("ledger", WORLD.domain_ledger), ("recipient", WORLD.domain_recipient))):
        blinded = rows.blind([Bsn(number).message()], WORLD.rng.randbytes)
        factor_1, factor_2 = WORLD.factors(WORLD.master1)[at], WORLD.factors(WORLD.master2)[at]
        key_1 = rows.domain_key(WORLD.sign[GATEWAY], domain, factor_1)
        key_2 = rows.domain_key(WORLD.sign[PSEUDONYMS], domain, factor_2)
        first = rows.evaluate(factor_1, key_1, blinded.elements, WORLD.rng.randbytes)
        second = rows.evaluate(factor_2, key_2, first.elements, WORLD.rng.randbytes)
        (unblinded,) = rows.unblind(blinded, first, second)
        seen[role] = (blinded.elements, first.elements, second.elements)
        seen[role + " owner"] = (unblinded,)
    return seen


ROW_POINTS = frozenset(row(VICTIM)["ledger"] + row(VICTIM)["recipient"])


def slot(data: bytes, at: int) -> bytes:
    return data[32 * at : 32 * at + 32]


def number_at(data: bytes, at: int) -> int:
    return int.from_bytes(slot(data, at), "little")


def views(at: int, number: str) -> dict[str, View]:
    """What T1, T2, L and R know of the signal in one slot, and of the row of that person."""
    header_hash, sealed = SIGNALS.sealing.header_hash, SIGNALS.batch
    taus = hpke.open_(WORLD.t2, batch.info_pseudonyms(header_hash), sealed.sealed_pseudonyms)
    openings = hpke.open_(WORLD.ledger_hpke, batch.info_ledger(header_hash), sealed.sealed_ledger)[32 + 6 :]
    first = [slot(part, at) for part in SIGNALS.first]
    second = [slot(part, at) for part in SIGNALS.second]
    blinded_rows = [*row(number)["ledger"], *row(number)["recipient"]]
    return {
        "T1": View(
            frozenset([slot(sealed.blinded, at), *first, *second, *blinded_rows]),
            frozenset(WORLD.factors(WORLD.master1)),
        ),
        "T2": View(
            frozenset([*first, *second, *blinded_rows]),
            frozenset([*WORLD.factors(WORLD.master2), number_at(taus, at), number_at(taus, 3 + at)]),
        ),
        "L": View(
            frozenset([second[0], *row(number)["ledger owner"]]),
            frozenset([WORLD.closing_ledger, number_at(openings, at)]),
        ),
        "R": View(
            frozenset([second[1], *row(number)["recipient owner"]]),
            frozenset([WORLD.closing_recipient, recipient_scalar(at)]),
        ),
        "X": View(frozenset([slot(sealed.blinded, at)]), frozenset()),
    }


def recipient_scalar(at: int) -> int:
    """u_R, that R reads from the released ciphertext."""
    sealed, header_hash, position = SIGNALS.batch, SIGNALS.sealing.header_hash, SIGNALS.opened.positions[at]
    k = hpke.open_(WORLD.recipient_hpke, batch.info_recipient(header_hash), sealed.sealed_recipient)
    where = position.to_bytes(2, "big")
    key, _ = envelope.content_key(k, SIGNALS.opened.opening(position), header_hash, where)
    return envelope.open_(key, header_hash, where, SIGNALS.admitted.ciphertexts[at]).blinding


def pooled(parties: str, at: int = VICTIM_SLOT, number: str = VICTIM) -> View:
    known = views(at, number)
    view = View(frozenset(), frozenset())
    for party in parties.split("+"):
        view |= known[party]
    return view


def reachable(view: View) -> set[bytes]:
    """Every point that multiplications with known scalars reach from a point that was seen."""
    factors = [1]
    for scalar in view.scalars:
        powers = (1, scalar, pow(scalar, -1, ORDER))
        factors = [factor * power % ORDER for factor, power in product(factors, powers)]
    reached = set()
    for point in view.points:
        reached.update(group.multiply_many(factors, [point] * len(factors)))
    return reached


def identified(view: View) -> set[str]:
    return {CANDIDATES[point] for point in reachable(view) & CANDIDATES.keys()}


@pytest.mark.parametrize("parties", ["T1", "T2", "L", "R", "T1+T2", "L+R", "T1+L", "T1+R", "T2+L", "T2+R"])
def test_no_dictionary(parties):
    assert identified(pooled(parties)) == set()


def test_all_keys_identify():
    # Inherent: with s1, s2 and u a pseudonym is undone. It also shows that the attack above can succeed.
    assert identified(of_signal("T1+T2+L")) == {VICTIM}
    assert identified(of_signal("T1+T2+R")) == {VICTIM}


def test_x_outside_t1_would_identify():
    # Rule 3: T2 and L know tau_L and u_L, hence a; with X they could test guesses. Rule 7: the same, recorded.
    assert identified(pooled("T2+L+X")) == {VICTIM}
    assert identified(pooled("T2+R+X")) == {VICTIM}


def of_signal(parties: str, at: int = VICTIM_SLOT) -> View:
    """The view without what was seen of rows."""
    return View(pooled(parties, at).points - ROW_POINTS, pooled(parties, at).scalars)


@pytest.mark.parametrize("parties", ["T1", "T2", "T1+T2"])
def test_evaluators_cannot_tell_that_two_signals_are_of_one_person(parties):
    one, again = of_signal(parties), of_signal(parties, AGAIN_SLOT)
    scalars = one.scalars | again.scalars
    assert not reachable(View(one.points, scalars)) & reachable(View(again.points, scalars))
    subjects = SIGNALS.opened.subjects
    assert subjects[VICTIM_SLOT] == subjects[AGAIN_SLOT] != subjects[OTHER_SLOT]  # the ledger can: its own pseudonyms


@pytest.mark.parametrize("parties", ["T1", "T2", "T1+T2"])
def test_evaluators_cannot_connect_a_signal_with_a_row(parties):
    scalars = pooled(parties).scalars
    assert not reachable(View(ROW_POINTS, scalars)) & reachable(of_signal(parties))


def test_a_row_owner_learns_its_own_pseudonyms():
    for parties, role in (("L", "ledger"), ("R", "recipient"), ("T1+L", "ledger"), ("T2+R", "recipient")):
        assert WORLD.pseudonym(VICTIM, role) in reachable(pooled(parties))
        assert WORLD.pseudonym(OTHER, role) not in reachable(pooled(parties))


@pytest.mark.parametrize(
    ("parties", "role"), [("L", "recipient"), ("R", "ledger"), ("T1+L", "recipient"), ("T2+R", "ledger")]
)
def test_nobody_learns_the_pseudonym_of_another_domain(parties, role):
    assert WORLD.pseudonym(VICTIM, role) not in reachable(pooled(parties))


def test_ledger_and_recipient_link_their_pseudonyms_by_position_only():
    # Inherent, per released signal: both know its position. The pseudonyms themselves do not link.
    opened = WORLD.receive(SIGNALS)
    by_position = dict(zip(SIGNALS.opened.positions, SIGNALS.opened.subjects, strict=True))
    linked = {(by_position[signal.position], signal.index) for signal in opened.signals}
    assert (WORLD.ledger_row(VICTIM), WORLD.recipient_row(VICTIM)) in linked
    points = {WORLD.pseudonym(VICTIM, "ledger"), WORLD.pseudonym(VICTIM, "recipient")}
    scalars = pooled("L+R").scalars
    one, two = (reachable(View(frozenset([point]), scalars)) for point in points)
    assert not one & two


def test_a_sender_with_anybody_learns_only_of_the_ids_it_submits():
    # It knows a, u_L, u_R and M of its own signal, and so the pseudonym that L sees; not that of a row it did not submit.
    sender = View(frozenset([Bsn(OTHER).to_point()]), frozenset())
    for party in ("L", "R", "T1+L", "T2+R"):
        own = pooled(party, OTHER_SLOT, OTHER) | sender
        of_victim = View(frozenset(row(VICTIM)["ledger owner"] + row(VICTIM)["recipient owner"]), own.scalars)
        assert identified(own) == {OTHER}
        assert identified(of_victim) == set()


def test_alices_data_on_bobs_consent_is_possible_and_documented():
    # S alone can mislabel its payload, with or without T1: documented, not prevented.
    signal = batch.SignalInput(Bsn(OTHER).message(), bytes(16), b"data of " + VICTIM.encode())
    header = WORLD.header(bytes(16), 1)
    sealing = batch.seal_batch(header, bytes(16), [signal], WORLD.sender_keys, rng=WORLD.rng.randbytes)
    admitted = WORLD.admit(sealing.batch)
    second = WORLD.evaluate_second(sealing.batch, WORLD.evaluate_first(admitted))
    opened = WORLD.open(sealing.batch, admitted.root, second[0])
    assert opened.subjects == (WORLD.ledger_row(OTHER),)


def test_stored_indices_need_the_closing_scalar():
    # A copy of the recipient's enrolment table, with both masters, is no dictionary.
    factor = WORLD.factors(WORLD.master1)[1] * WORLD.factors(WORLD.master2)[1] % ORDER
    guesses = group.multiply_many(factor, list(CANDIDATES))
    assert WORLD.recipient_row(VICTIM) not in set(oprf.stored_indices(WORLD.domain_recipient, guesses))

"""An active T1: whatever it changes, copies or holds back is refused, or ends in a pseudonym without a row."""

from dataclasses import replace

import pytest

from consent_ledger.errors import RegieError
from consent_ledger.hashing import sha256
from gateway.crypto import batch, gateway_side, group, hpke, signatures
from gateway.crypto.identifiers import Bsn
from gateway.crypto.recipient_side import verify_delivery
from tests.support.crypto import GATEWAY, World, valid_bsns

WORLD = World()
NUMBERS = valid_bsns(30)  # everybody with a row at ledger and recipient; the signals are of the first six
ROWS = {WORLD.ledger_row(number) for number in NUMBERS} | {WORLD.recipient_row(number) for number in NUMBERS}
SIGNALS, OTHER = WORLD.run(NUMBERS[:6]), WORLD.run(NUMBERS[:6])
NONCE = bytes(32)
ROOT = SIGNALS.admitted.root


def split(data):
    return [data[at : at + 32] for at in range(0, len(data), 32)]


def swapped(data):
    elements = split(data)
    return b"".join([elements[1], elements[0], *elements[2:]])


def duplicated(data):
    elements = split(data)
    return b"".join([elements[1], elements[1], *elements[2:]])


def scaled(data):
    return b"".join(group.multiply_many(1234567, split(data)))


def shifted(data):
    return b"".join(group.add(element, group.multiply_base(5)) for element in split(data))


TAMPERED = {
    "swap": (swapped, {0, 1}),
    "duplicate": (duplicated, {0}),
    "scale": (scaled, set(range(6))),
    "shift": (shifted, set(range(6))),
}
ATTACKS = pytest.mark.parametrize(("attack", "hit"), TAMPERED.values(), ids=TAMPERED)


def subjects(evaluated, signals=SIGNALS):
    return WORLD.open(signals.batch, signals.admitted.root, evaluated).subjects


def delivered(evaluated):
    release = WORLD.release(SIGNALS, list(SIGNALS.opened.positions), NONCE)
    delivery = WORLD.delivery(SIGNALS, release, WORLD.items(SIGNALS, evaluated))
    opened = verify_delivery(delivery, WORLD.expected(SIGNALS, NONCE), WORLD.recipient_keys)
    return [signal.index for signal in opened.signals]


def without_row(found, hit):
    assert {at for at, index in enumerate(found) if index not in ROWS} == hit
    assert len(set(found)) == len(found), "no two of them are equal: there is no oracle for equality either"


def test_untouched_everything_resolves():
    without_row(SIGNALS.opened.subjects, set())
    without_row(delivered(SIGNALS.second[1]), set())


@ATTACKS
def test_y_on_the_way_to_t2(attack, hit):
    evaluated = WORLD.evaluate_second(SIGNALS.batch, (attack(SIGNALS.first[0]), attack(SIGNALS.first[1])))
    without_row(subjects(evaluated[0]), hit)
    without_row(delivered(evaluated[1]), hit)


@ATTACKS
def test_e_on_the_way_to_the_ledger_and_the_recipient(attack, hit):
    without_row(subjects(attack(SIGNALS.second[0])), hit)
    without_row(delivered(attack(SIGNALS.second[1])), hit)


def test_y_or_e_of_another_batch_of_the_same_people():
    everything = set(range(6))
    replayed = WORLD.evaluate_second(SIGNALS.batch, OTHER.first)
    without_row(subjects(replayed[0]), everything)
    without_row(delivered(replayed[1]), everything)
    without_row(subjects(OTHER.second[0]), everything)
    without_row(delivered(OTHER.second[1]), everything)


def test_elements_of_the_wrong_role():
    everything = set(range(6))
    crossed = WORLD.evaluate_second(SIGNALS.batch, SIGNALS.first[::-1])
    without_row(subjects(crossed[0]), everything)
    without_row(subjects(SIGNALS.second[1]), everything)
    without_row(delivered(SIGNALS.second[0]), everything)


def test_a_guess_in_the_place_of_x_is_no_oracle():
    # T1 puts s1*M, or k*s1*M, of a guess into a slot. Only k = a would make it the guess's pseudonym.
    factor = WORLD.factors(WORLD.master1)[0]
    for at, order in enumerate(SIGNALS.sealing.order):
        right = Bsn(NUMBERS[order]).to_point()
        for k in (1, 99):
            first = split(SIGNALS.first[0])
            first[at] = group.multiply(factor * k % group.ORDER, right)
            evaluated = WORLD.evaluate_second(SIGNALS.batch, (b"".join(first), SIGNALS.first[1]))
            without_row(subjects(evaluated[0]), {at})


def test_two_batches_are_not_mixed():
    mixed = (
        replace(SIGNALS.batch, sealed_ledger=OTHER.batch.sealed_ledger),
        replace(SIGNALS.batch, sealed_ledger=OTHER.batch.sealed_ledger, signature_ledger=OTHER.batch.signature_ledger),
        replace(SIGNALS.batch, header=OTHER.batch.header),
    )
    for submitted in mixed:
        with pytest.raises(RegieError, match="SIGNATURE_INVALID"):
            WORLD.open(submitted, SIGNALS.admitted.root, SIGNALS.second[0])
    with pytest.raises(RegieError, match="SIGNATURE_INVALID"):
        WORLD.open(SIGNALS.batch, OTHER.admitted.root, SIGNALS.second[0])
    with pytest.raises(RegieError, match="SIGNATURE_INVALID"):
        WORLD.evaluate_second(replace(SIGNALS.batch, sealed_pseudonyms=OTHER.batch.sealed_pseudonyms), SIGNALS.first)


def test_a_subset_of_a_batch_is_refused():
    first = (SIGNALS.first[0][:-32], SIGNALS.first[1][:-32])
    with pytest.raises(RegieError, match="ELEMENT_INVALID"):
        WORLD.evaluate_second(SIGNALS.batch, first)
    with pytest.raises(RegieError, match="SEALED_PART_INVALID"):
        subjects(SIGNALS.second[0][:-32])


def test_resubmission_to_the_ledger_shows():
    # Once-only at L compares this hash: the same batch with other elements is another request, refused and alarmed.
    header_hash, sealed, root = SIGNALS.sealing.header_hash, SIGNALS.batch.sealed_ledger, SIGNALS.admitted.root
    request, again = (
        gateway_side.decision_request_hash(header_hash, sealed, root, evaluated)
        for evaluated in (SIGNALS.second[0], scaled(SIGNALS.second[0]))
    )
    assert request != again


@pytest.mark.parametrize(
    ("name", "key", "info", "reach"),
    [
        ("sealed_ledger", WORLD.ledger_hpke, batch.info_ledger, lambda box: WORLD.open(box, ROOT, SIGNALS.second[0])),
        ("sealed_pseudonyms", WORLD.t2, batch.info_pseudonyms, lambda box: WORLD.evaluate_second(box, SIGNALS.first)),
    ],
    ids=["toL", "toT2"],
)
def test_boxes_are_not_wrapped_again(name, key, info, reach):
    # Even with the right content: the sender's signature covers the box, not what is in it.
    header_hash = SIGNALS.sealing.header_hash
    content = hpke.open_(key, info(header_hash), getattr(SIGNALS.batch, name))
    submitted = replace(SIGNALS.batch, **{name: hpke.seal(key.public, info(header_hash), content)})
    with pytest.raises(RegieError, match="SIGNATURE_INVALID"):
        reach(submitted)


def test_the_recipients_box_is_not_wrapped_again():
    box = hpke.seal(WORLD.recipient_hpke.public, batch.info_recipient(SIGNALS.sealing.header_hash), bytes(32))
    delivery = WORLD.delivery(SIGNALS, WORLD.release(SIGNALS, [], NONCE))
    with pytest.raises(RegieError, match="SIGNATURE_INVALID"):
        verify_delivery(replace(delivery, sealed_recipient=box), WORLD.expected(SIGNALS, NONCE), WORLD.recipient_keys)


def test_the_gateway_cannot_release_by_itself():
    release = WORLD.release(SIGNALS, list(SIGNALS.opened.positions), NONCE)
    forged = signatures.sign(WORLD.sign[GATEWAY], b"regie/s/release/v1", sha256(release["release_statement"]))
    delivery = WORLD.delivery(SIGNALS, release | {"release_signature": forged})
    with pytest.raises(RegieError, match="SIGNATURE_INVALID"):
        verify_delivery(delivery, WORLD.expected(SIGNALS, NONCE), WORLD.recipient_keys)


def test_a_release_that_was_held_back_is_stale():
    delivery = WORLD.delivery(SIGNALS, WORLD.release(SIGNALS, list(SIGNALS.opened.positions), NONCE))
    later = WORLD.expected(SIGNALS, bytes(31) + b"\1")  # the recipient pulled again, and the ledger withholds now
    with pytest.raises(RegieError, match="PROOF_INVALID"):
        verify_delivery(delivery, later, WORLD.recipient_keys)
    same = WORLD.expected(SIGNALS, NONCE)
    with pytest.raises(RegieError, match="NOT_FRESH"):
        verify_delivery(delivery, replace(same, now_ms=same.now_ms + 300_000), WORLD.recipient_keys)


def test_a_release_of_another_batch():
    release = WORLD.release(OTHER, list(OTHER.opened.positions), NONCE)
    with pytest.raises(RegieError, match="PROOF_INVALID"):
        verify_delivery(WORLD.delivery(SIGNALS, release), WORLD.expected(SIGNALS, NONCE), WORLD.recipient_keys)


def test_a_ciphertext_that_is_held_back_or_replaced():
    release = WORLD.release(SIGNALS, list(SIGNALS.opened.positions), NONCE)
    items = WORLD.items(SIGNALS)
    for wrong in (items[1:], [replace(items[0], ciphertext=items[1].ciphertext), *items[1:]]):
        with pytest.raises(RegieError, match="PROOF_INVALID"):
            verify_delivery(
                WORLD.delivery(SIGNALS, release, wrong), WORLD.expected(SIGNALS, NONCE), WORLD.recipient_keys
            )

"""T1, T2 and L: what they compute, and what each of them refuses."""

import hashlib
from dataclasses import replace

import pytest

from consent_ledger.errors import RegieError
from consent_ledger.hashing import sha256
from consent_ledger.service.ports import LedgerCrypto
from gateway.crypto import batch, gateway_side, group, hpke, oprf, pseudonyms_side, signatures, tree
from gateway.crypto.identifiers import Bsn
from gateway.crypto.ledger_side import LedgerSide, info_outcome, info_release
from tests.support.crypto import LEDGER, PURPOSE, RECIPIENT, SENDER, World, valid_bsns

WORLD = World()
NUMBERS = valid_bsns(9)
SIGNALS = WORLD.run(NUMBERS)
BATCH = SIGNALS.batch
HH = SIGNALS.sealing.header_hash
PORT: LedgerCrypto = WORLD.ledger


def flip(data, at=0):
    at %= len(data)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def resigned(**changed):
    """The sender signs a batch of its own making, field by field."""
    return batch._sign(replace(BATCH, **changed), HH, SIGNALS.sealing.root, WORLD.sign[SENDER])


def test_pseudonyms_are_those_of_the_rows():
    names = [NUMBERS[number] for number in SIGNALS.sealing.order]
    assert list(SIGNALS.opened.subjects) == [WORLD.ledger_row(name) for name in names]
    assert [signal.index for signal in WORLD.receive(SIGNALS).signals] == [WORLD.recipient_row(name) for name in names]


def test_one_person_has_unlinked_pseudonyms():
    rows = {WORLD.ledger_row(NUMBERS[0]), WORLD.recipient_row(NUMBERS[0])}
    later = World(epoch=2)
    rows |= {later.ledger_row(NUMBERS[0]), later.recipient_row(NUMBERS[0])}
    assert len(rows) == 4


def test_admission():
    admitted = SIGNALS.admitted
    assert admitted.header_hash == HH
    assert admitted.root == SIGNALS.sealing.root
    assert tree.encode_positions(admitted.positions) == BATCH.positions
    assert b"".join(admitted.elements) == BATCH.blinded
    verifier = tree.PathVerifier(admitted.root, 9)
    for position, com, ct in zip(admitted.positions, admitted.commitments, admitted.ciphertexts, strict=True):
        verifier.verify(position, tree.leaf(position, com, ct), admitted.path(position))


FIELDS = [name for name in batch.SealedBatch.__slots__ if isinstance(getattr(BATCH, name), bytes)]


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("at", [0, -1])
def test_no_byte_of_a_batch_changes_unnoticed(name, at):
    # Every field is under sig_T1, or is a signature itself; header, boxes and root are under the inner ones as well.
    with pytest.raises(RegieError, match="SIGNATURE_INVALID"):
        gateway_side.admit(replace(BATCH, **{name: flip(getattr(BATCH, name), at)}), WORLD.public[SENDER], 9)


def test_another_sender_is_refused():
    with pytest.raises(RegieError, match="SIGNATURE_INVALID"):
        gateway_side.admit(BATCH, WORLD.public[RECIPIENT], 9)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("signature_pseudonyms", "regie/s/t2/v1"),
        ("signature_ledger", "regie/s/l/v1"),
        ("signature_recipient", "regie/s/r/v1"),
    ],
)
def test_inner_signatures_are_checked_before_anybody_is_asked(name, label):
    broken = replace(BATCH, **{name: flip(getattr(BATCH, name))})
    outer = signatures.sign(WORLD.sign[SENDER], batch.LABEL_T1, *batch.gateway_message(HH, broken))
    with pytest.raises(RegieError, match=label):
        gateway_side.admit(replace(broken, signature_gateway=outer), WORLD.public[SENDER], 9)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"blinded": BATCH.blinded[:-32]}, "blinded"),
        ({"blinded": BATCH.blinded + BATCH.blinded[:32]}, "blinded"),
        ({"commitments": BATCH.commitments[:-1]}, "commitments"),
        ({"ciphertexts": BATCH.ciphertexts + b"\0"}, "ciphertexts"),
        ({"ciphertext_size": BATCH.ciphertext_size + 1}, "ciphertext_size"),
        ({"ciphertext_size": 16}, "ciphertext_size"),
        ({"ciphertext_size": 16 + 4096}, "ciphertext_size"),
        ({"filler_seed": bytes(31)}, "filler_seed"),
        ({"positions": BATCH.positions[:-2]}, "positions"),
        ({"positions": BATCH.positions[2:4] + BATCH.positions[:2] + BATCH.positions[4:]}, "positions"),
        ({"blinded": BATCH.blinded[:-32] + BATCH.blinded[:32]}, "ELEMENT_INVALID.*blinded"),
        ({"blinded": BATCH.blinded[:-32] + bytes(32)}, "ELEMENT_INVALID.*blinded"),
        ({"blinded": BATCH.blinded[:-32] + b"\1" + bytes(31)}, "ELEMENT_INVALID.*blinded"),
    ],
)
def test_a_sender_that_signs_nonsense_is_refused(changed, reason):
    with pytest.raises(RegieError, match=reason):
        gateway_side.admit(resigned(**changed), WORLD.public[SENDER], 9)


@pytest.mark.parametrize("count", [0, 8, 10, 1001])
def test_the_count_of_the_header_holds(count):
    with pytest.raises(RegieError, match="FIELD_INVALID"):
        gateway_side.admit(BATCH, WORLD.public[SENDER], count)


def test_evaluations():
    factor_l, factor_r = WORLD.factors(WORLD.master1)
    assert SIGNALS.first[0] == b"".join(group.multiply(factor_l, point) for point in SIGNALS.admitted.elements)
    assert SIGNALS.first[1] == b"".join(group.multiply(factor_r, point) for point in SIGNALS.admitted.elements)


def test_request_hash():
    parts = HH + sha256(BATCH.sealed_ledger) + SIGNALS.admitted.root + sha256(SIGNALS.second[0])
    digest = hashlib.sha256(b"regie/decide/v1" + parts).digest()
    evaluated = SIGNALS.second[0]
    assert gateway_side.decision_request_hash(HH, BATCH.sealed_ledger, SIGNALS.admitted.root, evaluated) == digest


def second(first=SIGNALS.first, sealed=BATCH.sealed_pseudonyms, header=BATCH.header, count=9):
    return pseudonyms_side.second_evaluation(WORLD.t2, header, sealed, first, WORLD.factors(WORLD.master2), count=count)


def test_t2_checks_the_sender():
    for public, header, sealed in (
        (WORLD.public[RECIPIENT], BATCH.header, BATCH.sealed_pseudonyms),
        (WORLD.public[SENDER], BATCH.header + b"\0", BATCH.sealed_pseudonyms),
        (WORLD.public[SENDER], BATCH.header, flip(BATCH.sealed_pseudonyms)),
    ):
        with pytest.raises(RegieError, match="regie/s/t2/v1"):
            pseudonyms_side.verify_sender(public, header, sealed, BATCH.signature_pseudonyms)


def test_t2_refuses_bad_elements_before_it_opens_anything(monkeypatch):
    monkeypatch.setattr(hpke, "open_", lambda *_, **__: pytest.fail("opened"))
    ledger, recipient = SIGNALS.first
    for first, field in (
        ((ledger[:-32], recipient), "ledger_elements"),
        ((ledger, recipient[:-32]), "recipient_elements"),
        ((ledger, recipient[:-32] + bytes(32)), "recipient_elements"),
        ((flip(ledger, -1), recipient), "ledger_elements"),
    ):
        with pytest.raises(RegieError, match=f"ELEMENT_INVALID.*{field}"):
            second(first)


def boxed(plaintext):
    return hpke.seal(WORLD.t2.public, batch.info_pseudonyms(HH), plaintext)


@pytest.mark.parametrize(
    "plaintext",
    [b"", bytes(32 * 18), group.encode_scalar(1) * 17, group.encode_scalar(1) * 19, b"\xff" * 32 * 18],
    ids=len,
)
def test_t2_refuses_boxes_that_hold_something_else(plaintext, monkeypatch):
    sealed = boxed(plaintext)
    monkeypatch.setattr(group, "multiply_many", lambda *_: pytest.fail("computed"))
    with pytest.raises(RegieError, match=r"SEALED_PART_INVALID.*sealed_pseudonyms"):
        second(sealed=sealed)


def test_t2_opens_a_box_for_its_header_only():
    with pytest.raises(RegieError, match="SEALED_PART_INVALID"):
        second(header=BATCH.header + b"\0")


def to_ledger(w=bytes(32), positions=(1, 5), scalars=(2, 3), severities=(0, 4)):
    encoded = tree.encode_positions(positions) + b"".join(map(group.encode_scalar, scalars)) + bytes(severities)
    return hpke.seal(WORLD.ledger_hpke.public, batch.info_ledger(HH), w + encoded)


def open_batch(sealed, elements):
    return WORLD.ledger.open_batch(PURPOSE, 1, HH, sealed, b"".join(elements))


TWO = [group.multiply_base(2), group.multiply_base(3)]


def test_the_ledger_opens_a_batch():
    opened = open_batch(to_ledger(), TWO)
    assert opened.positions == (1, 5)
    assert opened.severities == (0, 4)
    closing = WORLD.closing_ledger
    domain = oprf.Domain("ledger", LEDGER, PURPOSE, 1)
    expected = [group.multiply(closing * u % group.ORDER, point) for u, point in zip((2, 3), TWO, strict=True)]
    assert opened.subjects == tuple(oprf.stored_indices(domain, expected))


@pytest.mark.parametrize(
    "sealed",
    [
        to_ledger(positions=(5, 1)),
        to_ledger(positions=(1, 1)),
        to_ledger(positions=(1, 8)),
        to_ledger(positions=(1,)),
        to_ledger(scalars=(2,)),
        to_ledger(scalars=(2, 3, 4)),
        to_ledger(w=bytes(31)),
        to_ledger(severities=()),
        to_ledger(severities=(1,)),
        to_ledger(severities=(1, 2, 3)),
        to_ledger(severities=(1, 5)),
        hpke.seal(WORLD.ledger_hpke.public, batch.info_ledger(HH), bytes(100)),
        hpke.seal(WORLD.ledger_hpke.public, batch.info_ledger(bytes(32)), bytes(100)),
        b"",
    ],
    ids=len,
)
def test_the_ledger_refuses_boxes_that_hold_something_else(sealed, monkeypatch):
    monkeypatch.setattr(group, "multiply_many", lambda *_: pytest.fail("computed"))
    with pytest.raises(RegieError, match=r"SEALED_PART_INVALID.*sealed_ledger"):
        open_batch(sealed, TWO)


@pytest.mark.parametrize("elements", [[], [bytes(32)], [TWO[0][:-1]], [TWO[0], flip(TWO[1], -1)]])
def test_the_ledger_refuses_bad_elements(elements):
    with pytest.raises(RegieError, match="ELEMENT_INVALID"):
        open_batch(to_ledger(), elements)
    with pytest.raises(RegieError, match="ELEMENT_INVALID"):
        WORLD.ledger.subjects(PURPOSE, 1, elements)


def test_the_ledger_checks_the_sender():
    sealed, root, signature = BATCH.sealed_ledger, SIGNALS.admitted.root, BATCH.signature_ledger
    WORLD.ledger.verify_sender(WORLD.public[SENDER], HH, sealed, root, signature)
    for public, header_hash, box, other in (
        (WORLD.public[RECIPIENT], HH, sealed, root),
        (WORLD.public[SENDER], flip(HH), sealed, root),
        (WORLD.public[SENDER], HH, flip(sealed), root),
        (WORLD.public[SENDER], HH, sealed, flip(root)),
    ):
        with pytest.raises(RegieError, match="regie/s/l/v1"):
            WORLD.ledger.verify_sender(public, header_hash, box, other, signature)


def test_rows_of_the_ledger():
    point = Bsn(NUMBERS[0]).to_point()
    factor = WORLD.factors(WORLD.master1)[0] * WORLD.factors(WORLD.master2)[0] % group.ORDER
    assert WORLD.ledger.subjects(PURPOSE, 1, [group.multiply(factor, point)]) == [WORLD.ledger_row(NUMBERS[0])]


def test_releases_and_outcomes_are_sealed_for_one_purpose():
    nonce = bytes(32)
    sealed = PORT.seal_release(WORLD.recipient_hpke.public, HH, nonce, b"content")
    assert hpke.open_(WORLD.recipient_hpke, info_release(HH, nonce), sealed) == b"content"
    assert info_release(HH, nonce) == b"regie/rel/v1" + HH + nonce
    report = hpke.seal(WORLD.ledger_hpke.public, info_outcome(HH), b"report")
    assert PORT.open_outcome(HH, report) == b"report"
    with pytest.raises(RegieError, match="SEALED_PART_INVALID"):
        PORT.open_outcome(flip(HH), report)


def test_the_ledgers_own_keys():
    assert PORT.key_id == WORLD.ledger_hpke.key_id
    assert PORT.header_hash(BATCH.header) == HH
    PORT.verify(WORLD.public[LEDGER], b"regie/s/decision/v1", PORT.sign(b"regie/s/decision/v1", b"x"), b"x")


@pytest.mark.parametrize("closing", [0, group.ORDER])
def test_a_closing_scalar_is_reduced_and_not_zero(closing):
    with pytest.raises(ValueError, match="reduced"):
        LedgerSide(WORLD.ledger_hpke, closing, WORLD.sign[LEDGER], LEDGER)

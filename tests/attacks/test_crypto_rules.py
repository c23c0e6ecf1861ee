"""The numbered rules of the page "Pseudonyms" that concern bytes, and what cannot be opened without the ledger."""

from dataclasses import asdict, replace
from itertools import permutations

import pytest

from consent_ledger.errors import RegieError
from consent_ledger.v1.batch_pb2 import BatchHeader
from gateway.crypto import batch, envelope, gateway_side, group, hpke, signatures
from gateway.crypto.batch import SignalInput
from gateway.crypto.identifiers import Bsn
from gateway.crypto.recipient_side import verify_delivery
from tests.support.crypto import SENDER, World, valid_bsns

WORLD = World()
NUMBERS = valid_bsns(6)
SIGNALS = WORLD.run(NUMBERS)
HEADER_HASH = SIGNALS.sealing.header_hash
PERMITTED, REFUSED = list(SIGNALS.opened.positions[:3]), list(SIGNALS.opened.positions[3:])


def opens(secret: bytes, opening: bytes, position: int) -> bool:
    """Try every ciphertext slot that T1 kept with these two secrets."""
    where = position.to_bytes(2, "big")
    key, _ = envelope.content_key(secret, opening, HEADER_HASH, where)
    at = SIGNALS.opened.positions.index(position)
    try:
        envelope.open_(key, HEADER_HASH, where, SIGNALS.admitted.ciphertexts[at])
    except RegieError:
        return False
    return True


def recipients_secret() -> bytes:
    return hpke.open_(WORLD.recipient_hpke, batch.info_recipient(HEADER_HASH), SIGNALS.batch.sealed_recipient)


def test_gateway_and_recipient_cannot_open_what_was_refused():
    # They have k, all ciphertexts, and the openings of what was permitted; v_i of the refused exists nowhere any more.
    k = recipients_secret()
    openings = {position: SIGNALS.opened.opening(position) for position in PERMITTED}
    assert all(opens(k, openings[position], position) for position in PERMITTED)
    tried = [*openings.values(), k, bytes(32), SIGNALS.batch.filler_seed, SIGNALS.admitted.root, HEADER_HASH]
    assert not any(opens(k, value, position) for position in REFUSED for value in tried)


def test_the_ledger_cannot_open_signals_nor_can_it_with_the_gateway():
    # It has every v_i until it answers, and w; k it never has.
    w = hpke.open_(WORLD.ledger_hpke, batch.info_ledger(HEADER_HASH), SIGNALS.batch.sealed_ledger)[:32]
    for position in SIGNALS.opened.positions:
        opening = SIGNALS.opened.opening(position)
        assert not any(
            opens(secret, opening, position) for secret in (w, opening, bytes(32), SIGNALS.batch.filler_seed)
        )


def test_the_viewer_cannot_open_without_the_ledger():
    k = hpke.open_(WORLD.viewer, batch.info_viewer(HEADER_HASH), SIGNALS.batch.sealed_viewer)
    assert k == recipients_secret()
    assert not any(opens(k, value, position) for position in REFUSED for value in (k, bytes(32)))


@pytest.mark.parametrize("box", ["sealed_pseudonyms", "sealed_ledger", "sealed_recipient", "sealed_viewer"])
def test_boxes_open_for_their_party_field_and_batch_only(box):
    owners = {
        "sealed_pseudonyms": (WORLD.t2, batch.info_pseudonyms),
        "sealed_ledger": (WORLD.ledger_hpke, batch.info_ledger),
        "sealed_recipient": (WORLD.recipient_hpke, batch.info_recipient),
        "sealed_viewer": (WORLD.viewer, batch.info_viewer),
    }
    for name, (key, info) in owners.items():
        for header_hash in (HEADER_HASH, bytes(32)):
            if (name, header_hash) == (box, HEADER_HASH):
                hpke.open_(key, info(header_hash), getattr(SIGNALS.batch, box))
                continue
            with pytest.raises(RegieError, match="SEALED_PART_INVALID"):
                hpke.open_(key, info(header_hash), getattr(SIGNALS.batch, box))


def test_rule_2_a_new_batch_shares_nothing_with_the_old_one_but_the_reference():
    signals = [SignalInput(Bsn(number).message(), bytes([at]) * 16, b"same") for at, number in enumerate(NUMBERS)]
    words = []
    for batch_id in (bytes(16), bytes(15) + b"\1"):
        header = WORLD.header(batch_id, len(signals))
        sealed = batch.seal_batch(header, batch_id, signals, WORLD.sender_keys, rng=WORLD.rng.randbytes).batch
        values = [value for name, value in asdict(sealed).items() if isinstance(value, bytes) and name != "header"]
        words.append({value[at : at + 32] for value in values for at in range(0, len(value) - 31, 32)})
    assert not words[0] & words[1]


def test_rule_4_a_bad_element_is_found_before_anything_is_computed(monkeypatch):
    blinded = SIGNALS.batch.blinded[:-32]
    monkeypatch.setattr(group, "multiply_many", lambda *_: pytest.fail("computed"))
    said = set()
    for bad in (bytes(32), b"\1" + bytes(31), b"\xff" * 32, SIGNALS.batch.blinded[:32]):
        submitted = batch._sign(
            replace(SIGNALS.batch, blinded=blinded + bad), HEADER_HASH, SIGNALS.sealing.root, WORLD.sign[SENDER]
        )
        with pytest.raises(RegieError) as caught:
            gateway_side.admit(submitted, WORLD.public[SENDER], 6)
        said.add(str(caught.value))
    assert said == {"ELEMENT_INVALID: expected a list of valid group elements (field blinded)"}


LABELS = [
    b"regie/s/%s/v1" % name
    for name in (b"t1", b"t2", b"l", b"r", b"rows", b"domain", b"decision", b"release", b"pull", b"ack", b"outcome")
]


def test_rule_5_no_signature_passes_for_another_kind():
    key, parts = WORLD.sign[SENDER], (bytes(32), bytes(32))
    for made, checked in permutations(LABELS, 2):
        with pytest.raises(RegieError, match="SIGNATURE_INVALID"):
            signatures.verify(WORLD.public[SENDER], checked, signatures.sign(key, made, *parts), *parts)


def test_rule_5_no_label_is_the_beginning_of_another():
    assert not any(longer.startswith(shorter) for shorter, longer in permutations(LABELS, 2))


def test_rule_5_a_header_is_hashed_as_received():
    # The same fields in other bytes are another batch: nobody re-encodes what was signed.
    header = SIGNALS.batch.header
    tail = BatchHeader(count=6).SerializeToString()
    other = header + tail
    assert BatchHeader.FromString(other) == BatchHeader.FromString(header)
    assert WORLD.ledger.header_hash(other) != HEADER_HASH
    nonce = bytes(32)
    delivery = WORLD.delivery(SIGNALS, WORLD.release(SIGNALS, PERMITTED, nonce))
    with pytest.raises(RegieError, match="PROOF_INVALID"):
        verify_delivery(replace(delivery, header=other), WORLD.expected(SIGNALS, nonce), WORLD.recipient_keys)
    with pytest.raises(RegieError, match="SIGNATURE_INVALID"):
        WORLD.admit(replace(SIGNALS.batch, header=other))


def test_roles_never_share_a_domain():
    # One organisation that is a recipient and the ledger's operator has unlinked pseudonyms in the two roles.
    assert WORLD.domain_ledger.encode() != replace(WORLD.domain_ledger, role="recipient").encode()
    assert len(set(WORLD.factors(WORLD.master1))) == 2


def test_errors_hold_no_identifier_and_no_secret():
    secrets = [*NUMBERS, WORLD.hedge.hex(), WORLD.master1.hex(), str(WORLD.closing_ledger)]
    shown = repr(SIGNALS.batch) + repr(SIGNALS.opened) + repr(WORLD.sender_keys) + repr(WORLD.recipient_keys)
    assert not any(secret in shown for secret in secrets)

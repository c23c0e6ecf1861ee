"""The sender's part: every value of a batch recomputed from the page "Pseudonyms", with the parties' keys."""

import hashlib
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, fields

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from consent_ledger.errors import RegieError
from gateway.crypto import batch, group, hpke
from gateway.crypto.batch import SealedBatch, SignalInput
from gateway.crypto.identifiers import Bsn
from gateway.v1.exchange_pb2 import SubmitBatchRequest
from tests.support.crypto import SENDER, World, valid_bsns

ORDER = group.ORDER
WORLD = World()
NUMBERS = valid_bsns(11)
SEALING = WORLD.seal(NUMBERS)
BATCH = SEALING.batch
HH = hashlib.sha256(b"regie/hdr/v1" + BATCH.header).digest()


def sha256(data):
    return hashlib.sha256(data).digest()


def split(data, size):
    return [data[at : at + size] for at in range(0, len(data), size)]


def scalars(data):
    return [int.from_bytes(part, "little") for part in split(data, 32)]


def hkdf(secret, info, length):
    return HKDF(hashes.SHA512(), length, None, info).derive(secret)


def opened():
    """Open all boxes: w, positions, u_L of toL; tau_L, tau_R of toT2; k of encR."""
    to_l = hpke.open_(WORLD.ledger_hpke, b"regie/l/v1" + HH, BATCH.sealed_ledger)
    to_t2 = scalars(hpke.open_(WORLD.t2, b"regie/t2/v1" + HH, BATCH.sealed_pseudonyms))
    k = hpke.open_(WORLD.recipient_hpke, b"regie/r/v1" + HH, BATCH.sealed_recipient)
    assert hpke.open_(WORLD.viewer, b"regie/v/v1" + HH, BATCH.sealed_viewer) == k
    return to_l[:32], split(to_l[32:54], 2), scalars(to_l[54 : 54 + 32 * 11]), to_t2[:11], to_t2[11:], k


def plaintexts():
    w, slots, _, _, _, k = opened()
    found = []
    for slot, com, ct in zip(
        slots, split(BATCH.commitments, 32), split(BATCH.ciphertexts, BATCH.ciphertext_size), strict=True
    ):
        v = hkdf(w, b"regie/open/v1" + HH + slot, 32)
        derived = hkdf(k + v, b"regie/ct/v1" + HH + slot, 64)
        assert derived[32:] == com
        found.append(AESGCM(derived[:32]).decrypt(bytes(12), ct, HH + slot))
    return found


def test_fields_are_those_of_the_message():
    names = {descriptor.name for descriptor in SubmitBatchRequest.DESCRIPTOR.fields}
    assert {field.name for field in fields(SealedBatch)} == names
    assert SubmitBatchRequest(**asdict(BATCH)).blinded == BATCH.blinded


def test_boxes_and_ciphertexts():
    w, slots, u_l, tau_l, tau_r, k = opened()
    assert (len(w), len(k), len(u_l), len(tau_l), len(tau_r)) == (32, 32, 11, 11, 11)
    assert b"".join(slots) == BATCH.positions
    assert SEALING.header_hash == HH
    for plaintext, number in zip(plaintexts(), SEALING.order, strict=True):
        assert plaintext[32:48] == number.to_bytes(16, "big")
        payload = b"signal %d" % number
        assert plaintext[48:] == (len(payload).to_bytes(2, "big") + payload).ljust(len(plaintext) - 48, b"\0")


def test_the_blinding_is_split():
    _, _, u_l, tau_l, tau_r, _ = opened()
    u_r = [int.from_bytes(plaintext[:32], "little") for plaintext in plaintexts()]
    for at, number in enumerate(SEALING.order):
        a = pow(tau_l[at] * u_l[at], -1, ORDER)
        assert a == pow(tau_r[at] * u_r[at], -1, ORDER)
        assert split(BATCH.blinded, 32)[at] == group.multiply(a, Bsn(NUMBERS[number]).to_point())
    assert len({*u_l, *u_r, *tau_l, *tau_r}) == 44


def test_signatures():
    public = Ed25519PublicKey.from_public_bytes(WORLD.public[SENDER])
    inner = BATCH.signature_pseudonyms + BATCH.signature_ledger + BATCH.signature_recipient
    leaf_data = BATCH.positions + BATCH.commitments + BATCH.ciphertexts
    root = SEALING.root
    public.verify(BATCH.signature_pseudonyms, b"regie/s/t2/v1" + HH + sha256(BATCH.sealed_pseudonyms))
    public.verify(BATCH.signature_ledger, b"regie/s/l/v1" + HH + sha256(BATCH.sealed_ledger) + root)
    sealed = sha256(BATCH.sealed_recipient) + sha256(BATCH.sealed_viewer)
    public.verify(BATCH.signature_recipient, b"regie/s/r/v1" + HH + sealed + root)
    parts = HH + sha256(BATCH.blinded) + sha256(inner) + sha256(leaf_data) + sha256(BATCH.filler_seed)
    public.verify(BATCH.signature_gateway, b"regie/s/t1/v1" + parts)


def test_positions_are_random_and_hide_the_order_of_the_input():
    seen, orders = set(), set()
    for _ in range(40):
        sealing = WORLD.seal(NUMBERS[:3])
        positions = split(sealing.batch.positions, 2)
        assert positions == sorted(positions)
        assert sorted(sealing.order) == [0, 1, 2]
        seen.update(positions)
        orders.add(sealing.order)
    assert len(seen) == 8
    assert len(orders) == 6


def test_sizes_tell_the_largest_payload_only():
    def sizes(*lengths):
        signals = [SignalInput(b"id", bytes(16), bytes(length)) for length in lengths]
        header = WORLD.header(bytes(16), len(lengths))
        sealed = batch.seal_batch(header, bytes(16), signals, WORLD.sender_keys, rng=WORLD.rng.randbytes).batch
        values = asdict(sealed)
        return {name: len(value) for name, value in values.items() if isinstance(value, bytes)}

    assert sizes(0, 60) == sizes(60, 60) == sizes(78, 1)
    assert sizes(79, 0)["ciphertexts"] == sizes(78, 0)["ciphertexts"] + 2 * 64


def test_workers_change_nothing():
    signals = [SignalInput(Bsn(number).message(), bytes(16), b"") for number in valid_bsns(100)]
    with ThreadPoolExecutor(2) as workers:
        sealed = [
            batch.seal_batch(
                WORLD.header(bytes(16), 100),
                bytes(16),
                signals,
                WORLD.sender_keys,
                rng=random.Random(5).randbytes,
                workers=lent,
            )
            for lent in (None, workers)
        ]
    assert sealed[0].batch.blinded == sealed[1].batch.blinded
    assert sealed[0].root == sealed[1].root


def seal_with(rng, batch_id, identifiers, keys=WORLD.sender_keys):
    signals = [SignalInput(identifier, bytes(16), b"") for identifier in identifiers]
    header = WORLD.header(batch_id, len(signals))
    return batch.seal_batch(header, batch_id, signals, keys, rng=rng).batch


def test_a_broken_generator_repeats_nothing_across_batches_slots_or_senders():
    stuck = bytes
    one, two = bytes(16), bytes(15) + b"\1"
    first, second = seal_with(stuck, one, [b"a", b"a"]), seal_with(stuck, two, [b"a", b"a"])
    other = World(seed=9)
    third = seal_with(stuck, one, [b"a", b"a"], other.sender_keys)
    blinded = [element for sealed in (first, second, third) for element in split(sealed.blinded, 32)]
    assert len(set(blinded)) == 6
    assert len({first.filler_seed, second.filler_seed, third.filler_seed}) == 3


def test_a_known_hedge_key_repeats_nothing_with_a_sound_generator():
    one = seal_with(random.Random(1).randbytes, bytes(16), [b"a"] * 8)
    two = seal_with(random.Random(2).randbytes, bytes(16), [b"a"] * 8)
    assert one.positions == two.positions, "all slots are taken: only fresh randomness differs"
    assert not set(split(one.blinded, 32)) & set(split(two.blinded, 32))
    assert one.filler_seed != two.filler_seed


@pytest.mark.parametrize("count", [0, 1001])
def test_batches_have_1_to_1000_signals(count):
    with pytest.raises(RegieError, match="FIELD_INVALID"):
        seal_with(random.Random(1).randbytes, bytes(16), [b"a"] * count)


def test_fields_that_are_refused():
    def seal(batch_id=bytes(16), ref=bytes(16), payload=b"", keys=WORLD.sender_keys):
        signals = [SignalInput(b"id", ref, payload)]
        return batch.seal_batch(b"header", batch_id, signals, keys, rng=WORLD.rng.randbytes)

    seal()
    for wrong in ({"batch_id": bytes(15)}, {"ref": bytes(15)}, {"payload": bytes(3983)}):
        with pytest.raises(RegieError, match="FIELD_INVALID"):
            seal(**wrong)
    keys = asdict(WORLD.sender_keys) | {"signing": WORLD.sign[SENDER]}
    with pytest.raises(ValueError, match="hedge"):
        seal(keys=batch.SenderKeys(**(keys | {"hedge": b""})))
    with pytest.raises(RegieError, match="KEY_UNKNOWN"):
        seal(keys=batch.SenderKeys(**(keys | {"ledger": b""})))


def test_secrets_do_not_show():
    shown = repr(WORLD.sender_keys) + repr(SEALING) + repr(SignalInput(b"identifier", bytes(16), b"payload"))
    for secret in (WORLD.hedge, b"identifier", b"payload", BATCH.blinded[:8]):
        assert repr(secret)[2:-1] not in shown

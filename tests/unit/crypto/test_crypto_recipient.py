"""R: everything that can be wrong with a delivery is refused, with its reason."""

from dataclasses import replace

import pytest

from consent_ledger.errors import RegieError
from consent_ledger.hashing import sha256
from consent_ledger.v1.decisions_pb2 import ReleaseContent, ReleasedSignal
from gateway.crypto import batch, group, hpke, recipient_side, signatures
from gateway.crypto.recipient_side import verify_delivery
from tests.support.crypto import GATEWAY, LEDGER, NOW, RECIPIENT, SENDER, World, valid_bsns

WORLD = World()
NUMBERS = valid_bsns(9)
SIGNALS = WORLD.run(NUMBERS)
POSITIONS = list(SIGNALS.opened.positions)
NONCE = bytes(range(32))
EXPECTED = WORLD.expected(SIGNALS, NONCE)
DELIVERY = WORLD.delivery(SIGNALS, WORLD.release(SIGNALS, POSITIONS, NONCE))


def flip(data, at=0):
    at %= len(data)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def refused(reason, delivery=DELIVERY, expected=EXPECTED, keys=WORLD.recipient_keys):
    with pytest.raises(RegieError, match=reason):
        verify_delivery(delivery, expected, keys)


def with_item(at, **changed):
    items = list(DELIVERY.items)
    items[at] = replace(items[at], **changed)
    return replace(DELIVERY, items=items)


def released(positions=POSITIONS, **changed):
    return WORLD.delivery(SIGNALS, WORLD.release(SIGNALS, positions, NONCE, **changed))


def with_content(content: bytes):
    """The ledger signs a release of another content."""
    sealed = WORLD.ledger.seal_release(WORLD.recipient_hpke.public, EXPECTED.header_hash, NONCE, content)
    return replace(released(POSITIONS, sealed_hash=sha256(sealed)), release_sealed=sealed)


def test_a_delivery_opens():
    opened = verify_delivery(DELIVERY, EXPECTED, WORLD.recipient_keys)
    names = [NUMBERS[number] for number in SIGNALS.sealing.order]
    assert [signal.index for signal in opened.signals] == [WORLD.recipient_row(name) for name in names]
    assert [signal.payload for signal in opened.signals] == [b"signal %d" % number for number in SIGNALS.sealing.order]
    refs = [number.to_bytes(16, "big") for number in SIGNALS.sealing.order]
    assert [signal.signal_ref for signal in opened.signals] == refs
    assert [signal.position for signal in opened.signals] == POSITIONS
    assert [signal.release.position for signal in opened.signals] == POSITIONS
    assert opened.header.sender == SENDER
    assert opened.checkpoint == "checkpoint"


@pytest.mark.parametrize("positions", [[], POSITIONS[3:4], POSITIONS[::-2]])
def test_only_what_was_released_opens(positions):
    opened = verify_delivery(released(positions), EXPECTED, WORLD.recipient_keys)
    assert [signal.position for signal in opened.signals] == positions


def test_the_ledgers_signature():
    refused("regie/s/release/v1", replace(DELIVERY, release_signature=flip(DELIVERY.release_signature)))
    refused("regie/s/release/v1", replace(DELIVERY, release_statement=flip(DELIVERY.release_statement)))
    refused("regie/s/release/v1", expected=replace(EXPECTED, ledger_public=WORLD.public[GATEWAY]))


def test_a_release_by_another_key_than_the_policys():
    signature = signatures.sign(WORLD.sign[GATEWAY], b"regie/s/release/v1", sha256(DELIVERY.release_statement))
    refused("regie/s/release/v1", replace(DELIVERY, release_signature=signature))


def test_nonce_and_batch_of_the_pull():
    refused("PROOF_INVALID.*statement", expected=replace(EXPECTED, nonce=bytes(32)))
    refused("PROOF_INVALID.*statement", released(nonce=bytes(32)))
    refused("PROOF_INVALID.*statement", released(header_hash=bytes(32)))
    refused("PROOF_INVALID.*header", replace(DELIVERY, header=DELIVERY.header + b"\0"))


@pytest.mark.parametrize("now", [NOW + 300_000, NOW + 300_001, NOW - 300_001])
def test_expiry(now):
    refused("NOT_FRESH", expected=replace(EXPECTED, now_ms=now))


@pytest.mark.parametrize("now", [NOW + 299_999, NOW, NOW - 300_000])
def test_fresh_releases(now):
    verify_delivery(DELIVERY, replace(EXPECTED, now_ms=now), WORLD.recipient_keys)


def test_roots():
    refused("PROOF_INVALID.*root", replace(DELIVERY, root=flip(DELIVERY.root)))
    refused("PROOF_INVALID.*root", released(root=flip(DELIVERY.root)))
    # Ledger and gateway agree on a root that the sender never signed.
    refused("regie/s/r/v1", replace(released(root=flip(DELIVERY.root)), root=flip(DELIVERY.root)))


def test_the_senders_signature():
    refused("regie/s/r/v1", replace(DELIVERY, signature_recipient=flip(DELIVERY.signature_recipient)))
    refused("regie/s/r/v1", replace(DELIVERY, sealed_viewer_hash=flip(DELIVERY.sealed_viewer_hash)))
    refused("regie/s/r/v1", replace(DELIVERY, sealed_recipient=flip(DELIVERY.sealed_recipient)))
    refused("regie/s/r/v1", expected=replace(EXPECTED, sender_public=WORLD.public[GATEWAY]))


def test_release_content():
    refused("PROOF_INVALID.*sealed", replace(DELIVERY, release_sealed=flip(DELIVERY.release_sealed)))
    refused("SEALED_PART_INVALID.*sealed", with_content(b"\xff"))
    other = hpke.seal(WORLD.viewer.public, b"", b"")
    refused("SEALED_PART_INVALID.*sealed", replace(released(sealed_hash=sha256(other)), release_sealed=other))


def test_a_statement_that_is_none():
    statement = b"\xff"
    signature = WORLD.ledger.sign(b"regie/s/release/v1", sha256(statement))
    refused("FIELD_INVALID", replace(DELIVERY, release_statement=statement, release_signature=signature))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"path": flip(DELIVERY.items[2].path)}, "PROOF_INVALID.*path"),
        ({"path": DELIVERY.items[2].path[:-32]}, "PROOF_INVALID.*path"),
        ({"path": b""}, "PROOF_INVALID.*path"),
        ({"commitment": flip(DELIVERY.items[2].commitment)}, "PROOF_INVALID.*path"),
        ({"ciphertext": flip(DELIVERY.items[2].ciphertext)}, "PROOF_INVALID.*path"),
        ({"ciphertext": DELIVERY.items[3].ciphertext}, "PROOF_INVALID.*path"),
        ({"evaluated": bytes(32)}, "ELEMENT_INVALID.*evaluated"),
        ({"evaluated": b""}, "ELEMENT_INVALID.*evaluated"),
        ({"evaluated": flip(DELIVERY.items[2].evaluated, -1)}, "ELEMENT_INVALID.*evaluated"),
        ({"position": DELIVERY.items[3].position}, "PROOF_INVALID.*items"),
        ({"position": 1023}, "PROOF_INVALID.*items"),
    ],
)
def test_one_bad_item_refuses_the_delivery(changed, reason):
    refused(reason, with_item(2, **changed))


def test_items_that_are_missing():
    refused("PROOF_INVALID.*fewer", replace(DELIVERY, items=DELIVERY.items[:-1]))
    refused("PROOF_INVALID.*fewer", replace(DELIVERY, items=[]))


def test_a_position_delivered_twice():
    refused("PROOF_INVALID.*once", replace(DELIVERY, items=[*DELIVERY.items, DELIVERY.items[0]]))


def test_a_position_released_twice():
    signals = [ReleasedSignal(position=POSITIONS[0], opening=SIGNALS.opened.opening(POSITIONS[0]))] * 2
    refused("PROOF_INVALID.*once", with_content(ReleaseContent(signals=signals).SerializeToString()))


def test_an_opening_of_another_slot():
    signals = [ReleasedSignal(position=POSITIONS[0], opening=SIGNALS.opened.opening(POSITIONS[1]))]
    refused("PROOF_INVALID.*commitment", with_content(ReleaseContent(signals=signals).SerializeToString()))


def test_a_batch_for_somebody_else():
    refused("PEER_MISMATCH", expected=replace(EXPECTED, recipient=SENDER))
    refused("PEER_MISMATCH", expected=replace(EXPECTED, ledger=GATEWAY))
    refused("KEY_UNKNOWN", keys=replace(WORLD.recipient_keys, hpke_private=WORLD.viewer))


def signed_header(**changed):
    """The sender signs, and the ledger releases, a batch with another header."""
    sealing = WORLD.seal(NUMBERS[:1], **changed)
    other = replace(SIGNALS, sealing=sealing, admitted=WORLD.admit(sealing.batch))
    other = replace(other, opened=replace(SIGNALS.opened, positions=()))
    delivery = WORLD.delivery(other, WORLD.release(other, [], NONCE), [])
    return delivery, WORLD.expected(other, NONCE)


def test_headers():
    delivery, expected = signed_header()
    assert verify_delivery(delivery, expected, WORLD.recipient_keys).signals == ()
    refused("SUITE_UNKNOWN", *signed_header(suite="another/1"))


def sealed_secret(secret):
    """A sender seals something else than a key of 32 bytes to the recipient."""
    box = hpke.seal(WORLD.recipient_hpke.public, batch.info_recipient(EXPECTED.header_hash), secret)
    parts = (EXPECTED.header_hash, sha256(box), DELIVERY.sealed_viewer_hash, DELIVERY.root)
    signature = signatures.sign(WORLD.sign[SENDER], b"regie/s/r/v1", *parts)
    return replace(DELIVERY, sealed_recipient=box, signature_recipient=signature)


def test_the_senders_key():
    refused("SEALED_PART_INVALID.*sealed_recipient", sealed_secret(bytes(31)))
    refused("PROOF_INVALID.*commitment", sealed_secret(bytes(32)))


def test_a_header_that_is_none():
    header = b"\xff\xff"
    hh = WORLD.ledger.header_hash(header)
    statement = WORLD.release(SIGNALS, [], NONCE, header_hash=hh)
    delivery = replace(WORLD.delivery(SIGNALS, statement), header=header)
    refused("FIELD_INVALID.*header", delivery, replace(EXPECTED, header_hash=hh))


def test_pseudonyms_need_the_closing_scalar():
    other = replace(WORLD.recipient_keys, closing_scalar=group.random_scalar(WORLD.rng.randbytes))
    opened = verify_delivery(DELIVERY, EXPECTED, other)
    rows = {WORLD.recipient_row(number) for number in NUMBERS}
    assert not rows & {signal.index for signal in opened.signals}


def test_labels():
    assert recipient_side.LABEL_RELEASE == b"regie/s/release/v1"
    assert {LEDGER, RECIPIENT} == {EXPECTED.ledger, EXPECTED.recipient}

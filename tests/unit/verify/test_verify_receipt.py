"""receipt.py: a receipt binds one event to the log's signature, and nothing in it can be changed."""

import dataclasses

import pytest
from ledger_files import SIGNER, VKEY

from consent_ledger.log.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from consent_ledger.log.errors import FormatError, NoteError, ProofError, VerificationError
from consent_ledger.log.merkle import leaf_hash, root_of
from consent_ledger.log.note import Signer
from consent_ledger.log.proof import Receipt
from consent_ledger.log.tiles import inclusion_path, inclusion_paths
from consent_ledger.v1.events_pb2 import Event
from consent_ledger.verify import verify_event, verify_receipt
from consent_ledger.verify.leaves import commitment_entry, commitment_of
from consent_ledger.verify.receipt import ReceiptsUnder

INDEX = 100


@pytest.fixture(scope="module")
def receipt(ledger):
    def tiles(level, index, width):
        slots = range(index * 256, index * 256 + width)
        from_leaves = [inclusion_root(ledger, slot) for slot in slots] if level else []
        return b"".join(from_leaves or [ledger.hashes[slot] for slot in slots])

    salt, event, _ = ledger.payloads[INDEX]
    path = tuple(inclusion_path(INDEX, len(ledger.entries), tiles))
    return Receipt(salt + event, INDEX, path, ledger.checkpoint())


def inclusion_root(ledger, slot):
    return root_of(ledger.hashes[slot * 256 : slot * 256 + 256])


def test_a_receipt_checks(receipt, ledger):
    verified = verify_receipt(receipt.format(), VKEY)
    assert verified.event == Event.FromString(ledger.payloads[INDEX][1])
    assert (verified.index, verified.size, verified.origin) == (INDEX, 600, SIGNER.name)
    assert verified.leaf_hash == leaf_hash(ledger.entries[INDEX])


def test_every_changed_character_is_noticed(receipt):
    text = receipt.format()
    for at in range(len(text)):
        for bit in (1, 2, 4):
            changed = text[:at] + chr(ord(text[at]) ^ bit) + text[at + 1 :]
            with pytest.raises(VerificationError):
                verify_receipt(changed, VKEY)


def test_every_cut_is_noticed(receipt):
    text = receipt.format()
    for at in range(len(text)):
        with pytest.raises(VerificationError):
            verify_receipt(text[:at], VKEY)
    with pytest.raises(VerificationError):
        verify_receipt(text + "\n", VKEY)


@pytest.mark.parametrize("length", [0, 1, 31, 32])
def test_extra_without_a_salt_and_an_event(receipt, length):
    with pytest.raises(VerificationError, match=f"expected a salt of 32 bytes and an event, got {length} bytes"):
        verify_receipt(dataclasses.replace(receipt, extra=receipt.extra[:length]).format(), VKEY)


def test_event_of_another_leaf(receipt, ledger):
    salt, event, _ = ledger.payloads[INDEX + 1]
    with pytest.raises(ProofError, match=r"expected [0-9a-f]{64}, got [0-9a-f]{64}"):
        verify_receipt(dataclasses.replace(receipt, extra=salt + event).format(), VKEY)


@pytest.mark.parametrize("index", [INDEX - 1, INDEX + 1, 0, 599, 600, 2**63 - 1])
def test_another_index(receipt, index):
    with pytest.raises(ProofError):
        verify_receipt(dataclasses.replace(receipt, index=index).format(), VKEY)


def test_path_of_another_shape(receipt):
    for path in (receipt.path[:-1], receipt.path[1:], (*receipt.path, bytes(32)), receipt.path[::-1], ()):
        with pytest.raises(ProofError):
            verify_receipt(dataclasses.replace(receipt, path=path).format(), VKEY)


def test_checkpoint_of_somebody_else(receipt):
    checkpoint = Checkpoint.parse(receipt.checkpoint_note.partition("\n\n")[0] + "\n")
    impostor = Signer(SIGNER.name, b"\1" * 32)
    with pytest.raises(NoteError, match="no known key"):
        verify_receipt(
            dataclasses.replace(receipt, checkpoint_note=sign_checkpoint(checkpoint, [impostor])).format(), VKEY
        )
    other = dataclasses.replace(checkpoint, origin="other.example")
    with pytest.raises(NoteError, match=r"expected a signature by the log other\.example"):
        verify_receipt(dataclasses.replace(receipt, checkpoint_note=sign_checkpoint(other, [SIGNER])).format(), VKEY)
    with pytest.raises(NoteError, match="no known key"):
        verify_receipt(receipt.format(), impostor.verifier.format())


def test_empty_tree(receipt):
    note = sign_checkpoint(Checkpoint(SIGNER.name, 0, bytes(32)), [SIGNER])
    with pytest.raises(ProofError):
        verify_receipt(Receipt(receipt.extra, 0, (), note).format(), VKEY)


@pytest.mark.parametrize("event", [b"\xff", Event(time_ms=1).SerializeToString()])
def test_committed_bytes_that_are_no_event(event):
    leaf = leaf_hash(commitment_entry(commitment_of(bytes(32), event)))
    note = sign_checkpoint(Checkpoint(SIGNER.name, 1, leaf), [SIGNER])
    with pytest.raises(VerificationError, match="event"):
        verify_receipt(Receipt(bytes(32) + event, 0, (), note).format(), VKEY)


def test_many_events_under_one_opened_checkpoint(receipt, ledger):
    checkpoint = open_checkpoint(receipt.checkpoint_note, [SIGNER.verifier])
    salt, event, _ = ledger.payloads[INDEX]
    assert verify_event(checkpoint, INDEX, receipt.path, salt, event) == verify_receipt(receipt.format(), VKEY)
    for wrong in ((INDEX + 1, receipt.path, salt, event), (INDEX, receipt.path[1:], salt, event)):
        with pytest.raises(ProofError):
            verify_event(checkpoint, *wrong)
    for wrong_salt in (salt[:31], salt + event[:1], b"", bytes(32)):
        with pytest.raises(VerificationError):
            verify_event(checkpoint, INDEX, receipt.path, wrong_salt, event)


def test_text_that_is_no_receipt():
    for text in ("", "hello", "\ud800"):
        with pytest.raises(FormatError):
            verify_receipt(text, VKEY)


def test_many_under_one_checkpoint_are_the_receipts_that_each_would_be(ledger):
    def tiles(level, index, width):
        slots = range(index * 256, index * 256 + width)
        from_leaves = [inclusion_root(ledger, slot) for slot in slots] if level else []
        return b"".join(from_leaves or [ledger.hashes[slot] for slot in slots])

    size, note = len(ledger.entries), ledger.checkpoint()
    under = ReceiptsUnder(note, VKEY)
    payloads = sorted(ledger.payloads.items())
    paths = inclusion_paths([index for index, _ in payloads], size, tiles)
    for (index, (salt, event, _)), path in zip(payloads, paths, strict=True):
        text, read = under.receipt(index, b"".join(path), salt, event)
        assert text == Receipt(salt + event, index, tuple(path), note).format()
        assert read == Event.FromString(event)
    assert verify_receipt(text, VKEY).index == index
    for wrong in (
        (index - 1, b"".join(path), salt),
        (index, b"".join(path[1:]), salt),
        (index, b"".join(path), bytes(32)),
    ):
        with pytest.raises(VerificationError):
            under.receipt(*wrong, event)


def test_a_checkpoint_of_another_log_gives_no_receipts(ledger):
    other = Signer(SIGNER.name, bytes([1]) * 32)
    with pytest.raises(NoteError):
        ReceiptsUnder(sign_checkpoint(open_checkpoint(ledger.checkpoint(), [SIGNER.verifier]), [other]), VKEY)

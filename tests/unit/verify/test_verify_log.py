"""log.py: a log is exactly the entries that its checkpoint signs, each of them a leaf."""

import pytest
from ledger_files import SIGNER, VKEY, LedgerFile, town

from consent_ledger.log.checkpoint import Checkpoint, sign_checkpoint
from consent_ledger.log.errors import NoteError, VerificationError
from consent_ledger.log.note import Signer
from consent_ledger.v1.events_pb2 import EntryErased, Leaf, LogKeyAdded, PublicEvent
from consent_ledger.verify import verify_log

COMMITMENT = b"\x0a\x20" + bytes(32)


def signed(entries):
    ledger = LedgerFile()
    ledger.entries = list(entries)
    return ledger.checkpoint()


def public(sequence, **body):
    return Leaf(public=PublicEvent(sequence=sequence, **body)).SerializeToString()


def key(sequence):
    return public(sequence, log_key_added=LogKeyAdded(verifier_key=VKEY))


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 600])
def test_a_whole_log(size):
    ledger = town(size) if size > 3 else LedgerFile()
    while len(ledger.entries) < size:
        ledger.committed(b"one")
    seen = []
    report = verify_log(iter(ledger.entries), ledger.checkpoint(), [VKEY], lambda *step: seen.append(step))
    assert (report.size, report.origin) == (size, SIGNER.name)
    assert report.commitments + len(report.public_events) == size
    assert [event.sequence for _, event in report.public_events] == list(range(1, ledger.sequence + 1))
    assert [Leaf(public=event).SerializeToString() for _, event in report.public_events] == [
        ledger.entries[index] for index, _ in report.public_events
    ]
    assert seen[-1:] == ([(size, size)] if size else [])


def test_progress_of_a_long_log():
    entries = [COMMITMENT] * 10_000
    seen = []
    verify_log(entries, signed(entries), [VKEY], lambda *step: seen.append(step))
    assert [done for done, _ in seen] == [4096, 8192, 10_000]


def test_any_change_is_noticed(ledger):
    note, entries = ledger.checkpoint(), ledger.entries
    other = COMMITMENT[:-1] + b"\1"
    for wrong in (
        entries[:-1],
        entries[1:],
        [],
        [*entries, other],
        [*entries, entries[-1]],
        [*entries[:9], other, *entries[10:]],
        [*entries[:9], entries[10], entries[9], *entries[11:]],
        [*entries[:9], entries[8], *entries[10:]],
        [*entries[:9], *entries[10:], other],
    ):
        with pytest.raises(VerificationError):
            verify_log(wrong, note, [VKEY])


def test_entries_that_are_missing_at_the_end(ledger):
    with pytest.raises(VerificationError, match="expected 600 entries as signed, got 599"):
        verify_log(ledger.entries[:-1], ledger.checkpoint(), [VKEY])


def test_a_tail_is_refused_without_reading_it_all():
    def endless():
        while True:
            yield COMMITMENT

    with pytest.raises(VerificationError, match="expected 3 entries as signed, got more"):
        verify_log(endless(), signed([COMMITMENT] * 3), [VKEY])


def test_checkpoint_must_be_the_logs():
    entries = [COMMITMENT]
    with pytest.raises(NoteError):
        verify_log(entries, signed(entries), [Signer("other.example", bytes(32)).verifier.format()])
    with pytest.raises(NoteError):
        verify_log(entries, signed(entries), [])
    witness = Signer("witness.example", bytes(32))
    with pytest.raises(NoteError, match="expected a signature by the log"):
        verify_log(
            entries, sign_checkpoint(Checkpoint(SIGNER.name, 1, bytes(32)), [witness]), [witness.verifier.format()]
        )


@pytest.mark.parametrize(
    "entry",
    [
        b"",
        b"\0",
        b"\xff" * 34,
        b"entry 0",
        b"\x0a\x1f" + bytes(31),
        b"\x0a\x21" + bytes(33),
        b"\x0a\xa0\x00" + bytes(32),
        COMMITMENT + b"\0",
        COMMITMENT + COMMITMENT,
        COMMITMENT + b"\x18\x01",
        COMMITMENT[:-1],
        b"\x0a\x00",
        Leaf(public=PublicEvent(sequence=1)).SerializeToString(),
        b"\x1a\x00",
    ],
)
def test_what_is_no_leaf(entry):
    entries = [COMMITMENT, entry]
    with pytest.raises(VerificationError, match="leaf 1: "):
        verify_log(entries, signed(entries), [VKEY])


@pytest.mark.parametrize("sequences", [[0], [2], [1, 1], [1, 3], [1, 2, 4], [2, 1]])
def test_public_events_have_no_gap(sequences):
    entries = [COMMITMENT, *map(key, sequences)]
    with pytest.raises(VerificationError, match=f"leaf {len(sequences) if sequences[0] == 1 else 1}: .*sequence"):
        verify_log(entries, signed(entries), [VKEY])


@pytest.mark.parametrize("index", [1, 2, 3, 2**63])
def test_erasures_name_earlier_commitments(index):
    entries = [COMMITMENT, key(1), public(2, entry_erased=EntryErased(index=index)), COMMITMENT]
    with pytest.raises(VerificationError, match="leaf 2: EntryErased"):
        verify_log(entries, signed(entries), [VKEY])
    entries[2] = public(2, entry_erased=EntryErased(index=0))
    assert verify_log(entries, signed(entries), [VKEY]).erased == {0}


def test_signed_root_that_the_entries_do_not_have():
    note = sign_checkpoint(Checkpoint(SIGNER.name, 2, bytes(32)), [SIGNER])
    with pytest.raises(VerificationError, match=f"expected {'00' * 32} as signed, got [0-9a-f]{{64}}"):
        verify_log([COMMITMENT, COMMITMENT], note, [VKEY])

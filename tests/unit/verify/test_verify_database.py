"""database.py: whatever is changed in a ledger's file, the row that does not check is named."""

import re
import shutil

import pytest
from ledger_files import SCHEMA, SIGNER, VKEY, LedgerFile, broken_row, change, connect, flip, flipped

from consent_ledger.log.checkpoint import Checkpoint, sign_checkpoint
from consent_ledger.log.errors import NoteError, VerificationError
from consent_ledger.log.note import Signer
from consent_ledger.storage.sqlite import create_file
from consent_ledger.v1.events_pb2 import EntryErased, LogKeyAdded
from consent_ledger.verify import RowError, verify_database

ERASED = (50, 51, 263)
PAYLOADS = (3, 4, 49, 255, 256, 511, 599)  # first, last, and around the borders of tiles
LEAVES = (0, 1, 255, 256, 300, 511, 512, 599)


def test_a_whole_ledger_checks(database, ledger):
    seen = []
    report = verify_database(database, VKEY, lambda done, total: seen.append((done, total)))
    assert report.log.size == 600
    assert report.log.origin == SIGNER.name
    assert len(report.log.public_events) == ledger.sequence
    assert report.log.commitments == 600 - ledger.sequence
    assert report.log.erased == set(ERASED)
    assert report.erased == len(ERASED)
    assert report.opened == len(ledger.payloads)
    assert seen[-1] == (600, 600)


def test_the_schema_of_the_writer(tmp_path, ledger):
    """The verifier shares no code with the writer, so this alone notices when their columns part."""
    path = tmp_path / "ledger.db"
    create_file(path).dispose()
    ledger.write(path, schema="")
    assert verify_database(path, VKEY).opened == len(ledger.payloads)


def test_an_empty_ledger_checks(tmp_path):
    path = tmp_path / "ledger.db"
    LedgerFile().write(path)
    assert verify_database(path, VKEY).log.size == 0


@pytest.mark.parametrize("size", [1, 255, 256, 257, 4095, 4096, 4097])
def test_sizes_around_tiles_and_chunks(tmp_path, size):
    path = tmp_path / "ledger.db"
    ledger = LedgerFile()
    for _ in range(size):
        ledger.committed(b"one")
    ledger.write(path)
    assert verify_database(path, VKEY).opened == size


@pytest.mark.parametrize("index", LEAVES)
@pytest.mark.parametrize("at", [0, 1, 2, -1])
@pytest.mark.parametrize("column", ["entry", "hash"])
def test_flipped_leaf(database, index, at, column):
    flip(database, "leaf", column, f"idx = {index}", at)
    assert broken_row(database) == ("leaf", index, "hash")


@pytest.mark.parametrize("index", PAYLOADS)
@pytest.mark.parametrize("at", [0, 1, 20, -1])
@pytest.mark.parametrize(
    ("column", "named"), [("salt", "salt and event"), ("event", "salt and event"), ("private", "private")]
)
def test_flipped_payload(database, index, at, column, named):
    flip(database, "payload", column, f"idx = {index}", at)
    assert broken_row(database) == ("payload", index, named)


@pytest.mark.parametrize("column", ["salt", "event", "private"])
@pytest.mark.parametrize("value", [b"", b"\0", bytes(32), bytes(33)])
def test_replaced_payload(database, column, value):
    change(database, f"UPDATE payload SET {column} = ? WHERE idx = 256", value)
    assert broken_row(database)[:2] == ("payload", 256)


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("at", [0, 31])
def test_flipped_tile(database, index, at):
    flip(database, "tile", "hash", f"level = 1 AND idx = {index}", at)
    assert broken_row(database) == ("tile", f"1/{index}", "hash")


def test_missing_and_additional_tiles(database):
    change(database, "DELETE FROM tile WHERE level = 1 AND idx = 1")
    assert broken_row(database) == ("tile", "1/1", "row")
    change(database, "INSERT INTO tile VALUES (1, 2, ?)", bytes(32))
    assert broken_row(database) == ("tile", "1/2", "hash")


@pytest.mark.parametrize("at", [0, 15, 31])
def test_flipped_head_root(database, at):
    flip(database, "head", "root", "id = 1", at)
    assert broken_row(database) == ("head", 1, "root")


@pytest.mark.parametrize("size", [0, 599, 601, -1, 2**62])
def test_changed_head_size(database, size):
    change(database, "UPDATE head SET size = ?", size)
    assert broken_row(database) == ("head", 1, "size")


@pytest.mark.parametrize("sequence", [0, 1, 1000])
def test_changed_head_sequence(database, sequence):
    change(database, "UPDATE head SET public_sequence = ?", sequence)
    assert broken_row(database) == ("head", 1, "public_sequence")


def test_every_flipped_byte_of_the_checkpoint(database, tmp_path, ledger):
    note = ledger.checkpoint().encode()
    for at in range(0, len(note), 7):
        path = shutil.copy(database, tmp_path / "other.db")
        # Written as bytes: half of these flips are no UTF-8 any more.
        wrong = note[:at] + bytes([note[at] ^ 0x81]) + note[at + 1 :]
        change(path, "UPDATE head SET checkpoint = CAST(? AS TEXT)", wrong)
        assert broken_row(path) == ("head", 1, "checkpoint")


def test_checkpoint_by_another_log_or_key(database, ledger):
    change(database, "UPDATE head SET checkpoint = ?", ledger.checkpoint(Signer("other.example", b"\1" * 32)))
    assert broken_row(database) == ("head", 1, "checkpoint")
    change(database, "UPDATE head SET checkpoint = ?", ledger.checkpoint(Signer(SIGNER.name, b"\1" * 32)))
    assert broken_row(database) == ("head", 1, "checkpoint")


def test_no_head(database):
    change(database, "DELETE FROM head")
    assert broken_row(database) == ("head", 1, "row")


@pytest.mark.parametrize("index", LEAVES)
def test_missing_leaf(database, index):
    change(database, "DELETE FROM leaf WHERE idx = ?", index)
    assert broken_row(database) == ("leaf", index, "row")


def test_all_leaves_missing(database):
    connection = connect(database)
    connection.execute("DELETE FROM leaf")
    connection.commit()
    connection.close()
    assert broken_row(database) == ("leaf", 0, "row")


def test_additional_leaf(database, ledger):
    change(database, "INSERT INTO leaf VALUES (600, ?, ?)", ledger.entries[-1], ledger.hashes[-1])
    assert broken_row(database) == ("leaf", 600, "row")


def test_a_leaf_replaced_with_its_hash_is_told_by_its_tile_or_the_root(database, ledger):
    change(database, "UPDATE leaf SET entry = ?, hash = ? WHERE idx = 550", ledger.entries[549], ledger.hashes[549])
    payload = ledger.payloads[549]
    change(database, "UPDATE payload SET salt = ?, event = ?, private = ? WHERE idx = 550", *payload)
    with pytest.raises(VerificationError):
        verify_database(database, VKEY)


@pytest.mark.parametrize("index", PAYLOADS)
def test_lost_payload(database, index):
    change(database, "DELETE FROM payload WHERE idx = ?", index)
    # Erasing leaves the chain with a gap that nobody can blame: the loss itself must be named.
    assert broken_row(database) == ("payload", index, "row")


def test_one_lost_payload_is_one(database):
    change(database, "DELETE FROM payload WHERE idx = 60")
    with pytest.raises(RowError, match=r"got none$"):
        verify_database(database, VKEY)


@pytest.mark.parametrize("column", ["salt", "event", "private"])
def test_null_in_a_file_with_a_laxer_schema(tmp_path, ledger, column):
    path = tmp_path / "ledger.db"
    ledger.write(path, SCHEMA.replace(" NOT NULL", ""))
    change(path, f"UPDATE payload SET {column} = NULL WHERE idx = 60")
    assert broken_row(path)[:2] == ("payload", 60)


def test_lost_payloads_are_counted(database):
    for index in (60, 70, 80):
        change(database, "DELETE FROM payload WHERE idx = ?", index)
    with pytest.raises(RowError, match=r"payload 60, row: .* got none, and 2 more are lost"):
        verify_database(database, VKEY)


@pytest.mark.parametrize("index", ERASED)
def test_erasure_that_was_not_done(database, index, ledger):
    salt, event, private = ledger.payloads[3]
    change(database, "INSERT INTO payload VALUES (?, ?, ?, ?)", index, salt, event, private)
    assert broken_row(database)[:2] == ("payload", index)


def test_erased_payload_that_is_back(tmp_path):
    ledger = LedgerFile()
    ledger.committed(b"one")
    kept = ledger.payloads[0]
    ledger.erase(0)
    ledger.payloads[0] = kept
    ledger.write(tmp_path / "ledger.db")
    assert broken_row(tmp_path / "ledger.db") == ("payload", 0, "row")


@pytest.mark.parametrize("index", [600, 10_000, -1])
def test_payload_without_a_leaf(database, index):
    change(database, "INSERT INTO payload VALUES (?, x'00', x'00', x'00')", index)
    assert broken_row(database) == ("payload", index, "row")


def test_payload_of_a_public_leaf(database):
    change(database, "INSERT INTO payload VALUES (0, x'00', x'00', x'00')")
    assert broken_row(database) == ("payload", 0, "row")


def test_wrong_key_and_no_key(database):
    other = Signer("other.example", b"\1" * 32).verifier.format()
    with pytest.raises(RowError, match="no known key"):
        verify_database(database, other)
    with pytest.raises(NoteError, match="expected a note key"):
        verify_database(database, "nonsense")


@pytest.mark.parametrize("content", [None, b"", b"not a database" * 100, b"SQLite format 3\0" + bytes(4080)])
def test_files_that_are_no_ledger(tmp_path, content):
    path = tmp_path / "ledger.db"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(VerificationError):
        verify_database(path, VKEY)
    assert path.exists() == (content is not None), "a verifier makes no files"


def test_no_file(tmp_path):
    for path in (tmp_path / "ledger.db", tmp_path):
        with pytest.raises(VerificationError, match="no ledger at"):
            verify_database(path, VKEY)


def test_damaged_pages(database):
    connection = connect(database)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    data = bytearray(database.read_bytes())
    data[8192 : 8192 + 2048] = bytes(2048)
    database.write_bytes(data)
    with pytest.raises(VerificationError):
        verify_database(database, VKEY)


def test_one_moment_while_the_writer_works(database):
    """The writer commits between the verifier's reads; the verifier sees the ledger as it was when it began."""
    writer = connect(database)
    writes = 0

    def write(_done, _total):
        nonlocal writes
        writer.execute("UPDATE head SET public_sequence = public_sequence + 1")
        writer.execute("DELETE FROM payload WHERE idx > 500")
        writer.execute("DELETE FROM tile")
        writer.execute("INSERT INTO payload VALUES (7000, x'00', x'00', x'00')")
        writer.commit()
        writes += 1

    assert verify_database(database, VKEY, write).log.size == 600
    assert writes == 1
    writer.close()
    with pytest.raises(RowError):
        verify_database(database, VKEY)


def test_nothing_is_written(database):
    before = database.read_bytes()
    verify_database(database, VKEY)
    assert database.read_bytes() == before


def test_errors_hold_no_content(database, ledger):
    salt, event, private = ledger.payloads[256]
    for column, value in (("salt", salt), ("event", event), ("private", private)):
        path = shutil.copy(database, database.with_name(f"{column}.db"))
        change(path, f"UPDATE payload SET {column} = ? WHERE idx = 256", flipped(value, 0))
        with pytest.raises(RowError) as raised:
            verify_database(path, VKEY)
        shown = re.sub(r"expected [0-9a-f]{64}, got [0-9a-f]{64}$", "", str(raised.value))
        assert not re.search("[0-9a-f]{20}", shown)
        for secret in (salt, event[:20], private[:20], flipped(salt, 0)):
            assert secret.hex() not in str(raised.value)


def test_public_events_are_checked_too(tmp_path):
    ledger = LedgerFile()
    ledger.sequence = 1
    ledger.public(log_key_added=LogKeyAdded(verifier_key=VKEY))
    ledger.write(tmp_path / "ledger.db")
    with pytest.raises(VerificationError, match="leaf 0: public event: expected sequence 1, got 2"):
        verify_database(tmp_path / "ledger.db", VKEY)


def test_erasure_of_what_may_not_be_erased(tmp_path):
    ledger = LedgerFile()
    ledger.key_added()
    ledger.public(entry_erased=EntryErased(index=0))
    ledger.write(tmp_path / "ledger.db")
    with pytest.raises(VerificationError, match="leaf 1: EntryErased"):
        verify_database(tmp_path / "ledger.db", VKEY)


def test_a_smaller_signed_head_does_not_hide_leaves(database, ledger):
    """A head set back to an older state, correctly signed: the leaves beyond it are named."""
    shorter = LedgerFile()
    shorter.entries = ledger.entries[:599]
    note = shorter.checkpoint()
    root = Checkpoint.parse(note.partition("\n\n")[0] + "\n").root
    change(database, "UPDATE head SET size = 599, root = ?, checkpoint = ?", root, note)
    assert broken_row(database) == ("leaf", 599, "row")


def test_a_larger_signed_head_names_the_first_missing_leaf(database):
    note = sign_checkpoint(Checkpoint(SIGNER.name, 700, bytes(32)), [SIGNER])
    change(database, "UPDATE head SET size = 700, root = ?, checkpoint = ?", bytes(32), note)
    assert broken_row(database) == ("leaf", 600, "row")

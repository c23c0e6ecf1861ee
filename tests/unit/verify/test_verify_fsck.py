"""fsck.py: whatever is changed in any table of a ledger, the table and the row are named."""

import random

import pytest

from consent_ledger.log.checkpoint import Checkpoint, sign_checkpoint
from consent_ledger.log.errors import VerificationError
from consent_ledger.state import EMPTY
from consent_ledger.statecodec import encode
from consent_ledger.verify import fsck as fsck_module
from consent_ledger.verify.fsck import KNOWN, OPTIONAL, UNCHECKED, LedgerDamaged, fsck
from tests.support.ledger import SIGNER, Ledger, grant, subject
from tests.support.lively import check_fake_signature, lively_ledger
from tests.support.tampering import KEYS, columns_of, copied, delete, dump, flipped_in, opened, rows_of, set_column

VKEY = SIGNER.verifier.format()
FLIPS = 4


@pytest.fixture(scope="module")
def lively(tmp_path_factory):
    path = lively_ledger(tmp_path_factory.mktemp("lively") / "ledger.db", 120)
    assert not any(path.parent.glob("*-wal")), "one file holds all of it"
    return path


def at_the_head():
    """No clock of the machine's: the ledgers here live in a year of their own, and end with their newest entry."""
    return 0


def check(path, *, clock=at_the_head, **more):
    return fsck(path, VKEY, check_signature=check_fake_signature, clock=clock, **more)


def problems(path):
    with pytest.raises(LedgerDamaged) as raised:
        check(path)
    report = raised.value.report
    assert report.count >= len(report.problems) > 0
    assert str(report.problems[0]) in str(raised.value)
    return report.problems


def named(path, table):
    """The problems of one table; there must be some."""
    found = [one for one in problems(path) if one.table == table]
    assert found, f"{table} is not named"
    return found


def test_a_sound_ledger(lively):
    seen = []
    report = check(lively, progress=lambda done, total: seen.append((done, total)))
    assert report.count == 0
    assert report.size == report.log.log.size
    assert report.rows["permit"] == len(rows_of(lively, "permit")) > 10
    assert seen[-1] == (report.size + sum(report.rows.values()),) * 2
    assert set(report.unchecked) == set(UNCHECKED)


def test_every_table_and_column_is_known(lively):
    """A new table or column must be checked, or named as unchecked."""
    columns = columns_of(lively)
    assert {table for table, _ in columns} <= KNOWN | OPTIONAL
    assert {table for table, _ in columns} == set(KEYS)
    assert {name.split(".")[0] for name in UNCHECKED} <= set(KEYS)
    assert set(UNCHECKED) <= {f"{table}.{column}" for table, column in columns}


def test_nothing_is_written(lively):
    before = lively.read_bytes()
    check(lively)
    assert lively.read_bytes() == before


def test_one_flipped_bit_in_any_column_names_the_row(lively, tmp_path):
    rng, tried = random.Random(7), 0
    for table, column in columns_of(lively):
        rows = [row for row in rows_of(lively, table) if row[column] not in (None, b"", "")]
        for row in rng.sample(rows, min(FLIPS, len(rows))):
            if f"{table}.{column}" in UNCHECKED:
                continue
            path = copied(lively, tmp_path)
            value = flipped_in(path, table, row, column, rng)
            keys = [row[key] for key in KEYS[table]] + [value] * (column in KEYS[table])
            shown = [str(one.key) for one in named(path, table)]
            texts = [key[:8].hex() if isinstance(key, bytes) else str(key) for key in keys]
            # By its key, or, where the row is now missing, by the leaf that asks for it.
            assert any(text in key for text in texts for key in shown) or "leaf" in shown[0], (table, column, shown)
            tried += 1
    assert tried > 100


@pytest.mark.parametrize("table", sorted(KEYS))
def test_a_removed_row_is_named(lively, tmp_path, table):
    rows = rows_of(lively, table)
    for row in random.Random(3).sample(rows, min(FLIPS, len(rows))):
        if table in ("pull_nonce", "published", "erasure"):
            continue  # nobody can tell that there was one: they are kept for a while
        path = copied(lively, tmp_path)
        delete(path, table, row)
        assert any(one.column in ("row", "recent") for one in named(path, table))


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("leaf", ("entry", "hash")),
        ("payload", ("salt", "event", "private")),
        ("subject", ("seq", "last", "state", "recent")),
        ("subject", ("state",)),
        ("subject", ("recent",)),
        ("batch", ("response",)),
        ("batch", ("header", "response", "root", "request_hash")),
        ("permit", ("decided_idx", "released_idx", "withheld_idx", "acknowledged_idx")),
        ("permit", ("subject",)),
        ("change", ("result", "idx")),
    ],
)
def test_two_rows_exchanged_are_named(lively, tmp_path, table, columns):
    rng, tried = random.Random(5), 0
    rows = [row for row in rows_of(lively, table) if all(row[column] != b"" for column in columns)]
    for _ in range(FLIPS):
        one, two = rng.sample(rows, 2)
        if all(one[column] == two[column] for column in columns):
            continue
        path = copied(lively, tmp_path)
        for column in columns:
            set_column(path, table, one, column, two[column])
            set_column(path, table, two, column, one[column])
        # Two leaves with their hashes: each then stands where the other's payload opens nothing.
        assert {table} & {one.table for one in problems(path)} or table == "leaf"
        tried += 1
    assert tried


def test_a_forged_state_is_named(lively, tmp_path):
    """Consent for somebody who gave none: the state of another, or one without the pause."""
    rows = {row["id"]: row for row in rows_of(lively, "subject")}
    paused, agreed = rows[subject("last 1")], rows[subject("last 2")]
    for state in (agreed["state"], encode(EMPTY), b"[]", b"\xff"):
        path = copied(lively, tmp_path)
        set_column(path, "subject", paused, "state", state)
        (found,) = problems(path)
        assert (found.table, found.key, found.column) == ("subject", f"{paused['id'][:8].hex()}...", "state")


def test_additional_rows_are_named(lively, tmp_path):
    forged = {
        "subject": (b"\x01" * 32, 1, b"\x02" * 32, b"", b""),
        "subject_entry": (b"\x01" * 32, 40),
        "permit": (rows_of(lively, "batch")[0]["header_hash"], 999, 40, b"\x03" * 32, b"\x01" * 32, *[None] * 4),
        "task": (40, b"0" * 20, 1, None),
        "public_event": (300,),
        "change": (b"\x01" * 16, b"\x02" * 32, b"", -1),
        "erasure": (300, "retention", 1, 1),
    }
    for table, row in forged.items():
        path = copied(lively, tmp_path)
        connection = opened(path)
        connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
        connection.close()
        named(path, table)


def test_an_entry_that_is_listed_for_another_subject_is_named(lively, tmp_path):
    row = max(rows_of(lively, "subject"), key=lambda row: len(row["recent"]))
    path = copied(lively, tmp_path)
    set_column(path, "subject", row, "recent", row["recent"][:-8] + (12).to_bytes(8, "big"))
    columns = {(one.table, one.column) for one in problems(path)}
    assert columns <= {("subject", "recent"), ("subject_entry", "row")}


def test_openings_that_should_be_gone_are_named(lively, tmp_path):
    """v_i of a withheld signal: with it and the ciphertext anybody could read what the resident stopped."""
    withheld = next(row for row in rows_of(lively, "permit") if row["withheld_idx"] is not None)
    path = copied(lively, tmp_path)
    set_column(path, "permit", withheld, "opening", bytes(32))
    (found,) = named(path, "permit")
    assert (found.column, found.expected) == ("opening", "none: the signal was withheld")


def test_what_is_over_by_the_clock_may_be_gone_although_nothing_was_appended_since(tmp_path):
    """A ledger that nobody asks anything still publishes, and writes; what is kept for a batch's time goes then."""
    ledger = Ledger(tmp_path / "ledger.db")
    for person in ("anna", "bert"):
        ledger.record(person, grant=grant())
    over, _ = ledger.decide(["anna"], 1)
    ledger.clock.forward(days=2)
    standing, _ = ledger.decide(["bert"], 2)
    ledger.release(standing)
    head_ms = ledger.sequencer.head.time_ms
    ledger.clock.forward(days=2)
    ledger.release(standing, nonce=2)
    assert ledger.sequencer.head.time_ms == head_ms, "it is written, and nothing is appended"
    ledger.close()
    assert check(ledger.path, clock=ledger.clock).count == 0
    with pytest.raises(LedgerDamaged) as before_it_was_over:
        check(ledger.path)
    found = {(one.table, one.column) for one in before_it_was_over.value.report.problems}
    assert {("batch", "response"), ("permit", "opening")} <= found
    assert all(over.hex()[:16] in str(one.key) for one in before_it_was_over.value.report.problems)


def test_a_release_that_the_log_does_not_have_is_named(lively, tmp_path):
    waiting = next(row for row in rows_of(lively, "permit") if row["opening"] and row["released_idx"] is None)
    path = copied(lively, tmp_path)
    set_column(path, "permit", waiting, "released_idx", waiting["decided_idx"])
    (found,) = named(path, "permit")
    assert (found.column, found.expected) == ("released_idx", "none")


def test_answers_by_another_key_or_of_another_log_are_named(lively, tmp_path):
    row = next(row for row in rows_of(lively, "batch") if row["response"])

    def refuse(_public, _message, _signature):
        raise VerificationError("no")

    with pytest.raises(LedgerDamaged) as raised:
        fsck(lively, VKEY, check_signature=refuse)
    assert {one.table for one in raised.value.report.problems} == {"batch", "pull_nonce"}
    assert any(one.key == row["header_hash"].hex() for one in raised.value.report.problems)


def test_a_published_checkpoint_of_a_fork_is_named(lively, tmp_path):
    path = copied(lively, tmp_path)
    note = sign_checkpoint(Checkpoint(SIGNER.name, 100, b"\x05" * 32), [SIGNER])
    connection = opened(path)
    connection.execute("INSERT INTO published VALUES (1, 100, ?, 0)", (note,))
    connection.close()
    (found,) = problems(path)
    assert (found.table, found.key, found.column) == ("published", 1, "note")


def test_everything_is_named_at_once(lively, tmp_path, monkeypatch):
    """One damaged row hides no other; the count goes on where the list ends."""
    path = copied(lively, tmp_path)
    connection = opened(path)
    connection.execute("UPDATE subject SET seq = seq + 1")
    connection.execute("UPDATE permit SET subject = x'00'")
    connection.execute("UPDATE payload SET salt = x'00' WHERE idx = 60")
    connection.execute("DELETE FROM tile")
    connection.close()
    found = problems(path)
    assert {"payload", "tile", "subject"} <= {one.table for one in found}
    monkeypatch.setattr(fsck_module, "MOST", 10)
    with pytest.raises(LedgerDamaged, match=f", and {len(found) - 1} more$") as raised:
        check(path)
    assert [str(one) for one in raised.value.report.problems] == [str(one) for one in found[:10]]
    assert raised.value.report.count == len(found) > len(rows_of(path, "subject"))


def test_flipped_bits_of_the_file_itself(lively, tmp_path):
    """Anywhere in the file: fsck says so, or nothing that it answers for is different."""
    rng, content = random.Random(11), lively.read_bytes()
    sound, silent = dump(lively), 0
    for _ in range(100):
        at, bit = rng.randrange(100, len(content)), rng.randrange(8)
        path = tmp_path / "tampered.db"
        path.write_bytes(content[:at] + bytes([content[at] ^ (1 << bit)]) + content[at + 1 :])
        try:
            check(path)
        except (LedgerDamaged, VerificationError):
            continue
        silent += 1
        assert dump(path, without=tuple(UNCHECKED)) == {
            table: rows for table, rows in dump(lively, without=tuple(UNCHECKED)).items() if table in sound
        }
    assert silent < 80, "most of the file is content"


def test_no_ledger_and_no_key(lively, tmp_path):
    with pytest.raises(VerificationError, match="no ledger at"):
        check(tmp_path / "none.db")
    (tmp_path / "text.db").write_bytes(b"not a database" * 100)
    with pytest.raises(VerificationError, match="cannot be read"):
        check(tmp_path / "text.db")
    with pytest.raises(VerificationError):
        fsck(lively, "nonsense")


def test_problems_hold_no_content(lively, tmp_path):
    row = next(row for row in rows_of(lively, "permit") if row["opening"])
    path = copied(lively, tmp_path)
    set_column(path, "permit", row, "subject", bytes(32))
    set_column(path, "permit", row, "opening", b"\x01" * 31)
    text = " ".join(map(str, problems(path)))
    assert row["subject"].hex() not in text
    assert b"\x01" * 31 not in text.encode()

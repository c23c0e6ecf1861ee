"""chains.py and the content of payloads: events that open their commitment, but should not stand where they stand."""

import pytest
from ledger_files import VKEY, LedgerFile, broken_row, digest

from consent_ledger.v1.events_pb2 import Event, PrivatePart, SubjectLink
from consent_ledger.verify import RowError, verify_database


def links(*parts):
    return [SubjectLink(subject=digest(b"one"), subject_seq=seq, previous=previous) for seq, previous in parts]


@pytest.mark.parametrize("link", [(0, b""), (1, b""), (3, "right"), (2, b""), (2, bytes(32)), (2**63, "right")])
def test_broken_subject_chain(tmp_path, link):
    ledger = LedgerFile()
    ledger.committed(b"one")
    right = ledger.last[b"one"][1]
    ledger.committed(links=links((link[0], right if link[1] == "right" else link[1])))
    ledger.write(tmp_path / "ledger.db")
    assert broken_row(tmp_path / "ledger.db") == ("payload", 1, "content")


def test_the_error_shows_both_hashes(tmp_path):
    ledger = LedgerFile()
    ledger.committed(links=links((1, bytes(32))))
    ledger.write(tmp_path / "ledger.db")
    with pytest.raises(RowError, match=f"subject chain: expected previous empty, got {'00' * 32}"):
        verify_database(tmp_path / "ledger.db", VKEY)


def test_chain_that_begins_in_the_middle(tmp_path):
    ledger = LedgerFile()
    ledger.committed(links=links((2, bytes(32))))
    ledger.write(tmp_path / "ledger.db")
    assert broken_row(tmp_path / "ledger.db") == ("payload", 0, "content")


def test_chain_over_erased_events(tmp_path):
    ledger = LedgerFile()
    for _ in range(6):
        ledger.committed(b"one")
    for index in (0, 2, 3):
        ledger.erase(index)
    ledger.write(tmp_path / "ledger.db")
    report = verify_database(tmp_path / "ledger.db", VKEY)
    assert (report.opened, report.erased) == (3, 3)


def test_erasures_before_a_chains_last_event_excuse_no_gap_behind_it(tmp_path):
    ledger = LedgerFile()
    ledger.committed(b"other")
    ledger.committed(b"one")
    ledger.committed(links=links((3, bytes(32))))
    ledger.erase(0)
    ledger.write(tmp_path / "ledger.db")
    assert broken_row(tmp_path / "ledger.db") == ("payload", 2, "content")


def test_chain_with_a_wider_gap_than_erasures(tmp_path):
    ledger = LedgerFile()
    ledger.committed(b"one")
    ledger.committed(b"other")
    ledger.committed(links=links((4, bytes(32))))
    ledger.erase(1)
    ledger.write(tmp_path / "ledger.db")
    assert broken_row(tmp_path / "ledger.db") == ("payload", 2, "content")


@pytest.mark.parametrize(
    ("event", "private"),
    [
        (b"\xff", b""),
        (Event(private_digest=digest(b"regie/private/v1")).SerializeToString(), b""),
        (
            Event(private_digest=digest(b"regie/private/v1", b"\xff"), sharing_resumed={}).SerializeToString(),
            b"\xff",
        ),
    ],
)
def test_committed_bytes_that_are_no_event(tmp_path, event, private):
    ledger = LedgerFile()
    ledger.raw(bytes(32), event, private)
    ledger.write(tmp_path / "ledger.db")
    assert broken_row(tmp_path / "ledger.db") == ("payload", 0, "content")


def test_short_salt(tmp_path):
    ledger = LedgerFile()
    private = PrivatePart().SerializeToString()
    event = Event(private_digest=digest(b"regie/private/v1", private), sharing_resumed={}).SerializeToString()
    ledger.raw(bytes(31), event, private)
    ledger.write(tmp_path / "ledger.db")
    assert broken_row(tmp_path / "ledger.db") == ("payload", 0, "salt")

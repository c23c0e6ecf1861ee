"""A small ledger's database, written here with raw SQL by the schema, so that the verifier is tested without the writer."""

import hashlib
import hmac
from pathlib import Path

import pytest
from pysqlite3 import dbapi2 as sqlite3

from consent_ledger.log.checkpoint import Checkpoint, sign_checkpoint
from consent_ledger.log.merkle import leaf_hash
from consent_ledger.log.note import Signer
from consent_ledger.log.tiles import Frontier
from consent_ledger.v1.events_pb2 import (
    EntryErased,
    Event,
    ExchangeDecided,
    Leaf,
    LogKeyAdded,
    PrivatePart,
    PublicEvent,
    SubjectLink,
)
from consent_ledger.verify import RowError, verify_database

SIGNER = Signer("ledger.example/log", b"\7" * 32)
VKEY = SIGNER.verifier.format()

SCHEMA = """
CREATE TABLE leaf(idx INTEGER PRIMARY KEY, entry BLOB NOT NULL, hash BLOB NOT NULL) STRICT;
CREATE TABLE payload(idx INTEGER PRIMARY KEY, salt BLOB NOT NULL, event BLOB NOT NULL, private BLOB NOT NULL) STRICT;
CREATE TABLE tile(level INTEGER, idx INTEGER, hash BLOB NOT NULL, PRIMARY KEY(level, idx)) STRICT;
CREATE TABLE head(id INTEGER PRIMARY KEY CHECK (id = 1), size INTEGER NOT NULL, root BLOB NOT NULL,
    time_ms INTEGER NOT NULL, checkpoint TEXT NOT NULL, public_sequence INTEGER NOT NULL) STRICT;
"""


def digest(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


class LedgerFile:
    """Grows a ledger in memory, then writes it."""

    def __init__(self):
        self.entries = []
        self.payloads = {}
        self.sequence = 0
        self.last = {}

    def public(self, **body):
        self.sequence += 1
        event = PublicEvent(time_ms=1000 + len(self.entries), sequence=self.sequence, **body)
        self.entries.append(Leaf(public=event).SerializeToString(deterministic=True))
        return len(self.entries) - 1

    def key_added(self):
        return self.public(log_key_added=LogKeyAdded(verifier_key=VKEY))

    def committed(self, *subjects, links=None):
        index = len(self.entries)
        if links is None:
            links = []
            for subject in subjects:
                sequence, previous = self.last.get(subject, (0, b""))
                links.append(SubjectLink(subject=digest(subject), subject_seq=sequence + 1, previous=previous))
        private = PrivatePart(nonce=digest(b"nonce%d" % index), links=links).SerializeToString(deterministic=True)
        event = Event(
            time_ms=1000 + index,
            private_digest=digest(b"regie/private/v1", private),
            exchange_decided=ExchangeDecided(batch_id=bytes(16), position=index, permitted=True),
        ).SerializeToString(deterministic=True)
        return self.raw(digest(b"salt%d" % index), event, private, subjects)

    def raw(self, salt, event, private, subjects=()):
        index = len(self.entries)
        commitment = hmac.new(salt, b"regie/event/v1" + event, "sha256").digest()
        self.entries.append(Leaf(commitment=commitment).SerializeToString())
        self.payloads[index] = (salt, event, private)
        for subject in subjects:
            self.last[subject] = (self.last.get(subject, (0, b""))[0] + 1, digest(commitment))
        return index

    def erase(self, index):
        del self.payloads[index]
        return self.public(entry_erased=EntryErased(index=index, ground="art-17"))

    @property
    def hashes(self):
        return [leaf_hash(entry) for entry in self.entries]

    def checkpoint(self, signer=SIGNER):
        frontier = Frontier()
        frontier.append(self.hashes)
        return sign_checkpoint(Checkpoint(SIGNER.name, frontier.size, frontier.root()), [signer])

    def write(self, path: Path, schema=SCHEMA):
        frontier = Frontier()
        tiles = frontier.append(self.hashes)
        connection = connect(path)
        connection.executescript(schema)
        rows = [(i, entry, leaf_hash(entry)) for i, entry in enumerate(self.entries)]
        connection.executemany("INSERT INTO leaf VALUES (?, ?, ?)", rows)
        connection.executemany("INSERT INTO payload VALUES (?, ?, ?, ?)", [(i, *p) for i, p in self.payloads.items()])
        connection.executemany("INSERT INTO tile VALUES (?, ?, ?)", tiles)
        head = (frontier.size, frontier.root(), 5000, self.checkpoint(), self.sequence)
        connection.execute("INSERT INTO head VALUES (1, ?, ?, ?, ?, ?)", head)
        connection.commit()
        connection.close()


def connect(path: Path):
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    return connection


def town(size=600):
    """A ledger with public events, events of residents (some under two pseudonyms), and erasures."""
    ledger = LedgerFile()
    for _ in range(3):
        ledger.key_added()
    while len(ledger.entries) < size:
        index = len(ledger.entries)
        if index % 97 == 0:
            ledger.key_added()
        elif index in (300, 301, 513):
            ledger.erase(index - 250)
        else:
            subject = b"subject %d" % (index % 23)
            ledger.committed(subject, *([subject + b" by address"] if index % 3 == 0 else []))
    return ledger


def change(path, statement, *values):
    connection = connect(path)
    changed = connection.execute(statement, values).rowcount
    connection.commit()
    connection.close()
    assert changed == 1, "the test changed nothing"


def flip(path, table, column, where, at):
    connection = connect(path)
    (value,) = connection.execute(f"SELECT {column} FROM {table} WHERE {where}").fetchone()
    connection.close()
    change(path, f"UPDATE {table} SET {column} = ? WHERE {where}", flipped(value, at))


def flipped(value, at):
    if isinstance(value, str):
        return flipped(value.encode(), at).decode()
    at %= len(value)
    return value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :]


def broken_row(path):
    with pytest.raises(RowError) as raised:
        verify_database(path, VKEY)
    error = raised.value
    assert error.expected != error.got
    assert str(error) == f"{error.table} {error.key}, {error.column}: expected {error.expected}, got {error.got}"
    return error.table, error.key, error.column

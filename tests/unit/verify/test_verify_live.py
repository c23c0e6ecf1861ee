"""The verifier against the real writer: while it writes, and what it has written."""

import hashlib
import threading

import pytest
from ledger_files import SIGNER, VKEY

from consent_ledger.log.proof import Receipt
from consent_ledger.sequencer import create_ledger, open_ledger
from consent_ledger.v1.events_pb2 import Event, LogKeyAdded, PublicEvent, SharingPaused
from consent_ledger.verify import verify_database, verify_receipt

KEY_ADDED = PublicEvent(log_key_added=LogKeyAdded(verifier_key=VKEY))


def hashes(path):
    return tuple(path[at : at + 32] for at in range(0, len(path), 32))


class Pauses:
    """Work of the sequencer: events of residents, each answered with a receipt."""

    def __init__(self, count, salt):
        self.weight = count
        self.subjects = [hashlib.sha256(b"%d %d" % (salt, i % 7)).digest() for i in range(count)]

    def apply(self, tx):
        indices = [tx.record(Event(sharing_paused=SharingPaused()), [subject]) for subject in self.subjects]
        return lambda sealed: self.receipts(sealed, indices)

    def receipts(self, sealed, indices):
        rows, paths = sealed.payloads(indices), sealed.paths(indices)
        return [
            Receipt(rows[index].salt + rows[index].event, index, hashes(path), sealed.checkpoint).format()
            for index, path in zip(indices, paths, strict=True)
        ]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "ledger.db"
    create_ledger(path, SIGNER, [KEY_ADDED, KEY_ADDED], lambda: 1000)
    return path


def test_a_new_ledger(path):
    report = verify_database(path, VKEY)
    assert (report.log.size, report.opened) == (2, 0)


def test_receipts_and_the_database_of_the_writer(path):
    with open_ledger(path, SIGNER, lambda: 2000) as sequencer:
        answers = []
        for number, count in enumerate((1, 3, 250, 1, 1, 300, 17)):  # across the borders of tiles
            answers += sequencer.submit(Pauses(count, number % 3)).result(20)
            sequencer.publish([KEY_ADDED]).result(20)
    report = verify_database(path, VKEY)
    assert (report.opened, len(report.log.public_events)) == (573, 9)
    for text in answers[::13]:
        assert verify_receipt(text, VKEY).event.time_ms == 2000


def test_while_the_writer_works(path):
    """Every reading is of one durable state: it checks whatever the writer does meanwhile."""
    sizes = []
    with open_ledger(path, SIGNER, lambda: 2000) as sequencer:
        done = threading.Event()

        def write():
            for number in range(40):
                sequencer.submit(Pauses(37, number)).result(20)
            done.set()

        writer = threading.Thread(target=write)
        writer.start()
        while not done.is_set() or not sizes:
            sizes.append(verify_database(path, VKEY).log.size)
        writer.join()
        sizes.append(verify_database(path, VKEY).log.size)
    assert sizes == sorted(sizes)
    assert sizes[-1] == 2 + 40 * 37

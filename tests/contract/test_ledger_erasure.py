"""What an erasure needs of a store; every engine passes the same."""

import pytest

from consent_ledger.log.merkle import leaf_hash
from consent_ledger.state import EMPTY
from consent_ledger.storage.erasures import RESIDENT_REQUEST, RETENTION, ErasedRow
from consent_ledger.storage.rows import BatchRow, ChangeRow, LeafRow, PayloadRow, PermitRow, PullRow, SubjectRow, Writes
from tests.support.backends import BACKENDS, make
from tests.support.ledger import CITY, NOW, SUPPLIER

ANNA, BERT = b"a" * 32, b"b" * 32
BATCH = BatchRow(b"h" * 32, SUPPLIER, b"i" * 16, CITY, "p", b"r" * 32, b"header", b"t" * 32, b"response", NOW + 9)


@pytest.fixture(params=BACKENDS)
def store(request, tmp_path):
    opened = make(request.param, request, tmp_path).open()
    opened.begin()
    yield opened
    opened.rollback()
    opened.close()


def permit(position: int, subject: bytes, decided: int) -> PermitRow:
    return PermitRow(BATCH.header_hash, position, decided, b"o" * 32, subject)


def filled(store) -> int:
    """Two subjects with three entries each, alternating; returns the first index."""
    first = store.last_index() + 1
    made = Writes()
    for index in range(first, first + 6):
        entry = b"\x0a\x20" + index.to_bytes(32, "big")
        made.leaves.append(LeafRow(index, entry, leaf_hash(entry)))
        made.payloads.append(PayloadRow(index, b"s" * 32, b"event", b"private"))
    made.entries = [(ANNA, first), (ANNA, first + 2), (BERT, first + 1)]
    made.subjects[ANNA] = SubjectRow(3, b"l" * 32, EMPTY, (first + 4).to_bytes(8, "big"))
    made.subjects[BERT] = SubjectRow(3, b"l" * 32, EMPTY, (first + 3).to_bytes(8, "big"))
    made.batches[BATCH.header_hash] = BATCH
    made.permits[BATCH.header_hash] = {n: permit(n, who, first + n) for n, who in ((0, ANNA), (1, BERT), (2, ANNA))}
    made.pulls[BATCH.header_hash, b"n" * 32] = PullRow(BATCH.header_hash, b"n" * 32, b"q" * 32, b"answer", NOW + 5)
    for n in range(3):
        key = n.to_bytes(16, "big")
        made.changes[key] = ChangeRow(key, b"d" * 32, b"result", first + n)
    store.append(made, [])
    store.project(made)
    return first


def waiting(index: int, ground=RESIDENT_REQUEST, first=0) -> ErasedRow:
    return ErasedRow(index, ground, first, NOW)


def test_what_is_erased_is_gone_and_nothing_else(store):
    first = filled(store)
    gone = Writes()
    gone.erasures.entries = {n: waiting(n, first=int(n == first)) for n in (first, first + 2)}
    gone.erasures.rewritten = {ANNA}
    gone.entries = []
    gone.subjects[ANNA] = SubjectRow(3, b"l" * 32, EMPTY, (first + 4).to_bytes(8, "big"))
    gone.erasures.permits = {(BATCH.header_hash, 0): True, (BATCH.header_hash, 2): False}
    gone.erasures.unanswered = {BATCH.header_hash}
    store.project(gone)
    assert sorted(store.payloads(range(first, first + 6))) == [first + 1, *range(first + 3, first + 6)]
    assert [row.idx for row in store.payloads_from(first, 3)] == [first + 1, first + 3, first + 4]
    assert (store.older_entries(ANNA), store.older_entries(BERT)) == ([], [first + 1])
    assert sorted(store.changes([n.to_bytes(16, "big") for n in range(3)])) == [(1).to_bytes(16, "big")]
    empty = PermitRow(BATCH.header_hash, 0, -1, None, b"")
    assert store.permits(BATCH.header_hash) == {0: empty, 1: permit(1, BERT, first + 1)}
    assert store.pull(BATCH.header_hash, b"n" * 32) is None
    assert store.unannounced() == [waiting(first, first=1), waiting(first + 2)]
    # When the batch expires its answer and empty permits go, and what is announced is no longer waiting.
    assert store.forget(0, BATCH.expires_ms, NOW)
    assert list(store.permits(BATCH.header_hash)) == [1]
    assert store.batch(BATCH.header_hash) == BATCH._replace(response=b"")
    said = Writes()
    said.erasures.announced = {first}
    store.project(said)
    assert store.unannounced() == [waiting(first + 2)]


def test_a_subject_without_entries_is_known_no_more(store):
    first = filled(store)
    gone = Writes()
    gone.subjects[ANNA] = SubjectRow(0, b"", EMPTY)
    gone.erasures.rewritten = {ANNA}
    gone.erasures.entries = {first: waiting(first, RETENTION, 1)}
    store.project(gone)
    assert list(store.subjects([ANNA, BERT])) == [BERT]
    assert store.older_entries(ANNA) == []


def test_an_entry_of_the_same_group_and_the_same_pull_again(store):
    """Deleted after it was inserted; and what is deleted makes room for what is inserted."""
    first = filled(store)
    both = Writes()
    entry = b"\x0a\x20" + b"x" * 32
    both.leaves.append(LeafRow(first + 6, entry, leaf_hash(entry)))
    both.payloads.append(PayloadRow(first + 6, b"s" * 32, b"event", b"private"))
    both.pulls[BATCH.header_hash, b"n" * 32] = PullRow(BATCH.header_hash, b"n" * 32, b"q" * 32, b"anew", NOW + 5)
    both.erasures.entries = {first + 6: waiting(first + 6), first: waiting(first)}
    both.erasures.announced = {first + 6}
    both.erasures.unanswered = {BATCH.header_hash}
    both.erasures.rewritten = {ANNA}
    both.entries = [(ANNA, first + 2)]
    store.append(both, [])
    store.project(both)
    assert store.payloads([first + 6]) == {}
    assert store.unannounced() == [waiting(first)]
    assert store.older_entries(ANNA) == [first + 2]
    assert store.pull(BATCH.header_hash, b"n" * 32) is None

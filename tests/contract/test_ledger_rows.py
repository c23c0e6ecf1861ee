"""What a store gives back, question by question, and what snapshots see; on every engine."""

import pytest

from consent_ledger.state import SubjectState
from consent_ledger.storage.erasures import ErasedRow
from consent_ledger.storage.rows import (
    BatchRow,
    ChangeRow,
    PayloadRow,
    PermitRow,
    PublishedRow,
    PullRow,
    SubjectRow,
    TaskRow,
    Writes,
    pack_indices,
)
from tests.support.backends import BACKENDS, make
from tests.support.ledger import CITY, NOW, SUPPLIER, first_events
from tests.support.ledger_rows import leaf_writes

ANNA, BERT = b"a" * 32, b"b" * 32


@pytest.fixture(params=BACKENDS)
def opened(request, tmp_path):
    store = make(request.param, request, tmp_path).open()
    store.begin()
    yield store
    store.close()


def keep(store, writes, *, size=None):
    """Store these writes, and the head after them."""
    store.project(writes)
    head = store.head()
    if size is not None:
        store.advance(head, head._replace(size=size, root=bytes(32), time_ms=head.time_ms + 1))
    store.commit()
    store.begin()


def batch(number, expires_ms=NOW):
    key = number.to_bytes(16, "big")
    return BatchRow(key * 2, SUPPLIER, key, CITY, "p", b"r" * 32, b"header", b"t" * 32, b"response", expires_ms)


def test_an_advance_from_another_head_is_refused(opened):
    head = opened.head()
    with pytest.raises(RuntimeError, match="another writer"):
        opened.advance(head._replace(root=b"x" * 32), head._replace(size=head.size + 1))
    opened.rollback()


def test_what_a_transaction_did_not_commit_no_snapshot_sees(opened):
    reader = opened.reader()
    first = opened.head().size
    writes = leaf_writes(first, 3)
    opened.append(writes, [])
    opened.project(Writes(published=PublishedRow(1, "note", NOW)))
    with reader.snapshot() as before:
        assert (before.head(), before.entries(first, 9), before.published()) == (opened.head(), [], None)
        opened.commit()
        assert (before.entries(first, 9), before.published()) == ([], None)  # one state, however long it is looked at
    with reader.snapshot() as after:
        assert after.entries(first + 1, 9) == [leaf.entry for leaf in writes.leaves[1:]]
        assert after.published() == PublishedRow(1, "note", NOW)
    reader.close()


def test_public_events_from_an_index_on(opened):
    every = opened.public_entries()
    assert [index for index, _ in every] == list(range(len(first_events())))
    assert opened.public_entries(3) == every[3:]
    assert opened.public_entries(len(every)) == []
    assert opened.entries(2, 2) == [entry for _, entry in every[2:4]]
    assert opened.entries(len(every) - 1, 5) == [every[-1][1]]


def test_batches_by_the_names_of_their_senders(opened):
    rows = [batch(number) for number in range(700)]
    keep(opened, Writes(batches={row.header_hash: row for row in rows}))
    names = [(row.sender, row.batch_id) for row in rows] + [(CITY, rows[0].batch_id), (SUPPLIER, bytes(16)[:-1] + b"x")]
    found = opened.batches_by_id(names[1:])
    assert found == {(row.sender, row.batch_id): row for row in rows[1:]}
    assert opened.batches_by_id([]) == {}


def test_the_entries_of_a_subject_newest_first_wherever_they_stand(opened):
    indices = list(range(5, 90, 3))
    recent, older = pack_indices(indices)
    assert older
    writes = Writes(entries=[(ANNA, index) for index in older] + [(BERT, 7)])
    writes.subjects[ANNA] = SubjectRow(len(indices), b"l" * 32, SubjectState(), recent)
    keep(opened, writes)
    assert opened.older_entries(ANNA) == list(older)
    reader = opened.reader()
    with reader.snapshot() as snapshot:
        assert list(snapshot.subject_indices(ANNA)) == indices[::-1]
        assert list(snapshot.subject_indices(ANNA, below=50)) == [index for index in indices[::-1] if index < 50]
        assert list(snapshot.subject_indices(b"x" * 32)) == []
        assert snapshot.subject(ANNA) == writes.subjects[ANNA]
        assert snapshot.subject(b"x" * 32) is None
    reader.close()


def test_payloads_page_by_page(opened):
    first = opened.head().size
    opened.append(leaf_writes(first, 10), [])
    found = opened.payloads_from(first + 3, 4)
    assert [row.idx for row in found] == [first + 3, first + 4, first + 5, first + 6]
    assert isinstance(found[0], PayloadRow)
    assert opened.payloads_from(first + 10, 4) == []


def test_a_permit_has_nothing_where_nothing_became_of_it(opened):
    rows = {
        1: PermitRow(b"h" * 32, 1, 40, b"o" * 32, ANNA),
        2: PermitRow(b"h" * 32, 2, 41, None, ANNA, withheld_idx=50),
        3: PermitRow(b"h" * 32, 3, 42, b"o" * 32, ANNA, released_idx=51, acknowledged_idx=52),
    }
    rows[4] = rows[3]._replace(position=4, decided_idx=43, outcome_idx=53)
    keep(opened, Writes(permits={b"h" * 32: dict(reversed(rows.items()))}))
    assert list(opened.permits(b"h" * 32).items()) == list(rows.items())


def test_permits_by_their_places_in_any_number_of_batches(opened):
    headers = [number.to_bytes(32, "big") for number in range(700)]
    rows = {
        (header, position): PermitRow(header, position, number, b"o" * 32, ANNA)
        for number, header in enumerate(headers)
        for position in (2, 5)
    }
    by_header = {header: {position: rows[header, position] for position in (2, 5)} for header in headers}
    keep(opened, Writes(permits=by_header))
    wanted = [*[*rows][1:], (headers[0], 3), (b"x" * 32, 2)]
    reader = opened.reader()
    with reader.snapshot() as snapshot:
        assert snapshot.permits_at(wanted) == {key: rows[key] for key in [*rows][1:]}
        assert snapshot.permits_at([]) == {}
    reader.close()


def test_a_permit_learns_of_the_newest_report(opened):
    row = PermitRow(b"h" * 32, 1, 40, b"o" * 32, ANNA, released_idx=41)
    keep(opened, Writes(permits={b"h" * 32: {1: row}}))
    for index in (50, 60):
        keep(opened, Writes(permits={b"h" * 32: {1: row._replace(outcome_idx=index)}}))
    assert opened.permits(b"h" * 32)[1].outcome_idx == 60


def test_published_only_moves_forward(opened):
    for row, expected in [
        (PublishedRow(5, "five", 10), 5),
        (PublishedRow(4, "older", 11), 5),
        (PublishedRow(5, "later", 12), 5),
        (PublishedRow(5, "earlier", 11), 5),
        (PublishedRow(6, "six", 1), 6),
    ]:
        keep(opened, Writes(published=row))
        assert opened.published().size == expected
    assert opened.published() == PublishedRow(6, "six", 1)


def erased_ledger(store):
    """Two people; Anna's entries are first, first + 1, and she has a permit, an answer to a pull and one to a change."""
    first = store.head().size
    store.append(leaf_writes(first, 4), [])
    writes = Writes(entries=[(ANNA, first), (BERT, first + 2)])
    writes.subjects = {key: SubjectRow(2, b"l" * 32, SubjectState()) for key in (ANNA, BERT)}
    writes.batches = {row.header_hash: row for row in (batch(1), batch(2))}
    for row in writes.batches.values():
        writes.permits[row.header_hash] = {
            position: PermitRow(row.header_hash, position, first + 1, b"o" * 32, ANNA) for position in (0, 1)
        }
        writes.pulls[row.header_hash, b"n" * 32] = PullRow(row.header_hash, b"n" * 32, b"q" * 32, b"answer", NOW + 5)
    writes.changes = {
        key: ChangeRow(key, b"d" * 32, b"result", index) for key, index in ((b"1" * 16, first), (b"2" * 16, first + 2))
    }
    keep(store, writes)
    return first


def test_an_erasure_takes_every_copy_and_nothing_else(opened):
    first = erased_ledger(opened)
    writes = Writes()
    erasures = writes.erasures
    erasures.entries = {index: ErasedRow(index, "retention", 1, NOW) for index in (first, first + 1)}
    erasures.rewritten = {ANNA}
    erasures.permits = {(batch(1).header_hash, 0): True, (batch(1).header_hash, 1): False}
    erasures.unanswered = {batch(1).header_hash}
    writes.subjects[ANNA] = SubjectRow(0, b"", SubjectState())  # goes wholly
    keep(opened, writes)
    assert sorted(opened.payloads(range(first, first + 4))) == [first + 2, first + 3]
    assert opened.subjects([ANNA, BERT]).keys() == {BERT}
    assert (opened.older_entries(ANNA), opened.older_entries(BERT)) == ([], [first + 2])
    assert opened.changes([b"1" * 16, b"2" * 16]).keys() == {b"2" * 16}
    assert opened.permits(batch(1).header_hash) == {0: PermitRow(batch(1).header_hash, 0, -1, None, b"")}
    assert len(opened.permits(batch(2).header_hash)) == 2
    assert opened.pull(batch(1).header_hash, b"n" * 32) is None
    assert opened.pull(batch(2).header_hash, b"n" * 32).response == b"answer"
    assert opened.unannounced() == list(erasures.entries.values())

    said = Writes()
    said.erasures.announced = {first}
    keep(opened, said)
    assert [row.idx for row in opened.unannounced()] == [first + 1]


def test_a_rewritten_subject_has_its_new_entries_only(opened):
    first = erased_ledger(opened)
    writes = Writes(entries=[(ANNA, first + 3)])
    writes.erasures.entries = {first: ErasedRow(first, "resident request", 1, NOW)}
    writes.erasures.rewritten = {ANNA}
    writes.subjects[ANNA] = SubjectRow(3, b"m" * 32, SubjectState())
    keep(opened, writes)
    assert opened.older_entries(ANNA) == [first + 3]
    assert opened.subjects([ANNA])[ANNA].seq == 3


def test_forgetting_tells_whether_there_was_anything(opened):
    erased_ledger(opened)
    assert opened.forget(NOW - 1, NOW, NOW + 6)
    assert opened.batch(batch(1).header_hash).response == b""
    assert opened.permits(batch(1).header_hash)[0].opening is None
    assert opened.pull(batch(1).header_hash, b"n" * 32) is None


def test_what_organisations_are_asked_and_what_is_done(opened):
    city, supplier = CITY.encode(), SUPPLIER.encode()
    rows = {index: TaskRow(index, city if index % 2 else supplier, 1_000 + index) for index in range(1, 9)}
    keep(opened, Writes(tasks=rows))
    keep(opened, Writes(tasks={3: rows[3]._replace(done_idx=20)}))
    assert opened.task(3) == rows[3]._replace(done_idx=20)
    assert opened.task(99) is None
    assert opened.tasks(CITY, 0, 9, done=False) == [rows[1], rows[5], rows[7]]
    assert [row.idx for row in opened.tasks(CITY, 0, 9, done=True)] == [1, 3, 5, 7]
    assert [row.idx for row in opened.tasks(CITY, 1, 2, done=True)] == [3, 5]
    assert opened.tasks("9" * 20, 0, 9, done=True) == []
    erased = Writes()
    erased.erasures.entries[5] = ErasedRow(5, "retention", 1, NOW)
    keep(opened, erased)
    reader = opened.reader()
    with reader.snapshot() as snapshot:
        assert [row.idx for row in snapshot.tasks(CITY, 0, 9, done=False)] == [1, 7]
        assert snapshot.task(5) is None
    reader.close()

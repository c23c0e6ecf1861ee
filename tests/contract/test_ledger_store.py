"""What the sequencer relies on from a store; every engine (tests/support/backends.py) passes the same."""

import pytest

from consent_ledger.log.merkle import leaf_hash
from consent_ledger.log.tiles import Frontier, root
from consent_ledger.state import Choice, SubjectState
from consent_ledger.storage.rows import (
    BatchRow,
    ChangeRow,
    LeafRow,
    PayloadRow,
    PermitRow,
    PullRow,
    SubjectRow,
    Writes,
)
from consent_ledger.v1 import events_pb2 as pb
from tests.support.backends import BACKENDS, make
from tests.support.ledger import CITY, NOW, SUPPLIER


@pytest.fixture(params=BACKENDS)
def backend(request, tmp_path):
    return make(request.param, request, tmp_path)


@pytest.fixture
def opens(backend):
    return backend.open


STATE = SubjectState(5, {(SUPPLIER, CITY): Choice(pb.MODE_JA, 40, NOW, 1, ("betalingsachterstand",))})
BATCH = BatchRow(b"h" * 32, SUPPLIER, b"b" * 16, CITY, "p", b"r" * 32, b"header", b"t" * 32, b"response", NOW + 9)
PERMIT = PermitRow(b"h" * 32, 3, 41, b"o" * 32, b"s" * 32)


def writes(first: int, count: int = 2) -> Writes:
    made = Writes()
    for index in range(first, first + count):
        entry = b"\x0a\x20" + index.to_bytes(32, "big")
        made.leaves.append(LeafRow(index, entry, leaf_hash(entry)))
        made.payloads.append(PayloadRow(index, b"s" * 32, b"event", b"private"))
    return made


def everything(first: int) -> Writes:
    made = writes(first)
    made.entries = [(b"s" * 32, first), (b"s" * 32, first + 1)]
    made.subjects[b"s" * 32] = SubjectRow(2, b"l" * 32, STATE)
    made.batches[BATCH.header_hash] = BATCH
    made.permits[BATCH.header_hash] = {3: PERMIT}
    made.pulls[BATCH.header_hash, b"n" * 32] = PullRow(BATCH.header_hash, b"n" * 32, b"q" * 32, b"answer", NOW + 5)
    made.changes[b"c" * 16] = ChangeRow(b"c" * 16, b"d" * 32, b"result")
    return made


def check_everything(store, first: int) -> None:
    assert store.subjects([b"s" * 32, b"x" * 32]) == {b"s" * 32: SubjectRow(2, b"l" * 32, STATE)}
    assert store.batch(BATCH.header_hash) == BATCH == store.batch_by_id(SUPPLIER, b"b" * 16)
    assert store.batch_by_id(CITY, b"b" * 16) is None
    assert store.batch(b"x" * 32) is None
    assert store.permits(BATCH.header_hash) == {3: PERMIT}
    assert store.permits(b"x" * 32) == {}
    assert store.pull(BATCH.header_hash, b"n" * 32).response == b"answer"
    assert store.pull(BATCH.header_hash, b"x" * 32) is None
    assert store.changes([b"c" * 16, b"x" * 16]) == {b"c" * 16: ChangeRow(b"c" * 16, b"d" * 32, b"result")}
    assert sorted(store.payloads([first, first + 1, 10**9])) == [first, first + 1]


def test_what_is_committed_is_there_after_a_restart(opens):
    store = opens()
    store.begin()
    first = store.last_index() + 1
    store.append(everything(first), [])
    store.project(everything(first))
    store.advance(store.head(), store.head()._replace(size=first + 2, root=b"r" * 32, time_ms=NOW + 1))
    check_everything(store, first)  # a transaction reads its own writes
    store.commit()
    store.close()
    store = opens()
    store.begin()
    check_everything(store, first)
    assert (store.head().size, store.head().root, store.last_index()) == (first + 2, b"r" * 32, first + 1)
    store.rollback()
    store.close()


@pytest.mark.parametrize("end", ["rollback", "close"])
def test_what_is_not_committed_is_gone(opens, end):
    store = opens()
    store.begin()
    head, first = store.head(), store.last_index() + 1
    store.append(everything(first), [(1, 0, b"t" * 32)])
    store.project(everything(first))
    store.advance(head, head._replace(size=first + 2, root=b"r" * 32))
    if end == "rollback":
        store.rollback()
    store.close()
    store = opens()
    store.begin()
    assert store.head() == head
    assert store.last_index() == first - 1
    assert store.subjects([b"s" * 32]) == {}
    assert store.batch(BATCH.header_hash) is None
    assert store.tile(1, 0, 1) == b""
    store.rollback()
    store.close()


def test_a_permit_and_a_subject_are_replaced_by_what_became_of_them(opens):
    store = opens()
    store.begin()
    first = store.last_index() + 1
    store.append(everything(first), [])
    store.project(everything(first))
    later = Writes()
    later.subjects[b"s" * 32] = SubjectRow(3, b"m" * 32, STATE._replace(written_ms=9))
    later.permits[BATCH.header_hash] = {3: PERMIT._replace(opening=None, withheld_idx=first)}
    store.project(later)
    assert store.subjects([b"s" * 32])[b"s" * 32].seq == 3
    assert store.permits(BATCH.header_hash)[3] == PERMIT._replace(opening=None, withheld_idx=first)
    store.rollback()
    store.close()


def test_forgetting_takes_what_expired_unreleased_and_leaves_the_rest(opens):
    store = opens()
    store.begin()
    first = store.last_index() + 1
    store.append(everything(first), [])
    store.project(everything(first))
    released = Writes()
    released.permits[BATCH.header_hash] = {4: PERMIT._replace(position=4, released_idx=first)}
    store.project(released)
    store.forget(0, BATCH.expires_ms - 1, NOW + 5)
    assert store.permits(BATCH.header_hash)[3].opening
    assert store.pull(BATCH.header_hash, b"n" * 32)
    store.forget(BATCH.expires_ms - 1, BATCH.expires_ms, NOW + 6)
    assert store.permits(BATCH.header_hash)[3].opening is None
    assert store.permits(BATCH.header_hash)[4].opening == PERMIT.opening
    assert store.pull(BATCH.header_hash, b"n" * 32) is None
    store.rollback()
    store.close()


@pytest.mark.parametrize("count", [1, 200, 255, 256, 257, 600])
def test_tiles_give_the_root_of_what_was_appended(opens, count):
    store = opens()
    store.begin()
    head = store.head()
    frontier = Frontier.load(head.size, store.tile)
    made = writes(head.size, count)
    store.append(made, frontier.append([leaf.hash for leaf in made.leaves]))
    assert root(frontier.size, store.tile) == frontier.root()
    assert root(head.size, store.tile) == head.root
    store.rollback()
    store.close()


def test_many_keys_in_one_question(opens):
    store = opens()
    store.begin()
    assert store.subjects([n.to_bytes(32, "big") for n in range(70_000)]) == {}
    store.rollback()
    store.close()

"""Creating a ledger, and loading one from its durable state: start-up and recovery are the same code."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from consent_ledger.clock import Clock
from consent_ledger.errors import RegieError
from consent_ledger.events import EventError, Rng, parse_leaf
from consent_ledger.log.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from consent_ledger.log.errors import VerificationError
from consent_ledger.log.merkle import EMPTY_ROOT
from consent_ledger.log.note import Signer
from consent_ledger.log.tiles import Frontier, root
from consent_ledger.registry import Registry
from consent_ledger.storage.rows import HeadRow
from consent_ledger.storage.sqlite import Lock, create_file, publish_file, unavailable
from consent_ledger.storage.store import LedgerStore, open_store
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.writing.publish import PublishWork
from consent_ledger.writing.transaction import Group, Transaction


@dataclass(frozen=True, slots=True)
class Loaded:
    """The durable state that a writer goes on from."""

    head: HeadRow
    frontier: Frontier
    registry: Registry


def load(store: LedgerStore, signer: Signer, known_note: str | None = None) -> Loaded:
    """Read the durable state and check that it is one: leaves, hashes, root, checkpoint and public events agree.

    ``known_note`` is a checkpoint seen elsewhere: a ledger restored from an older backup does not contain it and is
    refused (I6). Raises RegieError LEDGER_UNAVAILABLE saying what does not agree.
    """
    store.begin()
    try:
        head = store.head()
        signed = open_checkpoint(head.checkpoint, [signer.verifier])
        if signed != Checkpoint(signer.name, head.size, head.root):
            raise unavailable(f"the stored checkpoint is of size {signed.size}, the head of size {head.size}")
        if store.last_index() + 1 != head.size:
            raise unavailable(f"the head is at size {head.size}, the log at {store.last_index() + 1}")
        frontier = Frontier.load(head.size, store.tile)
        if frontier.root() != head.root:
            raise unavailable(f"the hashes of the log give another root than the head of size {head.size}")
        if known_note:
            _check_contains(store, open_checkpoint(known_note, [signer.verifier]), head)
        registry = _registry(store)
    except (VerificationError, EventError) as error:
        raise unavailable(f"the ledger at {store.path} does not verify: {error}") from error
    finally:
        store.rollback()
    if registry.sequence != head.public_sequence:
        raise unavailable(f"the head counts {head.public_sequence} public events, the log has {registry.sequence}")
    return Loaded(head, frontier, registry)


def _check_contains(store: LedgerStore, known: Checkpoint, head: HeadRow) -> None:
    if known.size > head.size:
        raise unavailable(f"this is an old copy: it has size {head.size}, and size {known.size} was signed before")
    if root(known.size, store.tile) != known.root:
        raise unavailable(f"this log is not the one that signed the known checkpoint of size {known.size}")


def _registry(store: LedgerStore) -> Registry:
    events = [(index, parse_leaf(entry).public) for index, entry in store.public_entries()]
    try:
        return Registry.fold(events)
    except RegieError as error:
        raise EventError(error.message) from None


def seal_group(group: Group, frontier: Frontier, signer: Signer) -> HeadRow:
    """Append the group's leaves to ``frontier`` and the store, and return the new head with its signed checkpoint.

    A group without leaves keeps its head: the log never signs twice what did not change.
    """
    writes = group.writes
    if not writes.leaves:
        return group.head
    completed = frontier.append([leaf.hash for leaf in writes.leaves])
    group.store.append(writes, completed)
    size, root_hash = frontier.size, frontier.root()
    assert size == group.size, "leaves and frontier disagree"
    checkpoint = sign_checkpoint(Checkpoint(signer.name, size, root_hash), [signer])
    return HeadRow(size, root_hash, group.now_ms, checkpoint, group.registry.sequence)


def create_ledger(
    path: Path, signer: Signer, public_events: Sequence[pb.PublicEvent], clock: Clock, rng: Rng = os.urandom
) -> None:
    """Make a new ledger whose first leaves are ``public_events`` (their time and sequence are given here).

    ``signer.name`` becomes the log's origin. Raises RegieError LEDGER_UNAVAILABLE when there is one already, and as
    ``Registry.apply`` for events that cannot be published. Nothing else in this program creates a ledger.
    """
    if path.exists():
        raise unavailable(f"{path} exists: a ledger is created once")
    draft = path.with_name(path.name + ".new")
    for leftover in (draft, draft.with_name(draft.name + "-wal"), draft.with_name(draft.name + "-shm")):
        leftover.unlink(missing_ok=True)  # of a creation that did not finish: never served anybody
    lock = Lock(path)
    try:
        store = LedgerStore(draft, create_file(draft), lock)
    except BaseException:
        lock.release()
        raise
    try:
        _write_first(store, signer, public_events, clock(), rng)
    finally:
        store.close()  # the last connection: the log in the -wal file goes into the file itself
    # A crash before this line leaves a draft that is thrown away; after it, a whole ledger.
    publish_file(draft, path)


def _write_first(store: LedgerStore, signer: Signer, events: Sequence[pb.PublicEvent], now_ms: int, rng: Rng) -> None:
    empty = HeadRow(0, EMPTY_ROOT, now_ms, sign_checkpoint(Checkpoint(signer.name, 0, EMPTY_ROOT), [signer]), 0)
    store.begin()
    group = Group(store, empty, Registry(), now_ms, rng)
    transaction = Transaction(group)
    PublishWork(events).apply(transaction)
    group.merge(transaction)
    store.first_head(empty)
    head = seal_group(group, Frontier(), signer)
    if head is not empty:
        store.advance(empty, head)
    store.commit()


def open_loaded(path: Path, signer: Signer, known_note: str | None) -> tuple[LedgerStore, Loaded]:
    """Open a ledger's file for writing and load it; raises RegieError LEDGER_UNAVAILABLE."""
    store = open_store(path)
    try:
        return store, load(store, signer, known_note)
    except sa.exc.DatabaseError as error:
        store.close()
        raise unavailable(f"{path} cannot be read: {type(error.orig).__name__}") from None
    except BaseException:
        store.close()
        raise

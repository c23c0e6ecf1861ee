"""Creating a ledger, and loading one from its durable state: start-up and recovery are the same code."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import sqlalchemy as sa

from consent_ledger.clock import Clock
from consent_ledger.errors import RegieError
from consent_ledger.events import EventError, Rng, parse_leaf
from consent_ledger.log.checkpoint import Checkpoint, open_checkpoint
from consent_ledger.log.errors import VerificationError
from consent_ledger.log.keys import LogKeys, parse_verifier
from consent_ledger.log.merkle import EMPTY_ROOT
from consent_ledger.log.note import Signer
from consent_ledger.log.tiles import TILE_WIDTH, Frontier, root
from consent_ledger.registry import Registry
from consent_ledger.storage.engines import creating, open_for_writing
from consent_ledger.storage.ports import Location, Store, StoreLostError, UnreachableError
from consent_ledger.storage.rows import HeadRow
from consent_ledger.storage.sqlite import unavailable
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.verify.log import CHUNK, verify_log
from consent_ledger.writing.publish import PublishWork
from consent_ledger.writing.transaction import Group, Transaction


@dataclass(frozen=True, slots=True)
class Loaded:
    """The durable state that a writer goes on from."""

    head: HeadRow
    frontier: Frontier
    registry: Registry


def load(store: Store, keys: LogKeys, known_note: str | None = None) -> Loaded:
    """Read the durable state and check that it is one: leaves, hashes, root, checkpoint and public events agree.

    ``known_note`` is a checkpoint seen elsewhere: a ledger restored from an older backup does not contain it and is
    refused (I6). Raises RegieError LEDGER_UNAVAILABLE saying what does not agree.
    """
    store.begin()
    try:
        return check(store, keys, known_note)
    finally:
        store.rollback()


def check(store: Store, keys: LogKeys, known_note: str | None = None) -> Loaded:
    """Do what ``load`` does, in the transaction that is open."""
    try:
        head = store.head()
        signed = open_checkpoint(head.checkpoint, keys.verifiers)
        if signed != Checkpoint(keys.name, head.size, head.root):
            raise unavailable(f"the stored checkpoint is of size {signed.size}, the head of size {head.size}")
        if store.last_index() + 1 != head.size:
            raise unavailable(f"the head is at size {head.size}, the log at {store.last_index() + 1}")
        frontier = Frontier.load(head.size, store.tile)
        if frontier.root() != head.root:
            raise unavailable(f"the hashes of the log give another root than the head of size {head.size}")
        registry = _registry(store)
        if known_note:
            _check_contains(store, _open_known(known_note, keys, registry), head)
    except (VerificationError, EventError) as error:
        raise unavailable(f"the ledger at {store.name} does not verify: {error}") from error
    if registry.sequence != head.public_sequence:
        raise unavailable(f"the head counts {head.public_sequence} public events, the log has {registry.sequence}")
    return Loaded(head, frontier, registry)


def check_whole(store: Store, keys: LogKeys) -> None:
    """Check, in the transaction that is open, also that every entry is the one that was hashed; raises as ``load``."""
    head = check(store, keys).head
    chunks = (store.entries(start, CHUNK) for start in range(0, head.size, CHUNK))
    try:
        verify_log(chain.from_iterable(chunks), head.checkpoint, keys.names)
    except VerificationError as error:
        raise unavailable(f"the ledger at {store.name} does not verify: {error}") from error


def _open_known(note: str, keys: LogKeys, registry: Registry) -> Checkpoint:
    """Open a checkpoint that was seen elsewhere; a key that has been retired since may have signed it."""
    before = [parse_verifier(key) for key in (*registry.log_keys, *registry.retired_log_keys)]
    return open_checkpoint(note, [*keys.verifiers, *(key for key in before if key.name == keys.name)])


def _check_contains(store: Store, known: Checkpoint, head: HeadRow) -> None:
    if known.size > head.size:
        raise unavailable(f"this is an old copy: it has size {head.size}, and size {known.size} was signed before")
    if root(known.size, store.tile) != known.root:
        raise unavailable(f"this log is not the one that signed the known checkpoint of size {known.size}")


def _registry(store: Store, registry: Registry | None = None, start: int = 0) -> Registry:
    """Fold the public events from ``start`` on into what those before it gave."""
    registry = registry or Registry()
    try:
        for index, entry in store.public_entries(start):
            registry = registry.apply(index, parse_leaf(entry).public)
    except RegieError as error:
        raise EventError(error.message) from None
    return registry


def catch_up(store: Store, before: Loaded, keys: LogKeys) -> Loaded:
    """Return the state at the head that the open transaction of ``store`` holds, going on from ``before``.

    Other replicas of the ledger appended in between. Their leaves are hashed onto what is known here, so that a log
    that does not go on from it shows: VerificationError, and EventError for public events that do not follow.
    """
    head = store.head()
    if head == before.head:
        return before
    signed = open_checkpoint(head.checkpoint, keys.verifiers)
    if signed != Checkpoint(keys.name, head.size, head.root):
        raise VerificationError(f"expected a checkpoint of the head of size {head.size}, got one of size {signed.size}")
    if head.size <= before.head.size or head.time_ms < before.head.time_ms:
        raise VerificationError(f"expected a head after size {before.head.size}, got size {head.size}")
    frontier = before.frontier.copy()
    for tile in range(frontier.size // TILE_WIDTH, (head.size + TILE_WIDTH - 1) // TILE_WIDTH):
        hashes = store.tile(0, tile, min(TILE_WIDTH, head.size - tile * TILE_WIDTH))
        known = frontier.size - tile * TILE_WIDTH
        frontier.append([hashes[at : at + 32] for at in range(32 * known, len(hashes), 32)])
    if (frontier.size, frontier.root()) != (head.size, head.root):
        raise VerificationError(f"the log of size {head.size} does not go on from that of size {before.head.size}")
    registry = _registry(store, before.registry, before.head.size)
    if registry.sequence != head.public_sequence:
        raise EventError(f"the head counts {head.public_sequence} public events, the log has {registry.sequence}")
    return Loaded(head, frontier, registry)


def seal_group(group: Group, frontier: Frontier, keys: LogKeys) -> HeadRow:
    """Append the group's leaves to ``frontier`` and the store, and return the new head with its signed checkpoint.

    A group without leaves keeps its head: the log never signs twice what did not change. Every key signs that is not
    retired by then: the group that announces or retires a key is signed accordingly.
    """
    writes = group.writes
    if not writes.leaves:
        return group.head
    completed = frontier.append([leaf.hash for leaf in writes.leaves])
    group.store.append(writes, completed)
    size, root_hash = frontier.size, frontier.root()
    assert size == group.size, "leaves and frontier disagree"
    checkpoint = keys.without(group.registry.retired_log_keys).sign_head(Checkpoint(keys.name, size, root_hash))
    return HeadRow(size, root_hash, group.now_ms, checkpoint, group.registry.sequence)


def create_ledger(
    location: Location,
    signer: Signer | LogKeys,
    public_events: Sequence[pb.PublicEvent],
    clock: Clock,
    rng: Rng = os.urandom,
) -> None:
    """Make a new ledger whose first leaves are ``public_events`` (their time and sequence are given here).

    ``signer.name`` becomes the log's origin. Raises RegieError LEDGER_UNAVAILABLE when there is one already, and as
    ``Registry.apply`` for events that cannot be published. Nothing else in this program creates a ledger.
    """
    with creating(location) as store:
        write_first(store, LogKeys.of(signer), public_events, clock(), rng)


def write_first(store: Store, keys: LogKeys, events: Sequence[pb.PublicEvent], now_ms: int, rng: Rng) -> None:
    """Write the head and the first leaves of a ledger into an empty store, in one transaction."""
    empty = HeadRow(0, EMPTY_ROOT, now_ms, keys.sign_head(Checkpoint(keys.name, 0, EMPTY_ROOT)), 0)
    store.begin()
    group = Group(store, empty, Registry(), now_ms, rng)
    transaction = Transaction(group)
    PublishWork(events).apply(transaction)
    group.merge(transaction)
    store.first_head(empty)
    head = seal_group(group, Frontier(), keys)
    if head is not empty:
        store.advance(empty, head)
    store.commit()


def open_loaded(location: Location, keys: LogKeys, known_note: str | None) -> tuple[Store, Loaded]:
    """Open a ledger for writing and load it; raises RegieError LEDGER_UNAVAILABLE."""
    store = open_for_writing(location)
    try:
        return store, load(store, keys, known_note)
    except sa.exc.DatabaseError as error:
        store.close()
        raise unavailable(f"{store.name} cannot be read: {type(error.orig).__name__}") from None
    except StoreLostError as lost:
        store.close()
        raise UnreachableError("LEDGER_UNAVAILABLE", f"{store.name} went away: {lost}") from None
    except BaseException:
        store.close()
        raise

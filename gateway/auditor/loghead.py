"""What the console holds the log to: the head that it followed itself, the head that is shown now, and every key."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from consent_ledger.log.checkpoint import Checkpoint, open_checkpoint
from consent_ledger.log.keys import AnyVerifier, kind_of, parse_verifier, parse_verifiers
from consent_ledger.log.merkle import leaf_hash, verify_inclusion
from consent_ledger.verify.leaves import read_entry
from gateway.auditor.console import Console


def log_keys(console: Console) -> tuple[AnyVerifier, ...]:
    """Return every verifier key that the log ever had: those of the settings, and those it announced, retired too."""
    registry = console.registry()
    texts = dict.fromkeys([*console.home.log_verifier_key.split(), *registry.log_keys, *registry.retired_log_keys])
    return parse_verifiers(" ".join(texts))


async def trusted_checkpoint(console: Console) -> Checkpoint | None:
    """Return the newest checkpoint that the console verified itself; None before the first."""
    return await console.ask(_trusted)


async def newest_checkpoint(console: Console) -> Checkpoint:
    """Return what the log shows now, signed by it; raises VerificationError, and RegieError when nobody answers."""
    return open_checkpoint(await console.log.checkpoint(), log_keys(console))


def _trusted(connection: Connection) -> Checkpoint | None:
    row = connection.exec_driver_sql("SELECT head_size, head_root, checkpoint FROM progress WHERE id = 1").one_or_none()
    if row is None or not row[2]:
        return None
    return Checkpoint(str(row[2]).split("\n", 1)[0], row[0], row[1])


@dataclass(frozen=True, slots=True)
class KeyEvent:
    """A key of the log began to sign, or signs no more."""

    index: int
    time_ms: int
    key_id: str
    kind: str
    retired: bool


async def key_history(console: Console) -> list[KeyEvent]:
    """Return what became of the log's keys, oldest first, proven by the log.

    Raises VerificationError when an event is not in the log, RegieError when nobody answers.
    """
    answer = await console.log.public_events()
    head = open_checkpoint(answer.checkpoint, log_keys(console))
    found = []
    for public in answer.entries:
        path = [public.path[at : at + 32] for at in range(0, len(public.path), 32)]
        verify_inclusion(public.index, head.size, leaf_hash(public.entry), head.root, path)
        event = read_entry(public.entry)
        if isinstance(event, bytes) or event.WhichOneof("body") not in ("log_key_added", "log_key_retired"):
            continue
        retired = event.HasField("log_key_retired")
        text = (event.log_key_retired if retired else event.log_key_added).verifier_key
        key = parse_verifier(text)
        found.append(KeyEvent(public.index, event.time_ms, key.key_id.hex(), kind_of(key), retired))
    return found

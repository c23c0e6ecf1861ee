"""What the ledger's services need from elsewhere: the group and key operations, and who is calling.

The ledger does not import the gateway. Whoever starts it (gateway/server.py) passes an implementation of LedgerCrypto
(gateway.crypto.ledger_side) and a function that names the peer of a call. The services are made as

    DecisionService(sequencer, crypto, clock, pool, peer, tracer=..., counted=...)
    ConsentService(sequencer, crypto, clock, pool, peer)
    LogService(sequencer, pool, peer)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import grpc.aio

from consent_ledger.registry import Participant

Peer = Callable[[grpc.aio.ServicerContext[Any, Any]], Participant]
"""Returns the participant behind a call's certificate; raises RegieError PEER_*."""


class Tracer(Protocol):
    """Makes the spans of the ledger's stages, inside the span of the call at hand."""

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Open the span of a stage."""
        ...

    def describe(self, *, purpose: str, sender: str, recipient: str, count: int) -> None:
        """Say what is exchanged between whom, of what was validated; never about whom."""
        ...


class NoTracer:
    """Traces nothing."""

    def stage(self, _name: str) -> AbstractContextManager[None]:
        """Open none."""
        return nullcontext()

    def describe(self, *, purpose: str, sender: str, recipient: str, count: int) -> None:
        """Say nothing."""


class OpenedBatch(Protocol):
    """The sealed part of a batch after the ledger opened it; lives as long as one Decide."""

    @property
    def positions(self) -> tuple[int, ...]:
        """The positions in use, increasing."""
        ...

    @property
    def subjects(self) -> tuple[bytes, ...]:
        """Per position, in that order: the stored index of the resident (32 bytes)."""
        ...

    @property
    def severities(self) -> tuple[int, ...]:
        """Per position, in that order: how serious the sender says the signal is (0: it does not say)."""
        ...

    def opening(self, position: int, /) -> bytes:
        """Return v_i of a position: together with the recipient's k it opens the signal."""
        ...


class LedgerCrypto(Protocol):
    """The ledger's keys and group operations. Thread-safe. Every method raises RegieError, never returns a boolean."""

    @property
    def key_id(self) -> bytes:
        """Id of the HPKE key that batches are sealed to now (8 bytes)."""
        ...

    def header_hash(self, header: bytes) -> bytes:
        """Return hh, 32 bytes."""
        ...

    def verify_sender(self, public: bytes, header_hash: bytes, sealed: bytes, root: bytes, signature: bytes) -> None:
        """Check sig_L; raises SIGNATURE_INVALID."""
        ...

    def open_batch(self, purpose: str, epoch: int, header_hash: bytes, sealed: bytes, evaluated: bytes) -> OpenedBatch:
        """Open toL and finish the evaluation; raises SEALED_PART_INVALID or ELEMENT_INVALID for the whole batch."""
        ...

    def subjects(self, purpose: str, epoch: int, elements: Sequence[bytes]) -> list[bytes]:
        """Return the stored index of each row element; raises ELEMENT_INVALID."""
        ...

    def seal_release(self, recipient_public: bytes, header_hash: bytes, nonce: bytes, content: bytes) -> bytes:
        """Return rel: ``content`` sealed to the recipient."""
        ...

    def open_outcome(self, header_hash: bytes, sealed: bytes) -> bytes:
        """Return OutcomeReport bytes; raises SEALED_PART_INVALID."""
        ...

    def seal_tasks(self, organisation_public: bytes, nonce: bytes, content: bytes) -> bytes:
        """Return TaskList bytes sealed to an organisation, for one query of it."""
        ...

    def open_task(self, organisation: str, sealed: bytes) -> bytes:
        """Return TaskReport bytes of an organisation; raises SEALED_PART_INVALID."""
        ...

    def sign(self, label: bytes, *parts: bytes) -> bytes:
        """Sign label || parts with the ledger's Ed25519 key of the directory."""
        ...

    def verify(self, public: bytes, label: bytes, signature: bytes, *parts: bytes) -> None:
        """Check a signature; raises SIGNATURE_INVALID."""
        ...

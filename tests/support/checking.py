"""Proofs as the ledger gives them, with witnesses: what the program in the browser is tested with."""

from __future__ import annotations

from collections.abc import Sequence

from consent_ledger.log.checkpoint import open_checkpoint
from consent_ledger.log.cosignature import Ed25519CosignatureSigner, MlDsa44Signer
from consent_ledger.log.proof import Receipt
from consent_ledger.log.tiles import consistency_path, inclusion_path
from consent_ledger.v1 import consents_pb2 as pb
from consent_ledger.v1 import events_pb2, log_pb2
from consent_ledger.viewer.catalogue import load_catalogue
from consent_ledger.viewer.checking.trust import Trust
from tests.support.ledger import SIGNER, Ledger

WITNESSES = tuple(Ed25519CosignatureSigner(f"witness.example/w{n}", bytes([n]) * 32) for n in (1, 2, 3))
QUANTUM = MlDsa44Signer(SIGNER.name, b"\x09" * 32)
SECONDS = 1_767_225_600
TRUST = Trust(
    (SIGNER.verifier.format(), QUANTUM.verifier.format()),
    2,
    tuple((one.verifier.format(),) for one in WITNESSES),
)
CATALOGUE = load_catalogue()
GREASE = "— grease.invalid dW5rbm93biBrZXkgYW5kIHNpZ25hdHVyZQ==\n"


class LedgerProofs:
    """Answers ``checking.bundle.Proofs`` from a ledger; ``witnesses`` of three cosigned its newest head."""

    def __init__(self, ledger: Ledger, witnesses: int = 2) -> None:
        self.ledger, self.witnesses = ledger, witnesses
        self.hidden: set[int] = set()  # entries that this operator keeps from the resident
        self._published: dict[str, str] = {}

    def note(self) -> str:
        with self.ledger.sequencer.reader.snapshot() as snapshot:
            note = snapshot.head().checkpoint
        return self._published.setdefault(note, self._cosigned(note))

    def _cosigned(self, note: str) -> str:
        body = note.partition("\n\n")[0] + "\n"
        lines = [QUANTUM.line(body, SECONDS), GREASE]
        return note + "".join([*lines, *(one.line(body, SECONDS) for one in WITNESSES[: self.witnesses])])

    async def proof(self, rows: Sequence[pb.Rows], log_index: int) -> pb.GetProofResponse:
        note = self.note()
        size = open_checkpoint(note, TRUST.verifiers).size
        with self.ledger.sequencer.reader.snapshot() as snapshot:
            row = snapshot.payloads([log_index])[log_index]
            path = tuple(inclusion_path(log_index, size, snapshot.tile))
        receipt = Receipt(row.salt + row.event, log_index, path, note)
        return pb.GetProofResponse(proof=receipt.format(), private_part=row.private, witnessed=self.witnesses >= 2)

    async def public_entries(self) -> list[log_pb2.PublicEntry]:
        with self.ledger.sequencer.reader.snapshot() as snapshot:
            return [log_pb2.PublicEntry(index=index, entry=entry) for index, entry in snapshot.public_entries()]

    async def inclusion(self, index: int, size: int) -> list[bytes]:
        with self.ledger.sequencer.reader.snapshot() as snapshot:
            return inclusion_path(index, size, snapshot.tile)

    async def consistency(self, old_size: int, new_size: int) -> list[bytes]:
        with self.ledger.sequencer.reader.snapshot() as snapshot:
            return consistency_path(old_size, new_size, snapshot.tile)

    def chain(self, subject: bytes) -> pb.Chain:
        """The chain of a subject, newest first, without what is hidden."""
        found = pb.Chain(subject=subject)
        with self.ledger.sequencer.reader.snapshot() as snapshot:
            rows = snapshot.payloads(range(snapshot.head().size))
        for index in sorted(rows, reverse=True):
            row, private = rows[index], events_pb2.PrivatePart.FromString(rows[index].private)
            if index in self.hidden or subject not in [link.subject for link in private.links]:
                continue
            found.newest_seq = found.newest_seq or next(
                link.subject_seq for link in private.links if link.subject == subject
            )
            found.links.add(log_index=index, salt=row.salt, event=row.event, private_part=row.private)
        return found


HERE = Trust((SIGNER.verifier.format(),))
"""Believes the log of ``MemoryPortal``, which has no witnesses."""

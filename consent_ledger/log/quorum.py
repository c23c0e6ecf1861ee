"""Which witnesses are believed, and how many of them must have cosigned a checkpoint (c2sp.org/tlog-cosignature)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from consent_ledger.log.checkpoint import Checkpoint, open_checkpoint
from consent_ledger.log.cosignature import Ed25519Cosigner, MlDsa44Cosigner
from consent_ledger.log.errors import NoteError
from consent_ledger.log.keys import parse_verifier
from consent_ledger.log.note import NoteVerifier, open_note, read_note

Cosigner = Ed25519Cosigner | MlDsa44Cosigner


@dataclass(frozen=True, slots=True)
class WitnessKeys:
    """A witness as its readers know it: a name and its public keys, each of which cosigns on its own."""

    name: str
    keys: tuple[Cosigner, ...]

    def __post_init__(self) -> None:
        """Refuse keys that do not speak for one witness."""
        if not self.keys or any(key.name != self.name for key in self.keys):
            raise NoteError(f"the witness {self.name} needs keys, and all of them have its name")

    @classmethod
    def parse(cls, texts: Sequence[str]) -> WitnessKeys:
        """Read verifier keys of types 0x04 and 0x06; raises NoteError."""
        keys = [parse_verifier(text) for text in texts]
        cosigners = tuple(key for key in keys if isinstance(key, Cosigner))
        if not cosigners or len(cosigners) != len(keys):
            raise NoteError("a witness has cosigner keys (types 0x04 and 0x06), and no key of a log")
        return cls(cosigners[0].name, cosigners)

    def seconds(self, note: str) -> int | None:
        """Return when this witness cosigned (seconds since 1970), None when it did not.

        Raises NoteError on a wrong cosignature by one of its keys.
        """
        known = {(key.name, key.key_id) for key in self.keys}
        if all((line.name, line.key_id) not in known for line in read_note(note).signatures):
            return None
        return max(int.from_bytes(line.signature[:8]) for line in open_note(note, self.keys).signatures)


@dataclass(frozen=True, slots=True)
class Quorum:
    """How many of these witnesses must have cosigned. Nobody is asked for any when there are none."""

    needed: int
    witnesses: tuple[WitnessKeys, ...]

    def __post_init__(self) -> None:
        """Refuse a quorum that is none, that cannot be reached, or that one witness could fill twice."""
        total = len(self.witnesses)
        if not (1 <= self.needed <= total or self.needed == total == 0):
            raise NoteError(f"a quorum is from 1 to the number of witnesses, {total}; this is {self.needed}")
        if len({witness.name for witness in self.witnesses}) != total:
            raise NoteError("two witnesses have one name")
        if len({key.public for witness in self.witnesses for key in witness.keys}) != sum(
            len(witness.keys) for witness in self.witnesses
        ):
            raise NoteError("two witnesses have one key")

    @property
    def enough_to_see_the_latest(self) -> int:
        """Of how many witnesses at least one cosigned the newest witnessed checkpoint, whichever are asked."""
        return len(self.witnesses) - self.needed + 1 if self.witnesses else 0

    def cosigned(self, note: str) -> dict[str, int]:
        """Return which witnesses cosigned a checkpoint note, and when (seconds since 1970); raises NoteError."""
        found = {witness.name: witness.seconds(note) for witness in self.witnesses}
        return {name: seconds for name, seconds in found.items() if seconds is not None}

    def open(self, note: str, log_keys: Sequence[NoteVerifier]) -> Checkpoint:
        """Return the checkpoint of a note that its log signed and enough witnesses cosigned.

        Raises NoteError or FormatError, saying how many are missing.
        """
        checkpoint = open_checkpoint(note, log_keys)
        cosigned = self.cosigned(note)
        if len(cosigned) < self.needed:
            raise NoteError(
                f"expected cosignatures of {self.needed} witnesses for size {checkpoint.size}, got {len(cosigned)}"
            )
        return checkpoint


NOBODY = Quorum(0, ())
"""The quorum of a log without witnesses."""

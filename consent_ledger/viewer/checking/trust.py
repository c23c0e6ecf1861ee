"""Whose signatures the program in the browser believes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from consent_ledger.log.keys import parse_verifier
from consent_ledger.log.note import NoteVerifier
from consent_ledger.log.quorum import Quorum, WitnessKeys


@dataclass(frozen=True, slots=True)
class Trust:
    """Verifier keys of the log, retired ones too; verifier keys per witness, and how many witnesses are needed.

    All are texts (c2sp.org/signed-note). Raises NoteError for keys or a quorum that no log could have.
    """

    log_keys: tuple[str, ...]
    needed: int = 0
    witnesses: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be used before any page says that something was checked."""
        _ = self.verifiers, self.quorum

    @classmethod
    def of(cls, log_keys: str, needed: int, witnesses: Sequence[Sequence[str]]) -> Trust:
        """Take the settings of a home: log keys one a line, as ``Home.log_verifier_key``."""
        return cls(tuple(log_keys.split()), needed, tuple(tuple(keys) for keys in witnesses))

    @property
    def verifiers(self) -> tuple[NoteVerifier, ...]:
        """The log's keys, parsed."""
        return tuple(parse_verifier(key) for key in self.log_keys)

    @property
    def quorum(self) -> Quorum:
        """The witnesses, parsed."""
        return Quorum(self.needed, tuple(WitnessKeys.parse(keys) for keys in self.witnesses))

    def to_json(self) -> dict[str, object]:
        """Return what note.js reads."""
        return {"log_keys": self.log_keys, "quorum": {"needed": self.needed, "witnesses": self.witnesses}}


NOBODY = Trust(())
"""Believes no log: every answer is "cannot be checked yet"."""

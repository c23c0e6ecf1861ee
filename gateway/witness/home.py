"""A witness on disk: what it knows, its key, and what it remembers. Nothing of it is shared with the ledger's.

HOME/regie.toml              ``[addresses] witness``: where it listens
HOME/witness/witness.toml    the logs it knows, each with its verifier keys
HOME/witness/witness.key     its private keys, one a line: Ed25519 (0x04) and ML-DSA-44 (0x06)
HOME/witness/witness.db      what it cosigned last (consent_ledger/witness/memory.py)
"""

from __future__ import annotations

import json
import os
import stat
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from consent_ledger.log.cosignature import Ed25519CosignatureSigner, MlDsa44Signer
from consent_ledger.log.errors import NoteError
from consent_ledger.log.keys import AnyVerifier, parse_signer, parse_verifier
from consent_ledger.witness.memory import create_memory
from consent_ledger.witness.witness import KnownLog
from gateway.home import HomeError

FOLDER = "witness"
_SETTINGS, _KEY, _MEMORY = "witness.toml", "witness.key", "witness.db"
Cosigner = Ed25519CosignatureSigner | MlDsa44Signer


@dataclass(frozen=True, slots=True)
class WitnessFolder:
    """HOME/witness; every read raises HomeError saying what is wrong with it."""

    folder: Path

    @classmethod
    def of(cls, home: Path) -> WitnessFolder:
        """Return the witness of a home."""
        found = cls(home / FOLDER)
        if not (found.folder / _SETTINGS).is_file():
            raise HomeError(f"{home} has no witness: make one with `regie witness init`")
        return found

    @property
    def memory(self) -> Path:
        """The path of its database."""
        return self.folder / _MEMORY

    def signers(self) -> tuple[Cosigner, ...]:
        """Return its private keys."""
        path = self.folder / _KEY
        try:
            mode, text = stat.S_IMODE(path.stat().st_mode), path.read_text("ascii")
        except (OSError, UnicodeDecodeError):
            raise HomeError(f"{path} cannot be read") from None
        if mode & 0o077:
            raise HomeError(f"{path} may be read by others (mode {mode:o}): run chmod 600 on it")
        try:
            keys = [parse_signer(line) for line in text.split("\n") if line]
        except NoteError as error:
            raise HomeError(f"{path} holds no witness's key: {error}") from None
        cosigners = tuple(key for key in keys if isinstance(key, Cosigner))
        if not cosigners or len(cosigners) != len(keys):
            raise HomeError(f"{path} holds other keys than a witness's (types 0x04 and 0x06)")
        return cosigners

    def verifier_keys(self) -> list[str]:
        """Return its public keys as text: what a log's operator puts into its settings."""
        return [signer.verifier.format() for signer in self.signers()]

    def logs(self) -> list[KnownLog]:
        """Return the logs it knows."""
        path = self.folder / _SETTINGS
        try:
            settings = tomllib.loads(path.read_text("utf-8"))
            return [_log(entry) for entry in settings["logs"]]
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, NoteError) as error:
            raise HomeError(f"{path} cannot be used: {error}") from None
        except (KeyError, TypeError):
            raise HomeError(f"{path}: each of [[logs]] has verifier_keys, a list of texts") from None


def found_witness(home: Path, name: str, logs: Sequence[Sequence[str]], rng: Callable[[int], bytes]) -> WitnessFolder:
    """Make HOME/witness: new keys, an empty memory, and settings with the verifier keys of each log.

    Nothing is written over. Raises HomeError.
    """
    try:
        signers: list[Cosigner] = [Ed25519CosignatureSigner(name, rng(32)), MlDsa44Signer(name, rng(32))]
        for keys in logs:
            _log({"verifier_keys": keys})
    except NoteError as error:
        raise HomeError(f"no witness can be made of this: {error}") from None
    folder = home / FOLDER
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        raise HomeError(f"{folder} exists: its keys and memory are not written over") from None
    descriptor = os.open(folder / _KEY, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.writelines(f"{signer.format()}\n" for signer in signers)
    create_memory(folder / _MEMORY)
    (folder / _SETTINGS).write_text(_settings(logs), encoding="utf-8")
    return WitnessFolder(folder)


def _log(entry: dict[str, Any]) -> KnownLog:
    keys: list[AnyVerifier] = [parse_verifier(text) for text in entry["verifier_keys"]]
    if not keys:
        raise NoteError("a log needs a verifier key")
    return KnownLog(keys[0].name, tuple(keys))


def _settings(logs: Sequence[Sequence[str]]) -> str:
    lines = ["# The logs that this witness knows. A log whose keys change needs its new key here before it uses it."]
    for keys in logs:
        # A JSON list of such texts is a TOML list.
        lines += ["", "[[logs]]", f"verifier_keys = {json.dumps(list(keys), indent=2)}"]
    return "\n".join(lines) + "\n"

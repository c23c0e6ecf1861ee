"""The keys of the log on disk, and how they change without a moment in which nobody can verify the log.

HOME/orgs/<OIN>/log.key holds the private keys, one a line, and ``retired KEY`` for each public key that was one. The
ledger announces and retires at its start, after its witnesses have seen its log: a copy of an old ledger announces
nothing. From then on every head is signed by all keys that are not retired.

1. ``add_keys``; start the ledger again: it signs with old and new, and the log says that the new ones are its own.
2. Whoever verifies the log takes them over (``take_over``): participants, witnesses, readers of the public log.
3. ``retire_key``; start the ledger again: it signs with the new ones only. The old private key is gone from the file.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from consent_ledger.log.cosignature import MlDsa44Signer
from consent_ledger.log.errors import NoteError
from consent_ledger.log.keys import LogKeys
from consent_ledger.log.note import Signer
from consent_ledger.registry import Registry
from consent_ledger.v1 import events_pb2
from gateway.home import Home, HomeError, Organisation

_RETIRED = "retired "
_SETTINGS = re.compile(r'^log_verifier_keys?\s*=\s*(\[[^\]]*\]|"[^"\n]*")', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class KeyFile:
    """What log.key says: the keys that sign, and the public keys that do so no more."""

    keys: LogKeys
    retired: tuple[str, ...] = ()

    @classmethod
    def read(cls, ours: Organisation) -> KeyFile:
        """Read log.key of the ledger; raises HomeError."""
        lines = ours.text_key("log").split("\n")
        retired = tuple(line.removeprefix(_RETIRED).strip() for line in lines if line.startswith(_RETIRED))
        try:
            keys = LogKeys.parse("\n".join(line for line in lines if not line.startswith(_RETIRED)))
        except NoteError as error:
            raise HomeError(f"{ours.folder / 'log.key'} cannot be used: {error}") from None
        return cls(keys, retired)

    def write(self, ours: Organisation) -> None:
        """Write log.key, for its owner only, whole or not at all."""
        text = self.keys.format() + "".join(f"{_RETIRED}{key}\n" for key in self.retired)
        _replace(ours.folder / "log.key", text)

    def announcements(self, registry: Registry) -> list[events_pb2.PublicEvent]:
        """Return what the log does not say yet: keys that are new, then keys that are retired."""
        added = [key for key in self.keys.names if key not in registry.log_keys]
        retired = [key for key in self.retired if key in registry.log_keys]
        return [
            *(events_pb2.PublicEvent(log_key_added=events_pb2.LogKeyAdded(verifier_key=key)) for key in added),
            *(events_pb2.PublicEvent(log_key_retired=events_pb2.LogKeyRetired(verifier_key=key)) for key in retired),
        ]


def add_keys(home: Home, rng: Callable[[int], bytes]) -> tuple[str, ...]:
    """Make a new Ed25519 and a new ML-DSA-44 key for the log; returns the public keys. Raises HomeError.

    This home verifies with them from now on too, and so does its witness.
    """
    ours = home.operator("ledger")
    file = KeyFile.read(ours)
    name = file.keys.name
    fresh = LogKeys((Signer(name, rng(32)),), (MlDsa44Signer(name, rng(32)),))
    keys = LogKeys(file.keys.signers + fresh.signers, file.keys.cosigners + fresh.cosigners)
    # First those who verify: a key that is trusted and never used harms nobody, the other way round would.
    take_over(home, fresh.names)
    KeyFile(keys, file.retired).write(ours)
    return fresh.names


def retire_key(home: Home, key_id: str, registry: Registry) -> str:
    """Let a key of the log sign no more from the ledger's next start on; returns the public key. Raises HomeError.

    ``registry`` is the directory as it stands: another Ed25519 key must be announced there, and be in log.key.
    """
    ours = home.operator("ledger")
    file = KeyFile.read(ours)
    found = [key for key in (*file.keys.names, *registry.log_keys) if key.split("+", 2)[1] == key_id]
    if not found:
        raise HomeError(f"the log has no key {key_id}: see `regie log keys`")
    try:
        kept = file.keys.without({found[0]})
    except NoteError:
        raise HomeError(
            "this is the only Ed25519 key that signs: make the next one first, `regie log rotate-key`"
        ) from None
    if not any(key.verifier.format() in registry.log_keys for key in kept.signers):
        raise HomeError("the key that would be left is not announced in the log yet: start the ledger again first")
    # Said twice before the ledger was started again, it is one retirement: the log takes no second one.
    KeyFile(kept, tuple(dict.fromkeys((*file.retired, found[0])))).write(ours)
    take_over(home, (), gone=found[:1])
    return found[0]


def take_over(home: Home, fresh: Collection[str], gone: Collection[str] = ()) -> tuple[str, ...]:
    """Verify with other keys of the log from now on, in regie.toml and for this home's witness; returns all of them."""
    before = home.log_verifier_key.split("\n")
    keys = tuple(key for key in dict.fromkeys((*before, *fresh)) if key not in gone)
    settings = home.folder / "regie.toml"
    text, count = _SETTINGS.subn(lambda _: _setting("log_verifier_keys", keys), settings.read_text("utf-8"), count=1)
    if not count:
        raise HomeError(f"{settings} lacks log_verifier_keys at the beginning of a line")
    _take_over_at_witness(home.folder / "witness" / "witness.toml", before, keys)
    _replace(settings, text)
    return keys


def _take_over_at_witness(path: Path, before: Sequence[str], keys: Sequence[str]) -> None:
    """Change the entry of this log where this home has a witness; the witness reads it at its next start."""
    if not path.is_file():
        return
    text = path.read_text("utf-8")
    pattern = re.compile(r"^verifier_keys\s*=\s*(\[[^\]]*\])", re.MULTILINE)

    def changed(found: re.Match[str]) -> str:
        return _setting("verifier_keys", keys) if any(json.dumps(key) in found[1] for key in before) else found[0]

    _replace(path, pattern.sub(changed, text))


def _setting(name: str, keys: Sequence[str]) -> str:
    # A JSON list of such texts is a TOML list.
    return f"{name} = {json.dumps(list(keys), indent=4)}"


def _replace(path: Path, text: str) -> None:
    """Write a file beside and move it there: a crash leaves the old one or the new one."""
    mode = path.stat().st_mode & 0o777
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise

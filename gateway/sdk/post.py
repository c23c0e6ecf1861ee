"""How a one-time code reaches the resident and nobody else: through whoever sends the viewer's letters and messages.

Staff who ask for a code never see it, and never say where it goes: the address or number is that of the register that
the sending system reads, not of a form.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Protocol

from consent_ledger.v1 import events_pb2
from consent_ledger.viewer.port import Person


class Post(Protocol):
    """Sends one code."""

    def send(self, channel: events_pb2.CodeChannel.ValueType, person: Person, code: str, expires_ms: int) -> None:
        """Hand over a code; raises OSError when that does not succeed."""
        ...


class SpoolPost:
    """A folder from which the operator's own mail system takes orders, one JSON file each, and deletes them.

    Files hold an identifier and a code: only the viewer's user may read them, and they belong on the viewer's machine.
    """

    def __init__(self, folder: Path) -> None:
        """Write into this folder, which is made when absent."""
        self._folder = folder

    def send(self, channel: events_pb2.CodeChannel.ValueType, person: Person, code: str, expires_ms: int) -> None:
        """Write an order; whoever reads the folder sees whole files only."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        name = os.urandom(12).hex()
        order = {
            "channel": events_pb2.CodeChannel.Name(channel).removeprefix("CODE_CHANNEL_").lower(),
            "code": code,
            "expires_ms": expires_ms,
            **{field: value for field in Person.__dataclass_fields__ if (value := getattr(person, field))},
        }
        draft = self._folder / f".{name}"
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(order, file)
        draft.rename(self._folder / f"{name}.json")

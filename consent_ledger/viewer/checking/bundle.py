"""Bundles: what a browser needs to check entries of one resident, with the names of organisations and purposes.

A bundle is JSON (``regie/bewijs@v1``): numbers as decimal text, bytes as standard base64, each proof with the number of
its checkpoint among ``checkpoints``. It holds the resident's own entries in clear, so it goes to nobody else.
"""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any, Literal

from google.protobuf.message import DecodeError

from consent_ledger.events import EventError, open_private
from consent_ledger.log.checkpoint import open_checkpoint
from consent_ledger.log.encoding import decode_base64, decode_decimal
from consent_ledger.log.errors import FormatError, VerificationError
from consent_ledger.log.merkle import leaf_hash, verify_inclusion
from consent_ledger.log.proof import Receipt
from consent_ledger.v1 import consents_pb2 as pb
from consent_ledger.v1 import events_pb2
from consent_ledger.verify.leaves import SALT_BYTES
from consent_ledger.verify.receipt import verify_receipt
from consent_ledger.viewer.checking.trust import Trust

FORMAT = "regie/bewijs@v1"
Verdict = Literal["ok", "later", "wrong"]


@dataclass(frozen=True, slots=True)
class ProvenEntry:
    """One committed entry with its proof."""

    receipt: Receipt
    private: bytes

    @property
    def event(self) -> events_pb2.Event:
        """The event itself; raises DecodeError."""
        return events_pb2.Event.FromString(self.receipt.extra[SALT_BYTES:])


@dataclass(frozen=True, slots=True)
class ProvenPublic:
    """One public entry with its proof under the checkpoint of a committed one."""

    index: int
    entry: bytes
    path: tuple[bytes, ...]
    note: str


@dataclass(slots=True)
class Bundle:
    """Entries with their proofs, the public entries that they speak of, and chains (chain.py)."""

    entries: list[ProvenEntry] = field(default_factory=list)
    public: list[ProvenPublic] = field(default_factory=list)
    chains: list[pb.Chain] = field(default_factory=list)
    broken: bool = False  # a proof that the ledger gave did not check, so there is none: the answer is "Klopt niet"

    def verdict(self, trust: Trust) -> Verdict:
        """Tell what this server itself finds: the words "checked by our server" are said only when it did."""
        try:
            if self.broken or not self.entries:
                return "wrong"
            for entry in self.entries:
                verified = verify_receipt(entry.receipt.format(), "\n".join(trust.log_keys))
                if entry.private:
                    open_private(verified.event, entry.private)
            for public in self.public:
                head = open_checkpoint(public.note, trust.verifiers)
                verify_inclusion(public.index, head.size, leaf_hash(public.entry), head.root, public.path)
            cosigned = [len(trust.quorum.cosigned(note)) for note in self._notes()]
        except (VerificationError, EventError, DecodeError):
            return "wrong"
        return "ok" if all(count >= trust.needed for count in cosigned) else "later"

    def to_json(self, **more: Any) -> str:
        """Write the bundle; it can stand in a script element of a page as it is."""
        notes = self._notes()
        values = {
            "format": FORMAT,
            "checkpoints": notes,
            "entries": [_entry(entry, notes) for entry in self.entries],
            "public": [_public(entry, notes) for entry in self.public],
            "chains": [_chain(chain) for chain in self.chains],
            **more,
        }
        return json.dumps(values, separators=(",", ":")).replace("<", "\\u003c").replace("&", "\\u0026")

    def _notes(self) -> list[str]:
        notes = (*(each.receipt.checkpoint_note for each in self.entries), *(each.note for each in self.public))
        return list(dict.fromkeys(notes))


def _text(data: bytes) -> str:
    return b64encode(data).decode("ascii")


def _entry(entry: ProvenEntry, notes: list[str]) -> dict[str, Any]:
    receipt = entry.receipt
    return {
        "checkpoint": notes.index(receipt.checkpoint_note),
        "index": str(receipt.index),
        "path": [_text(value) for value in receipt.path],
        "salt": _text(receipt.extra[:SALT_BYTES]),
        "event": _text(receipt.extra[SALT_BYTES:]),
        "private": _text(entry.private),
    }


def _public(entry: ProvenPublic, notes: list[str]) -> dict[str, Any]:
    return {
        "checkpoint": notes.index(entry.note),
        "index": str(entry.index),
        "path": [_text(value) for value in entry.path],
        "entry": _text(entry.entry),
    }


def _chain(chain: pb.Chain) -> dict[str, Any]:
    return {
        "subject": _text(chain.subject),
        "newest": str(chain.newest_seq),
        "links": [
            {
                "index": str(link.log_index),
                "salt": _text(link.salt),
                "event": _text(link.event),
                "private": _text(link.private_part),
            }
            for link in chain.links
        ],
    }


def read_any(text: str) -> Bundle:
    """Read a file that somebody sent: a ``.tlog-proof`` or a bundle; raises FormatError for anything else."""
    if not text.lstrip().startswith("{"):
        return Bundle([ProvenEntry(Receipt.parse(text), b"")])
    try:
        values = json.loads(text)
        if values["format"] != FORMAT:
            raise FormatError(f"expected {FORMAT}")
        notes = [str(note) for note in values["checkpoints"]]
        entries = [_read_entry(each, notes) for each in values["entries"]]
        public = [_read_public(each, notes) for each in values["public"]]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        raise FormatError("expected entries with their proofs") from None
    return Bundle(entries, public)


def _read_entry(values: dict[str, Any], notes: list[str]) -> ProvenEntry:
    extra = decode_base64(values["salt"]) + decode_base64(values["event"])
    index, path = decode_decimal(values["index"], "index"), tuple(map(decode_base64, values["path"]))
    return ProvenEntry(Receipt(extra, index, path, notes[values["checkpoint"]]), decode_base64(values["private"]))


def _read_public(values: dict[str, Any], notes: list[str]) -> ProvenPublic:
    index, path = decode_decimal(values["index"], "index"), tuple(map(decode_base64, values["path"]))
    return ProvenPublic(index, decode_base64(values["entry"]), path, notes[values["checkpoint"]])

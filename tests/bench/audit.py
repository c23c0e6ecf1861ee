"""What it costs to check a ledger that is there: its log and payloads, every table, and every decision again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import process_time

from consent_ledger.verify.database import verify_database
from consent_ledger.verify.fsck import fsck
from consent_ledger.verify.replay import replay


def audited_per_second(ledger: Path | str, vkeys: str) -> dict[str, float]:
    """Return entries per second of processor time, on one core, for each way to check a sound ledger."""

    def signed(_public: bytes, _message: bytes, _signature: bytes) -> None:
        """The bench signs answers with nothing: one Ed25519 verification per batch and pull comes on top."""

    size = verify_database(ledger, vkeys).log.size
    ways: dict[str, Callable[[], object]] = {
        "payloads": lambda: verify_database(ledger, vkeys),
        "fsck": lambda: fsck(ledger, vkeys, check_signature=signed),
        "replay": lambda: replay(ledger, vkeys),
    }
    figures = {}
    for name, check in ways.items():
        begun = process_time()
        check()
        figures[name] = round(size / (process_time() - begun), 1)
    return figures

"""A process that exports a ledger's records until none waits: python -m tests.support.ldv_exporter LEDGER FOLDER URL."""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from consent_ledger.clock import system_clock
from consent_ledger.storage.reader import LedgerReader
from gateway.ldv.collector import open_collector
from gateway.ldv.follow import Exporter, export_all
from gateway.ldv.ledgerbook import LedgerBook
from gateway.ldv.state import State
from tests.support.ldv import SETTINGS, SUBJECTS, organisation
from tests.support.ledger import GATEWAY, LEDGER


async def main(path: Path, folder: Path, endpoint: str) -> None:
    reader = LedgerReader(path)
    book = LedgerBook(reader, SETTINGS, SUBJECTS, LEDGER, GATEWAY)
    with State.open(organisation(folder)) as state, ThreadPoolExecutor(1) as thread:
        async with open_collector(endpoint, system_clock) as collector:
            await export_all(Exporter(book, state, thread), collector)
    reader.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))

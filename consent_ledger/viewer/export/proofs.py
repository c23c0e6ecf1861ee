"""Proofs of a resident's log entries in one file: anybody can check them, without us and without a network."""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import Sequence

from consent_ledger.errors import RegieError
from consent_ledger.v1 import consents_pb2
from consent_ledger.viewer.port import AllRows, Portal

PER_FILE = 100
"""Entries per file: each asks the ledger once, and a page must answer in seconds."""
_AT_ONCE = 8
_FIXED_TIME = (1980, 1, 1, 0, 0, 0)  # no time of download: the same proofs give the same bytes


async def entries(portal: Portal, rows: AllRows) -> list[int]:
    """Return the log indices of everything about a resident, oldest first.

    So that the parts of a download stay what they are: to download is itself an entry, and comes last.
    """
    found = await portal.preview_erasure(rows)
    return sorted({each.log_index for each in (*found.entries, *found.kept)})


async def at_most(portal: Portal, rows: AllRows) -> int:
    """Return how many entries about a resident there are at most, which costs the same however many they are.

    What is about several purposes counts in each of them.
    """
    asked = (portal.chain(rows, row.purpose, limit=1) for row in rows)
    return sum(chain.newest_seq for found in await asyncio.gather(*asked) for chain in found.chains)


async def proofs_zip(portal: Portal, rows: AllRows, indices: Sequence[int], readme: str) -> bytes:
    """Return a ZIP with a .tlog-proof and the private part of each entry; an entry erased meanwhile is left out."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(index: int) -> tuple[int, consents_pb2.GetProofResponse | None]:
        async with gate:
            try:
                return index, await portal.proof(rows, index)
            except RegieError as error:
                if error.reason != "ENTRY_UNKNOWN":
                    raise
                return index, None

    found = await asyncio.gather(*(one(index) for index in indices))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        _add(archive, "LEESMIJ.txt", readme.encode())
        _add(archive, "log.keys", portal.log_verifier_keys.encode() + b"\n")
        for index, proof in found:
            if proof:
                _add(archive, f"{index}.tlog-proof", proof.proof.encode())
                _add(archive, f"{index}.private", proof.private_part)
    return buffer.getvalue()


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, _FIXED_TIME), content, zipfile.ZIP_DEFLATED)

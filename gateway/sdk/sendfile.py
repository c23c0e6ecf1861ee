"""Sending a file: its good rows go through, each bad one is named by row and field in FILE.rejected.csv."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.crypto.identifiers import ADDRESS, BSN
from gateway.sdk.agency import Agency
from gateway.sdk.csvfile import ARREARS, INCOME, CsvFile, FileRefusedError, RejectedFile, write_refusal
from gateway.sdk.formats import Rejected, read_signals, today
from gateway.sdk.local import KeyedHash
from gateway.sdk.rows import SignalRow
from gateway.sdk.sealing import Basis
from gateway.sdk.sender import PATIENCE_SECONDS, Summary, check_fit, options_key

Steps = Callable[[int, int], None]
"""Called with (rows dealt with, rows in all)."""


@dataclass(frozen=True, slots=True)
class FileSummary:
    """A summary of the good rows, how many were rejected, and where those are."""

    sent: Summary
    rejected_rows: int
    rejected_file: Path | None

    @property
    def rows(self) -> int:
        """Data rows in the file."""
        return self.sent.rows + self.sent.passed_over + self.rejected_rows


async def send_file(
    agency: Agency,
    path: Path,
    *,
    purpose: str,
    recipient: str,
    items: Sequence[str] = (),
    basis: Basis = "observed",
    retry_later: bool = False,
    patience: float = PATIENCE_SECONDS,
    progress: Steps = lambda _done, _total: None,
) -> FileSummary:
    """Send an arrears or income file; its header tells which it is.

    With ``retry_later`` the file is the sender's list of now, and only what it was told to report again later goes.

    Raises FileRefusedError (and still writes FILE.rejected.csv) when the file as a whole cannot be read, RegieError as
    ``Sender.send``.
    """
    registry = await agency.registry()
    chosen = registry.purpose(purpose)
    try:
        with path.open("rb") as stream:
            file = CsvFile(stream, ARREARS, INCOME)
            check_fit(registry, chosen, ADDRESS if file.layout is ARREARS else BSN)
            options = options_key(purpose, recipient, items, basis)
            digest, lines = KeyedHash(agency.organisation, "outbox").of_file(path, options)
            count = _Counter(progress, max(0, lines - 1))
            rejected = RejectedFile(path, file.header, file.delimiter)
            try:
                rows = _good_rows(file, agency.clock(), rejected, count)
                summary = await agency.sender().send_rows(
                    rows,
                    digest,
                    purpose=purpose,
                    recipient=recipient,
                    items=items,
                    basis=basis,
                    retry_later=retry_later,
                    whole=lambda: not rejected.rows,
                    patience=patience,
                    progress=count,
                )
            finally:
                rejected.close()
    except FileRefusedError as error:
        write_refusal(path, error)
        raise
    return FileSummary(summary, rejected.rows, rejected.path)


class _Counter:
    def __init__(self, progress: Steps, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def __call__(self, more: int) -> None:
        self._done += more
        self._progress(self._done, max(self._total, self._done))


def _good_rows(file: CsvFile, now_ms: int, rejected: RejectedFile, count: _Counter) -> Iterator[SignalRow]:
    for found in read_signals(file, today(now_ms)):
        if isinstance(found, Rejected):
            rejected.add(found.record.row, found.record.cells, found.errors)
            count(1)
            continue
        _, row = found
        yield row

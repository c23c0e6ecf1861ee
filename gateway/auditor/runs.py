"""Checks of the whole ledger that the console runs in the background (A6, A8): one at a time, with progress.

A run is a thread over a read-only snapshot, so the ledger may be in use. Its report is written to the auditor's own
folder, signed, when it ends; a console that is started again finds it there. A run that is interrupted leaves nothing.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import structlog

from consent_ledger.clock import Clock
from consent_ledger.errors import RegieError
from consent_ledger.log.errors import VerificationError
from consent_ledger.log.quorum import Quorum
from consent_ledger.verify.fsck import LedgerDamaged, fsck
from consent_ledger.verify.replay import ReplayFailed, replay
from consent_ledger.verify.sources import Location
from gateway.auditor.reports import fsck_values, replay_values, sign_report
from gateway.home import Home, HomeError, Organisation
from gateway.witness.quorum import quorum_of

_log = structlog.get_logger()
_NAME = re.compile(r"(\d{1,9})-(replay|fsck)\.json")


class Check(StrEnum):
    """What is run."""

    REPLAY = "replay"
    FSCK = "fsck"


class Verdict(StrEnum):
    """How a run ended; each is also the name of its text."""

    RUNNING = "running"
    SOUND = "sound"
    BROKEN = "broken"
    """Something in the ledger does not check: the report says what."""
    FAILED = "failed"
    """The run itself did not come to an end; the ledger is neither proven right nor wrong."""


class Place(NamedTuple):
    """The ledger that is checked: where it is, the verifier keys of its log, and the witnesses it needs."""

    location: Location
    vkeys: str
    quorum: Quorum


class Signer(NamedTuple):
    """Whose key signs the reports (OIN), and its seed of 32 bytes."""

    oin: str
    seed: bytes


@dataclass(slots=True)
class Run:
    """One run; ``report`` is there once it ended, unless it failed (then ``problem`` says why)."""

    number: int
    check: Check
    begun_ms: int
    within: range | None = None
    verdict: Verdict = Verdict.RUNNING
    done: int = 0
    total: int = 0
    ended_ms: int = 0
    problem: str = ""
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def percent(self) -> int:
        """How far it is."""
        return 100 * self.done // self.total if self.total else 0


class AlreadyRunningError(Exception):
    """There is a run that has not ended: two at once would only take twice as long."""


class _Interrupted(Exception):  # noqa: N818  (not an error: the console stops)
    pass


class Runs:
    """The runs of one console. Thread-safe."""

    def __init__(self, place: Place | None, folder: Path, signer: Signer, clock: Clock) -> None:
        """Take the ledger (None: it is not on this machine), and the folder where reports are and will be."""
        self.place = place
        self._folder, self._signer, self._clock = folder, signer, clock
        self._turn = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._runs = {run.number: run for path in self._files() if (run := _stored(path))}

    @property
    def all(self) -> list[Run]:
        """Every run as it stands now, the newest first."""
        with self._turn:
            return sorted(map(_now, self._runs.values()), key=lambda run: -run.number)

    @property
    def current(self) -> Run | None:
        """The run that has not ended."""
        return next((run for run in self.all if run.verdict is Verdict.RUNNING), None)

    def latest(self, check: Check) -> Run | None:
        """Return the newest run of a kind that ended."""
        ended = (run for run in self.all if run.check is check and run.verdict is not Verdict.RUNNING)
        return next(ended, None)

    def get(self, number: int) -> Run | None:
        """Return a run as it stands now: one that ends while a page is made would say so without its figures."""
        run = self._runs.get(number)
        return run and _now(run)

    def file(self, number: int) -> bytes | None:
        """Return the signed report of a run; None when there is none."""
        run = self.get(number)
        path = run and self._path(run)
        return path.read_bytes() if path and path.is_file() else None

    def start(self, check: Check, within: range | None = None) -> Run:
        """Start a run; raises AlreadyRunningError, and RegieError when the ledger is not on this machine."""
        if self.place is None:
            raise RegieError("LEDGER_UNAVAILABLE", "the ledger is not on this machine: run `regie audit replay` there")
        if self.current:
            raise AlreadyRunningError
        with self._turn:
            run = Run(max(self._runs, default=0) + 1, check, self._clock(), within)
            self._runs[run.number] = run
            self._thread = threading.Thread(
                target=self._run, args=(run, self.place), name=f"regie-{check.value}", daemon=True
            )
        self._thread.start()
        return run

    def join(self) -> None:
        """Wait until the run that is under way ends."""
        if self._thread is not None:
            self._thread.join()

    def close(self) -> None:
        """Interrupt the run that is under way, and wait for it."""
        self._stop.set()
        self.join()

    def _run(self, run: Run, place: Place) -> None:
        def progress(done: int, total: int) -> None:
            run.done, run.total = done, total
            if self._stop.is_set():
                raise _Interrupted

        begun = monotonic()
        try:
            verdict, values = _checked(run, place, progress, begun)
            self._store(run, values, verdict)
        except _Interrupted:
            self._end(run, Verdict.FAILED, "interrupted")
        except RegieError as error:
            self._end(run, Verdict.FAILED, error.message)
        except OSError as error:
            self._end(run, Verdict.FAILED, f"the report cannot be written: {error.strerror}")
        except Exception as error:  # noqa: BLE001  (a thread that dies silently would run for ever on the page)
            _log.error("run_failed", role="auditor", exception_type=type(error).__name__)
            self._end(run, Verdict.FAILED, type(error).__name__)

    def _store(self, run: Run, values: dict[str, Any], verdict: Verdict) -> None:
        """Write the signed report, then say that the run ended: what is shown can be downloaded."""
        ended = self._clock()
        report = {**values, "begun_ms": run.begun_ms, "ended_ms": ended, "verdict": verdict.value}
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path(run)
        beside = path.with_suffix(".new")
        beside.write_text(sign_report(report, *self._signer), "utf-8")
        beside.replace(path)
        run.report = report
        self._end(run, verdict)

    def _end(self, run: Run, verdict: Verdict, problem: str = "") -> None:
        run.problem, run.ended_ms = problem, self._clock()
        run.verdict = verdict  # last: whoever sees it sees the rest too

    def _path(self, run: Run) -> Path:
        return self._folder / f"{run.number}-{run.check.value}.json"

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("*.json")) if self._folder.is_dir() else []


def _now(run: Run) -> Run:
    """Copy a run. Fields are read in their order: the verdict, which is written last, before the report."""
    return replace(run)


def runs_at(home: Home, auditor: Organisation, clock: Clock) -> Runs:
    """Return the runs of an auditor's home; without a ledger there, only earlier reports."""
    return Runs(_place_of(home), auditor.data / "reports", Signer(auditor.oin, auditor.key("sign")), clock)


def _place_of(home: Home) -> Place | None:
    """Return the ledger of a home, None when it is elsewhere: then `regie audit replay` runs there."""
    try:
        location = home.ledger
    except HomeError:
        return None
    if isinstance(location, Path) and not location.is_file():
        return None
    return Place(location, home.log_verifier_key, quorum_of(home))


def _checked(
    run: Run, place: Place, progress: Callable[[int, int], None], begun: float
) -> tuple[Verdict, dict[str, Any]]:
    """Run the check; a ledger that does not check is an outcome, not a failure of the run."""
    try:
        if run.check is Check.FSCK:
            found = fsck(place.location, place.vkeys, progress, quorum=place.quorum)
            return Verdict.SOUND, {"kind": "fsck", **fsck_values(found, round(monotonic() - begun, 3))}
        report = replay(place.location, place.vkeys, progress, quorum=place.quorum, within=run.within)
        return Verdict.SOUND, replay_values(report, monotonic() - begun)
    except LedgerDamaged as damaged:
        return Verdict.BROKEN, {"kind": "fsck", **fsck_values(damaged.report, round(monotonic() - begun, 3))}
    except ReplayFailed as failed:
        return Verdict.BROKEN, replay_values(failed.report, monotonic() - begun)
    except VerificationError as error:
        # The log itself does not check, so there is nothing to judge: that is the worst finding there is.
        return Verdict.BROKEN, {"kind": run.check.value, "verified": False, "problem": str(error)}


def _stored(path: Path) -> Run | None:
    """Return a run from its report; None for a file that is none."""
    named = _NAME.fullmatch(path.name)
    if named is None:
        return None
    try:
        report = json.loads(path.read_text("utf-8"))["report"]
        within = range(report["from"], report["to"]) if "from" in report else None
        return Run(
            number=int(named[1]),
            check=Check(named[2]),
            begun_ms=int(report["begun_ms"]),
            within=within,
            verdict=Verdict(report["verdict"]),
            ended_ms=int(report["ended_ms"]),
            report=report,
        )
    except (OSError, ValueError, KeyError, TypeError):
        _log.warning("report_unreadable", role="auditor")
        return None

"""All checks in order. A check that breaks is a finding too: the others still tell what they know."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path

from consent_ledger.clock import Clock, system_clock
from gateway.doctor import certificates, clocks, databases, files, ledger, roles, settings, telemetry
from gateway.doctor.finding import Case, Finding, fail
from gateway.home import Home, HomeError, Organisation

Looks = Callable[[Case], Iterable[Finding]]
BEFORE_A_START: tuple[Looks, ...] = (
    lambda case: settings.check_settings(case.home),
    files.check_files,
    certificates.check_certificates,
    databases.check_databases,
    databases.check_disk,
    telemetry.check_auditor,
)
"""What can be looked at whether anything runs or not."""


async def examine(folder: Path, *, offline: bool = False, clock: Clock = system_clock) -> AsyncIterator[Finding]:
    """Yield what is found in a home, and, unless ``offline``, at the roles it names; raises HomeError on no home."""
    case = _case(Home.open(folder), clock)
    for look in BEFORE_A_START:
        for finding in _guarded(look, case):
            yield finding
    if offline:
        for finding in _guarded(roles.check_free, case):
            yield finding
        return
    for check in (roles.check_roles, _clocks, ledger.check_directory, ledger.check_log, telemetry.check_telemetry):
        try:
            found = await check(case)
        except Exception as error:  # noqa: BLE001 - its text could hold data
            found = [_broken(check.__name__, error)]
        for finding in found:
            yield finding


def _case(home: Home, clock: Clock) -> Case:
    folder = home.folder / "orgs"
    names = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    organisations = [Organisation(name, folder / name) for name in names]
    if not organisations:
        raise HomeError(f"{folder} holds no organisation: there is nothing to ask with")
    return Case(home, organisations, clock)


async def _clocks(case: Case) -> list[Finding]:
    return await clocks.check_clocks(case, roles.clock_urls(case))


def _guarded(look: Looks, case: Case) -> Iterator[Finding]:
    try:
        yield from look(case)
    except Exception as error:  # noqa: BLE001 - its text could hold data
        yield _broken(getattr(look, "__name__", "check"), error)


def _broken(name: str, error: Exception) -> Finding:
    return fail("doctor", f"{name} could not be done ({type(error).__name__})", "set REGIE_DEBUG=1 and report this")

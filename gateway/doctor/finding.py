"""What a check says: one line on what is, one line on how to mend it. Neither ever holds a key or a password."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from consent_ledger.clock import Clock
from gateway.home import Home, Organisation

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. ``reached`` is False when somebody did not answer, so that nothing is known."""

    level: Level
    area: str
    what: str
    how: str = ""
    reached: bool = True

    def as_json(self) -> dict[str, object]:
        """Return it for programs."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Case:
    """What is examined: an opened home, its organisations on this machine, and what time it is."""

    home: Home
    organisations: Sequence[Organisation]
    clock: Clock

    def asking(self) -> Organisation:
        """Return the organisation whose certificate asks: an agency if there is one, as an agency is served least."""
        operators = set(self.home.operators.values())
        return min(self.organisations, key=lambda one: (one.oin in operators, one.oin))


def ok(area: str, what: str) -> Finding:
    """Say that something is well."""
    return Finding("ok", area, what)


def warn(area: str, what: str, how: str) -> Finding:
    """Say that something will go wrong, or may."""
    return Finding("warn", area, what, how)


def fail(area: str, what: str, how: str, *, reached: bool = True) -> Finding:
    """Say that something does not work, or must not be so."""
    return Finding("fail", area, what, how, reached)


def exit_code(findings: Sequence[Finding]) -> int:
    """Return 0 when nothing failed, 3 when all that failed is that somebody did not answer, else 1."""
    failed = [finding for finding in findings if finding.level == "fail"]
    if not failed:
        return 0
    return 1 if any(finding.reached for finding in failed) else 3

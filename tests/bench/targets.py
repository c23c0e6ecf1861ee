"""What the figures are meant to be: of this run, beside what else this run measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Target:
    """A bound on one figure; with ``of``, a multiple of another figure of the same run."""

    figure: str
    most: float | None = None
    least: float | None = None
    of: str = ""

    @property
    def words(self) -> str:
        """The bound as it is written down: of figures that another run has not measured yet."""
        least = "at most" if self.least is None else "at least"
        return f"{least} {self._factor:,g}" + (f" x `{self.of}`" if self.of else "")

    @property
    def _factor(self) -> float:
        bound = self.most if self.least is None else self.least
        assert bound is not None
        return bound

    def judge(self, figures: Mapping[str, Any]) -> Verdict | None:
        """Compare; None when the figure, or the one it is compared with, was not measured."""
        value = look_up(figures, self.figure)
        base = look_up(figures, self.of) if self.of else 1.0
        if value is None or base is None:
            return None
        bound = round(self._factor * base, 3)
        met = value <= bound if self.least is None else value >= bound
        words = f"{'at most' if self.least is None else 'at least'} {bound:,g}"
        return Verdict(words + (f" ({self._factor:g} x {self.of.split('.')[-2]})" if self.of else ""), met)


@dataclass(frozen=True)
class Verdict:
    """The bound in words, and whether the figure keeps it."""

    bound: str
    met: bool


TARGETS = (
    Target("submission.batch_1000.ratio", most=1.43),  # 70 % of what the group operations allow
    Target("submission.senders_8.ratio", most=1.05, of="submission.senders_1.ratio"),
    Target("submission.senders_64.ratio", most=1.05, of="submission.senders_1.ratio"),
    Target("submission.entries_1000000.ratio", most=1.10, of="submission.entries_10000.ratio"),
    Target("submission.batch_1.p50_ratio", most=6),
    Target("submission.batch_1.p99_ratio", most=15),
    Target("delivery.ratio", most=1.67),  # 60 %
    Target("enrolment.ratio", most=1.25),  # 80 %
    Target("tracing.cost", most=1.15),
    Target("verify.leaves_per_s", least=500_000),
    Target("ledger.sqlite.durable_per_s.128", least=10_000),
    Target("viewer.page_10000_entries.ratio", most=3),
    Target("console.a1_ms", most=1_000),
    Target("console.a2_ms", most=1_000),
)


def look_up(figures: Mapping[str, Any], path: str) -> float | None:
    """Return the number at a dotted path, or None when there is none."""
    found: Any = figures
    for key in path.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, int | float) else None


def judged(figures: Mapping[str, Any]) -> dict[str, Verdict]:
    """Return what is said of every figure that has a target and was measured."""
    verdicts = ((target.figure, target.judge(figures)) for target in TARGETS)
    return {name: verdict for name, verdict in verdicts if verdict is not None}

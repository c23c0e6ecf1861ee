"""What can be told about publishing at any moment: numbers for metrics, sentences for people."""

from __future__ import annotations

from dataclasses import dataclass, field

FIRST_REST_MS = 1_000
LONGEST_REST_MS = 60_000
"""A witness that does not answer is asked again after a while, twice as long each time."""


@dataclass(slots=True)
class WitnessState:
    """One witness: the size it cosigned last and when, and what is wrong with it ("" while nothing is)."""

    size: int = 0
    cosigned_ms: int = 0
    problem: str = ""
    resting_until_ms: int = 0
    failures: int = 0

    def is_up(self, now_ms: int) -> bool:
        """Tell whether it may be asked now."""
        return self.resting_until_ms <= now_ms

    def answered(self, size: int, now_ms: int) -> None:
        """Note that it cosigned."""
        self.size, self.cosigned_ms = size, now_ms
        self.problem, self.failures, self.resting_until_ms = "", 0, 0

    def failed(self, problem: str, now_ms: int) -> None:
        """Note that it did not, and let it rest."""
        self.problem = problem
        rest = min(FIRST_REST_MS << min(self.failures, 16), LONGEST_REST_MS)
        self.failures, self.resting_until_ms = self.failures + 1, now_ms + rest


@dataclass(slots=True)
class PublishingState:
    """All of it: ``missing`` witnesses to the quorum; ``alarm`` says why signing stopped for good, "" if it did not."""

    head_size: int = 0
    published_size: int = 0
    published_ms: int = 0
    missing: int = 0
    alarm: str = ""
    witnesses: dict[str, WitnessState] = field(default_factory=dict)

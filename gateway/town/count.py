"""The demo's numbers: what senders were told, residents read and recipients hold, and what was verified."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from consent_ledger.decide import outcome_of
from consent_ledger.v1 import events_pb2
from gateway.town.story import Check, Words


def coarse(reason: str) -> str:
    """Return what an agency is told for a reason, for example "geen_toestemming" (residents.md, "Reason codes")."""
    outcome = outcome_of(events_pb2.Reason.Value(f"REASON_{reason}"), None)
    return events_pb2.Outcome.Name(outcome).removeprefix("OUTCOME_").lower()


@dataclass(slots=True)
class Count:
    """The numbers of one demo. ``answers`` counts what senders were told; the reasons are from residents' records."""

    answers: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    withheld: Counter[str] = field(default_factory=Counter)
    accepted_of_file: dict[Path, int] = field(default_factory=dict)
    delivered: int = 0
    log_size: int = 0
    log_verified: bool = False
    log_witnessed: bool = False
    receipts_verified: int = 0
    scenes: int = 0
    scenes_wrong: int = 0
    seconds: float = 0.0

    @property
    def sent(self) -> int:
        """Signals that were decided."""
        return self.answers.total()

    @property
    def accepted(self) -> int:
        """Signals that the senders were told are accepted."""
        return self.answers["accepted"]

    @property
    def refused(self) -> dict[str, int]:
        """Refused signals by exact reason, as their residents read it."""
        return {reason: number for reason, number in sorted(self.reasons.items()) if reason != "ALLOWED" and number}

    @property
    def all_receipts_hold(self) -> bool:
        """Whether every delivery has a receipt that was verified."""
        return self.receipts_verified == self.delivered > 0

    def checks(self) -> Sequence[Check]:
        """Return how the three views must agree: senders', residents' and recipients'."""
        told: Counter[str] = Counter()
        for reason, number in self.reasons.items():
            told[coarse(reason)] += number
        return (
            Check("what senders were told and what residents read", +self.answers, +told),
            Check("deliveries", self.reasons["ALLOWED"] - self.withheld.total(), self.delivered),
        )

    def verifications(self) -> Sequence[tuple[bool, Words]]:
        """Return what was verified, each with whether it holds."""
        agree = all(check.holds for check in self.checks())
        return (
            (self.log_verified, Words(f"Het logboek ({self.log_size} regels).", f"The log ({self.log_size} entries).")),
            (
                self.log_witnessed,
                Words(
                    "Een getuige zag het logboek alleen groeien en tekende mee.",
                    "A witness saw the log do nothing but grow, and cosigned it.",
                ),
            ),
            (
                self.all_receipts_hold,
                Words(
                    f"{self.receipts_verified} van {self.delivered} bewijzen van levering.",
                    f"{self.receipts_verified} of {self.delivered} receipts of delivery.",
                ),
            ),
            (
                agree,
                Words(
                    "Wat zenders hoorden, inwoners lezen en gemeenten kregen, is hetzelfde.",
                    "What senders heard, residents read and municipalities got is the same.",
                ),
            ),
            (
                self.scenes_wrong == 0,
                Words(f"{self.scenes} scenes liepen zoals beschreven.", f"{self.scenes} scenes went as described."),
            ),
        )

    @property
    def holds(self) -> bool:
        """Whether everything that was verified holds."""
        return all(good for good, _ in self.verifications())

    def as_json(self) -> dict[str, object]:
        """Return the summary that `regie demo --json` prints."""
        return {
            "sent": self.sent,
            "accepted": self.accepted,
            "refused": self.refused,
            "delivered": self.delivered,
            "log_size": self.log_size,
            "log_verified": self.log_verified,
            "proofs_verified": self.receipts_verified,
            "seconds": round(self.seconds, 1),
        }

"""Rules that both evaluators apply: freshness, epochs, own domains, quotas."""

from __future__ import annotations

from consent_ledger.clock import DAY_MS
from consent_ledger.errors import RegieError
from consent_ledger.registry import Participant, Registry
from consent_ledger.v1.batch_pb2 import BatchHeader
from gateway.crypto.oprf import Domain
from gateway.evaluator.stores import Charge
from gateway.settings import CLOCK_SKEW_MS, LONGEST_LIFE_MS, Settings
from gateway.v1 import evaluator_pb2 as pb

FEW = 4
"""Signals of one batch that are checked and evaluated sooner than handed to another thread: less than a millisecond."""


def require_fresh(created_ms: int, expires_ms: int, now_ms: int) -> None:
    """Check that a batch exists already, has not expired, and lives at most 72 hours; raises RegieError NOT_FRESH."""
    if created_ms > now_ms + CLOCK_SKEW_MS:
        raise RegieError("NOT_FRESH", "created in the future: compare the clocks", "header.created_ms")
    if expires_ms <= now_ms:
        raise RegieError("NOT_FRESH", "the batch has expired: send its signals in a new one", "header.expires_ms")
    if not 0 < expires_ms - created_ms <= LONGEST_LIFE_MS:
        raise RegieError("NOT_FRESH", "expected a batch that lives at most 72 hours", "header.expires_ms")


def require_epoch(epoch: int, settings: Settings, field: str) -> None:
    """Check that an epoch is in use; raises RegieError FIELD_INVALID."""
    if epoch not in settings.epochs:
        in_use = ", ".join(map(str, settings.epochs))
        raise RegieError("FIELD_INVALID", f"expected an epoch in use ({in_use}), got {epoch}", field)


def domains(header: BatchHeader) -> tuple[Domain, Domain]:
    """Return the ledger's and the recipient's domain of a batch; the roles are fixed by their use."""
    return (
        Domain("ledger", header.ledger, header.purpose, header.ledger_epoch),
        Domain("recipient", header.recipient, header.purpose, header.recipient_epoch),
    )


def require_recent(request: pb.RowRequest, now_ms: int, settings: Settings) -> int:
    """Check that a row request was made just now and return when it expires (ms); raises RegieError NOT_FRESH."""
    expires_ms: int = request.created_ms + settings.row_request_seconds * 1000
    if not request.created_ms - CLOCK_SKEW_MS <= now_ms < expires_ms:
        raise RegieError(
            "NOT_FRESH", "expected a request of the last minutes: compare the clocks", "request.created_ms"
        )
    return expires_ms


def row_domain(request: pb.RowRequest, caller: Participant, registry: Registry) -> Domain:
    """Return the domain a row request names, once it is the caller's own.

    A recipient asks in its own domains of purposes it may receive, the portal in the ledger's domains, and nobody in
    any other. Raises RegieError DOMAIN_NOT_OWN, PURPOSE_UNKNOWN or PURPOSE_PROHIBITED.
    """
    purpose = registry.purpose(request.purpose)
    if request.role == pb.ROLE_LEDGER:
        if caller.kind != "viewer" or request.target != registry.operator("ledger").oin:
            raise RegieError(
                "DOMAIN_NOT_OWN", "only the portal asks for rows in the ledger's domains", "request.target"
            )
        return Domain("ledger", request.target, request.purpose, request.epoch)
    if request.target != caller.oin or caller.kind not in purpose.recipient_kinds:
        raise RegieError("DOMAIN_NOT_OWN", "a recipient asks for rows in its own domains only", "request.target")
    if purpose.prohibited:
        raise RegieError("PURPOSE_PROHIBITED", f"purpose {request.purpose} is prohibited", "request.purpose")
    return Domain("recipient", request.target, request.purpose, request.epoch)


def row_charge(request: pb.RowRequest, caller: Participant, count: int, now_ms: int, settings: Settings) -> Charge:
    """Return what a request for ``count`` rows costs: per epoch for a recipient, per day for the portal.

    A recipient has a few rows a day beside, so that looking its canaries up every day never uses up what it needs to
    enrol people; in a year they are still too few to guess with.
    """
    if request.role == pb.ROLE_LEDGER:
        return Charge(f"portal-rows/{caller.oin}", now_ms // DAY_MS, count, settings.portal_rows_per_day)
    most = settings.schemes_per_person * caller.population * settings.recipient_rows_percent // 100
    few = Charge(f"recipient-rows-daily/{caller.oin}", now_ms // DAY_MS, count, settings.recipient_rows_per_day)
    return Charge(f"recipient-rows/{caller.oin}", request.epoch, count, most, free=few)


def signal_charge(header: BatchHeader, now_ms: int, settings: Settings) -> Charge:
    """Return what a batch of signals costs its sender, per day."""
    return Charge(f"signals/{header.sender}", now_ms // DAY_MS, header.count, settings.sender_signals_per_day)

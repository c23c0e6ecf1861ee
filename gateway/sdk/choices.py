"""Choices as changes to the ledger: what each kind of change says, and which choices the catalogue allows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from consent_ledger.errors import RegieError
from consent_ledger.purpose import Purpose
from consent_ledger.registry import Registry
from consent_ledger.v1 import consents_pb2, events_pb2
from gateway.crypto.identifiers import ADDRESS, BSN
from gateway.sdk.csvfile import FieldError
from gateway.sdk.describe import CHANNELS
from gateway.sdk.rows import ChoiceRow, Resident

MODES: dict[str, events_pb2.Mode.ValueType] = {
    "JA": events_pb2.MODE_JA,
    "VRAAG_MIJ_EERST": events_pb2.MODE_VRAAG_MIJ_EERST,
    "EERST_ZELF": events_pb2.MODE_EERST_ZELF,
}
CAPTURES: dict[str, events_pb2.CapturedVia.ValueType] = {
    name.removeprefix("CAPTURED_VIA_").lower(): number for name, number in events_pb2.CapturedVia.items() if number
}
QUIET_TIMES: dict[str, events_pb2.QuietTime.ValueType] = {
    name.removeprefix("QUIET_TIME_").lower(): number for name, number in events_pb2.QuietTime.items() if number
}
DETAILS: dict[str, events_pb2.Detail.ValueType] = {
    "": events_pb2.DETAIL_UNSPECIFIED,
    "short": events_pb2.DETAIL_SHORT,
    "full": events_pb2.DETAIL_FULL,
}
_FIELDS_OF_SCHEME = {BSN: "bsn", ADDRESS: "postcode"}
Fill = Callable[[consents_pb2.Change], None]


@dataclass(frozen=True, slots=True)
class Wish:
    """What one resident wants changed, in which purposes; ``fill`` writes it into a Change.

    ``about`` is what the wish is about and ``content`` what it says: an equal content need not be recorded twice.
    """

    resident: Resident
    purposes: tuple[str, ...]
    fill: Fill
    about: tuple[str, ...] = ()
    content: str = ""


def check_choice(row: ChoiceRow, registry: Registry) -> list[FieldError]:
    """Return what is wrong with a choice, as far as the directory tells; a prohibited purpose has no choices (I8)."""
    purpose = registry.find_purpose(row.purpose)
    if purpose is None or purpose.retired:
        return [FieldError("purpose", f"is none of {', '.join(choosable(registry))}")]
    if purpose.prohibited:
        return [FieldError("purpose", "is prohibited: nobody can allow it, so there is nothing to choose")]
    errors = []
    for field, oin, kinds in (
        ("sender", row.sender, purpose.sender_kinds),
        ("recipient", row.recipient, purpose.recipient_kinds),
    ):
        participant = registry.find_participant(oin)
        if participant is None or participant.kind not in kinds:
            errors.append(FieldError(field, f"is no participant of kind {' or '.join(kinds)}"))
    if not set(row.items) <= purpose.item_names:
        errors.append(FieldError("items", f"holds only {', '.join(sorted(purpose.item_names))}"))
    if row.months and row.months > purpose.longest_validity_months:
        errors.append(FieldError("months", f"is at most {purpose.longest_validity_months} for this purpose"))
    if all(row.resident.message(scheme) is None for scheme in purpose.schemes):
        needed = _FIELDS_OF_SCHEME.get(purpose.schemes[0], "bsn") if purpose.schemes else "bsn"
        errors.append(FieldError(needed, f"is needed for {purpose.id}, which goes by {' or '.join(purpose.schemes)}"))
    return errors


def choosable(registry: Registry) -> list[str]:
    """Return the purposes a resident can choose about."""
    return [purpose.id for purpose in registry.purposes if not (purpose.prohibited or purpose.retired)]


def choice(row: ChoiceRow, purpose: Purpose) -> Wish:
    """Return the wish of a choices row; no items stands for all that the purpose lists."""
    scope = make_scope(row.sender, row.recipient, purpose)
    items = sorted(row.items or purpose.item_names)
    content = "|".join((row.answer, ",".join(items), str(row.months or 0), str(purpose.version)))
    content += f"|{row.threshold}" if row.threshold else ""

    def fill(change: consents_pb2.Change) -> None:
        if row.answer == "NEE":
            change.refuse.scope.CopyFrom(scope)
        else:
            grant = consents_pb2.Grant(
                scope=scope,
                items=items,
                mode=MODES[row.answer],
                months=row.months or 0,
                threshold=row.threshold,
                occasion=events_pb2.OCCASION_LIFE_EVENT if row.life_event else events_pb2.OCCASION_UNSPECIFIED,
            )
            change.grant.CopyFrom(grant)

    return Wish(row.resident, (row.purpose,), fill, _about(scope), content)


def withdrawal(resident: Resident, scope: events_pb2.Scope) -> Wish:
    """Return the wish to stop what was allowed."""
    return Wish(
        resident, (scope.purpose,), lambda change: change.withdraw.scope.CopyFrom(scope), _about(scope), "WITHDRAWN"
    )


def answer(resident: Resident, scope: events_pb2.Scope, *, yes: bool) -> Wish:
    """Return the answer to a question (VRAAG_MIJ_EERST)."""
    return Wish(
        resident,
        (scope.purpose,),
        lambda change: change.answer.CopyFrom(consents_pb2.Answer(scope=scope, yes=yes)),
    )


def pause(resident: Resident, purposes: Iterable[str], until_ms: int) -> Wish:
    """Return the wish to pause everything; ``until_ms`` 0 is until resumed."""
    return Wish(resident, tuple(purposes), lambda change: change.pause.CopyFrom(consents_pb2.Pause(until_ms=until_ms)))


def resumption(resident: Resident, purposes: Iterable[str]) -> Wish:
    """Return the wish to end a pause."""
    return Wish(resident, tuple(purposes), lambda change: change.resume.CopyFrom(consents_pb2.Resume()))


def preference(resident: Resident, purposes: Iterable[str], wanted: events_pb2.Preferences) -> Wish:
    """Return the wish to be approached in a certain way."""
    return Wish(resident, tuple(purposes), lambda change: change.preferences.CopyFrom(wanted))


def make_scope(sender: str, recipient: str, purpose: Purpose) -> events_pb2.Scope:
    """Return for whom a choice counts, at the purpose's version of now."""
    return events_pb2.Scope(sender=sender, recipient=recipient, purpose=purpose.id, purpose_version=purpose.version)


def channel_list(names: Sequence[str], field: str) -> list[events_pb2.Channel.ValueType]:
    """Return channels by their names; raises RegieError FIELD_INVALID naming the known ones."""
    try:
        return [CHANNELS[name.strip().lower()] for name in names if name.strip()]
    except KeyError:
        raise RegieError("FIELD_INVALID", f"expected any of {', '.join(CHANNELS)}", field) from None


def quiet_list(names: Sequence[str]) -> list[events_pb2.QuietTime.ValueType]:
    """Return quiet times by their names (R27); raises RegieError FIELD_INVALID naming the known ones."""
    try:
        return [QUIET_TIMES[name.strip().lower()] for name in names if name.strip()]
    except KeyError:
        raise RegieError("FIELD_INVALID", f"expected any of {', '.join(QUIET_TIMES)}", "quiet") from None


def _about(scope: events_pb2.Scope) -> tuple[str, ...]:
    return (scope.sender, scope.recipient, scope.purpose)

"""Who takes part, with which keys, and for which purposes: the fold of the log's public events.

A Registry is a value. The ledger, the gateway and every client compute it from the same events, so that a key or a
purpose that stands in the log for one stands in it for all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from google.protobuf.message import DecodeError

from consent_ledger.errors import RegieError
from consent_ledger.log.errors import NoteError
from consent_ledger.log.keys import parse_verifier
from consent_ledger.log.note import Verifier
from consent_ledger.purpose import Purpose, kind_name
from consent_ledger.v1 import events_pb2 as pb

Usage = Literal["sign", "hpke"]

_USAGES: dict[int, Usage] = {pb.KEY_USAGE_SIGN_ED25519: "sign", pb.KEY_USAGE_HPKE_MLKEM768_X25519: "hpke"}
SENDER_KINDS = frozenset({"energy_supplier", "tax_office"})
RECIPIENT_KINDS = frozenset({"municipality"})
SHORTEST_RETENTION_DAYS = 60
"""What may still count is never erased by age: 30 days for a cap, twice 14 for a question or window of usual length."""
ROLE_KINDS = frozenset({"gateway", "pseudonyms", "ledger", "viewer"})


@dataclass(frozen=True, slots=True)
class Key:
    """A public key of a participant, signed by the key of its certificate (checked by who relies on it)."""

    key_id: bytes
    usage: Usage
    public: bytes
    signature: bytes
    retired: bool = False


@dataclass(frozen=True, slots=True)
class Participant:
    """An organisation as the log names it; ``kind`` in lower case, ``certificate`` in DER."""

    oin: str
    kind: str
    name: str
    private_party: bool
    certificate: bytes
    population: int = 0
    suspended: bool = False
    keys: tuple[Key, ...] = ()
    channels: tuple[int, ...] = ()  # Channel values it declares support for; empty: every channel (R34)
    support_ms: int = 0  # when it declared so itself; 0: it did not
    support_index: int = 0  # log index of that declaration

    def key(self, usage: Usage) -> Key:
        """Return its newest key of a usage that is not retired; raises RegieError KEY_UNKNOWN."""
        for key in reversed(self.keys):
            if key.usage == usage and not key.retired:
                return key
        raise RegieError("KEY_UNKNOWN", f"participant {self.oin} has no active key for {usage!r}")

    def key_by_id(self, key_id: bytes) -> Key:
        """Return its active key with this id (8 bytes); raises RegieError KEY_UNKNOWN, also when retired."""
        for key in self.keys:
            if key.key_id == key_id and not key.retired:
                return key
        raise RegieError("KEY_UNKNOWN", f"participant {self.oin} has no active key {key_id.hex()}")


@dataclass(frozen=True, slots=True)
class Registry:
    """Participants, keys and purposes after the first ``sequence`` public events of a log; never changed in place."""

    sequence: int = 0
    _participants: dict[str, Participant] = field(default_factory=dict)
    _kinds: dict[str, frozenset[str]] = field(default_factory=dict)  # every kind an OIN was ever registered as
    _purposes: dict[str, Purpose] = field(default_factory=dict)
    _kept_days: dict[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)  # (version, ledger_retention_days)
    log_keys: tuple[str, ...] = ()  # verifier keys (c2sp.org/signed-note) that the log signs with
    retired_log_keys: tuple[str, ...] = ()  # that it signs with no more

    @classmethod
    def fold(cls, events: Iterable[tuple[int, pb.PublicEvent]]) -> Registry:
        """Apply (log index, event) pairs in the order of the log; raises as ``apply``."""
        registry = cls()
        for index, event in events:
            registry = registry.apply(index, event)
        return registry

    def apply(self, index: int, event: pb.PublicEvent) -> Registry:
        """Return the registry after one more public event.

        Raises RegieError PROOF_INVALID when an event is missing in between, and PARTY_UNKNOWN, PURPOSE_UNKNOWN,
        KEY_UNKNOWN or FIELD_INVALID when it refers to nothing or says nothing: such an event cannot be published.
        """
        if event.sequence != self.sequence + 1:
            raise RegieError(
                "PROOF_INVALID",
                f"public event at index {index}: expected sequence {self.sequence + 1}, got {event.sequence}",
            )
        changed = self._changed(index, event)
        return replace(changed, sequence=event.sequence)

    def _changed(self, index: int, event: pb.PublicEvent) -> Registry:  # noqa: C901, PLR0911  (a return per kind of event)
        match event.WhichOneof("body"):
            case "participant_registered":
                return self._registered(event.participant_registered)
            case "participant_key_added":
                return self._key_added(event.participant_key_added)
            case "participant_key_retired":
                return self._key_retired(event.participant_key_retired)
            case "participant_suspended":
                return self._with(replace(self.participant(event.participant_suspended.oin), suspended=True))
            case "purpose_published":
                return self._published(Purpose.from_proto(event.purpose_published.purpose))
            case "purpose_retired":
                return self._purpose_retired(event.purpose_retired)
            case "log_key_added":
                return self._log_key_added(event.log_key_added.verifier_key)
            case "log_key_retired":
                return self._log_key_retired(event.log_key_retired.verifier_key)
            case "participant_support_declared":
                return self._support_declared(index, event.participant_support_declared)
            case "entry_erased":
                return self  # concerns the log, not who takes part
            case _:
                raise RegieError("FIELD_INVALID", "a public event without a body", field="body")

    def _with(self, participant: Participant) -> Registry:
        return replace(self, _participants={**self._participants, participant.oin: participant})

    def _registered(self, event: pb.ParticipantRegistered) -> Registry:
        before = self._participants.get(event.oin)
        kind = kind_name(event.kind)
        participant = Participant(
            oin=event.oin,
            kind=kind,
            name=event.name,
            private_party=event.private_party,
            certificate=event.certificate,
            population=event.population,
            keys=before.keys if before else (),
            channels=tuple(event.channels),
            support_ms=before.support_ms if before else 0,
        )
        kinds = self._kinds.get(event.oin, frozenset()) | {kind}
        return replace(self._with(participant), _kinds={**self._kinds, event.oin: kinds})

    def _key_added(self, event: pb.ParticipantKeyAdded) -> Registry:
        participant = self.participant(event.oin)
        usage = _USAGES.get(event.key.usage)
        if usage is None:
            raise RegieError("FIELD_INVALID", "a key of an unknown usage", field="key.usage")
        if any(key.key_id == event.key.key_id for key in participant.keys):
            raise RegieError("FIELD_INVALID", "this key was added before; none returns", field="key.key_id")
        key = Key(event.key.key_id, usage, event.key.public_key, event.signature)
        return self._with(replace(participant, keys=(*participant.keys, key)))

    def _support_declared(self, index: int, event: pb.ParticipantSupportDeclared) -> Registry:
        """The last word counts: an older one that comes again is refused. Who relies on it checks its signature."""
        said = _declaration(event.declaration)
        participant = self.participant(said.oin)
        participant.key_by_id(event.key_id)
        if said.time_ms <= participant.support_ms or not said.channels:
            raise RegieError("WRITE_STALE", "a later declaration of this participant stands", field="time_ms")
        return self._with(
            replace(participant, channels=tuple(said.channels), support_ms=said.time_ms, support_index=index)
        )

    def _key_retired(self, event: pb.ParticipantKeyRetired) -> Registry:
        participant = self.participant(event.oin)
        retired = participant.key_by_id(event.key_id)
        keys = tuple(replace(key, retired=True) if key is retired else key for key in participant.keys)
        return self._with(replace(participant, keys=keys))

    def _published(self, purpose: Purpose) -> Registry:
        before = self._purposes.get(purpose.id)
        if before and purpose.version <= before.version:
            raise RegieError("FIELD_INVALID", f"purpose {purpose.id} is at version {before.version}", field="version")
        days = purpose.ledger_retention_days
        shortest = max(SHORTEST_RETENTION_DAYS, 2 * purpose.self_first_days, 2 * purpose.ask_days)
        if 0 < days < shortest:
            what = f"the ledger keeps what it decided for this purpose for at least {shortest} days"
            raise RegieError("FIELD_INVALID", what, field="ledger_retention_days")
        kept = (*self._kept_days.get(purpose.id, ()), (purpose.version, days))
        return replace(
            self,
            _purposes={**self._purposes, purpose.id: purpose},
            _kept_days={**self._kept_days, purpose.id: kept},
        )

    def _purpose_retired(self, event: pb.PurposeRetired) -> Registry:
        purpose = self.purpose(event.id)
        if event.version != purpose.version:
            raise RegieError("PURPOSE_UNKNOWN", f"purpose {event.id} is at version {purpose.version}", field="version")
        return replace(self, _purposes={**self._purposes, event.id: replace(purpose, retired=True)})

    def _log_key_added(self, text: str) -> Registry:
        try:
            name = parse_verifier(text).name
        except NoteError as error:
            raise RegieError("FIELD_INVALID", str(error), field="verifier_key") from None
        if any(parse_verifier(key).name != name for key in self.log_keys):
            raise RegieError("FIELD_INVALID", "a log's keys all have its origin as their name", field="verifier_key")
        if text in self.retired_log_keys:
            raise RegieError("FIELD_INVALID", "this key was retired; none returns", field="verifier_key")
        return self if text in self.log_keys else replace(self, log_keys=(*self.log_keys, text))

    def _log_key_retired(self, text: str) -> Registry:
        kept = tuple(key for key in self.log_keys if key != text)
        if kept == self.log_keys:
            raise RegieError("KEY_UNKNOWN", "this is no active key of the log", field="verifier_key")
        if not any(isinstance(parse_verifier(key), Verifier) for key in kept):
            raise RegieError(
                "FIELD_INVALID", "a log keeps an Ed25519 key: add the next one first", field="verifier_key"
            )
        return replace(self, log_keys=kept, retired_log_keys=(*self.retired_log_keys, text))

    @property
    def participants(self) -> tuple[Participant, ...]:
        """All participants, suspended ones too, by OIN."""
        return tuple(self._participants[oin] for oin in sorted(self._participants))

    @property
    def purposes(self) -> tuple[Purpose, ...]:
        """The newest version of every purpose, retired ones too, in the order of first publication."""
        return tuple(self._purposes.values())

    def participant(self, oin: str) -> Participant:
        """Return the participant with this OIN, suspended or not; raises RegieError PARTY_UNKNOWN."""
        try:
            return self._participants[oin]
        except KeyError:
            raise RegieError("PARTY_UNKNOWN", f"no participant has OIN {oin}") from None

    def find_participant(self, oin: str) -> Participant | None:
        """Return the participant with this OIN, or None."""
        return self._participants.get(oin)

    def operator(self, kind: str) -> Participant:
        """Return the only active participant of an operator's kind; raises RegieError PARTY_UNKNOWN."""
        found = [p for p in self._participants.values() if p.kind == kind and not p.suspended]
        if len(found) != 1:
            raise RegieError("PARTY_UNKNOWN", f"expected one active participant of kind {kind}, got {len(found)}")
        return found[0]

    def purpose(self, identity: str) -> Purpose:
        """Return the newest version of a purpose, retired or not; raises RegieError PURPOSE_UNKNOWN."""
        try:
            return self._purposes[identity]
        except KeyError:
            raise RegieError("PURPOSE_UNKNOWN", f"no purpose is called {identity}") from None

    def find_purpose(self, identity: str) -> Purpose | None:
        """Return the newest version of a purpose, or None."""
        return self._purposes.get(identity)

    def ledger_days(self, identity: str, version: int = 0) -> int:
        """Return how many days the ledger keeps entries of a purpose at this version (0: of all its versions).

        A later version shortens what was promised before and never lengthens it. 0: no version from that one on says.
        """
        said = [days for at, days in self._kept_days.get(identity, ()) if at >= version and days]
        return min(said, default=0)

    def kinds(self, oin: str) -> frozenset[str]:
        """Return every kind this OIN was ever registered as."""
        return self._kinds.get(oin, frozenset())


def _declaration(data: bytes) -> pb.SupportDeclaration:
    try:
        return pb.SupportDeclaration.FromString(data)
    except DecodeError:
        raise RegieError("FIELD_INVALID", "expected a SupportDeclaration, got other bytes", "declaration") from None


def check_separation(registry: Registry) -> None:
    """Raise RegieError OPERATORS_NOT_SEPARATE when one organisation holds roles that must be apart (separation.py)."""
    from consent_ledger import separation  # noqa: PLC0415  (it reads Registry)

    separation.check_separation(registry)

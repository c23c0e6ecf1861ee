"""A small ledger for tests: its participants, and builders of what it is asked (its crypto: ledger_crypto.py)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from consent_ledger.errors import RegieError
from consent_ledger.hashing import header_hash, sha256
from consent_ledger.log.note import Signer
from consent_ledger.purposes import CATALOGUE
from consent_ledger.registry import Participant
from consent_ledger.sequencer import Limits, Sequencer, create_ledger, open_ledger
from consent_ledger.state import EMPTY, SubjectState
from consent_ledger.storage.rows import TaskRow
from consent_ledger.v1 import batch_pb2, consents_pb2, decisions_pb2
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.writing.decision import DecideWork
from consent_ledger.writing.record import PreparedChange, RecordWork
from consent_ledger.writing.release import ReleaseWork
from consent_ledger.writing.tasks import TaskWork

NOW = 1_767_225_600_000  # 1 January 2026
SIGNER = Signer("ledger.example/log", bytes(range(32)))
GATEWAY, PSEUDONYMS, LEDGER, VIEWER = (f"0000009900000000000{n}" for n in range(1, 5))
SUPPLIER, OTHER_SUPPLIER, TAX_OFFICE = (f"0000009900000000001{n}" for n in range(1, 4))
CITY, OTHER_CITY = (f"0000009900000000002{n}" for n in range(1, 3))
ARREARS, INCOME = "vroegsignalering-energie", "regelingen-bij-inkomensdaling"
ITEM = {ARREARS: "betalingsachterstand", INCOME: "inkomen_gedaald"}
SUITE = "regie-ristretto255-sha512-mlkem768x25519/1"

KINDS = {
    GATEWAY: pb.PARTICIPANT_KIND_GATEWAY,
    PSEUDONYMS: pb.PARTICIPANT_KIND_PSEUDONYMS,
    LEDGER: pb.PARTICIPANT_KIND_LEDGER,
    VIEWER: pb.PARTICIPANT_KIND_VIEWER,
    SUPPLIER: pb.PARTICIPANT_KIND_ENERGY_SUPPLIER,
    OTHER_SUPPLIER: pb.PARTICIPANT_KIND_ENERGY_SUPPLIER,
    TAX_OFFICE: pb.PARTICIPANT_KIND_TAX_OFFICE,
    CITY: pb.PARTICIPANT_KIND_MUNICIPALITY,
    OTHER_CITY: pb.PARTICIPANT_KIND_MUNICIPALITY,
}


def key_id(oin: str, usage: str) -> bytes:
    return sha256(b"key", oin.encode(), usage.encode())[:8]


def public_key(oin: str, usage: str) -> bytes:
    return sha256(b"public", oin.encode(), usage.encode())


def first_events() -> list[pb.PublicEvent]:
    events = [pb.PublicEvent(log_key_added=pb.LogKeyAdded(verifier_key=SIGNER.verifier.format()))]
    for oin, kind in KINDS.items():
        who = pb.ParticipantRegistered(oin=oin, kind=kind, name=f"Organisatie {oin[-2:]}", certificate=oin.encode())
        events.append(pb.PublicEvent(participant_registered=who))
        for usage, number in (("sign", pb.KEY_USAGE_SIGN_ED25519), ("hpke", pb.KEY_USAGE_HPKE_MLKEM768_X25519)):
            key = pb.ParticipantKey(key_id=key_id(oin, usage), usage=number, public_key=public_key(oin, usage))
            events.append(pb.PublicEvent(participant_key_added=pb.ParticipantKeyAdded(oin=oin, key=key)))
    events += [pb.PublicEvent(purpose_published=pb.PurposePublished(purpose=p.to_proto())) for p in CATALOGUE]
    return events


def reason_of(call: Callable[[], object]) -> str:
    """The reason for which a call is refused."""
    with pytest.raises(RegieError) as caught:
        call()
    return caught.value.reason


class Time:
    """A clock that moves when told."""

    def __init__(self, now_ms: int = NOW) -> None:
        self.now_ms = now_ms
        self.writes = 0  # changes made so far: their ids, and part of their times

    def __call__(self) -> int:
        return self.now_ms

    def forward(self, *, days: float = 0, ms: int = 0) -> None:
        self.now_ms += int(days * 86_400_000) + ms


class Counter:
    """Randomness that can be repeated."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, size: int) -> bytes:
        self.count += 1
        return sha256(b"rng", self.count.to_bytes(8, "big")).ljust(size, b"\x07")[:size]


def subject(person: str, purpose: str = ARREARS) -> bytes:
    """The stored index of somebody, as the fake crypto computes it."""
    return sha256(b"subject", purpose.encode(), person.encode())


def element(person: str) -> bytes:
    """The row element of somebody (32 bytes)."""
    return person.encode().ljust(32, b"\0")


def opening(hh: bytes, position: int) -> bytes:
    return sha256(b"opening", hh, position.to_bytes(2, "big"))


def sign(oin: str, label: bytes, *parts: bytes) -> bytes:
    return sha256(public_key(oin, "sign"), label, *parts) * 2


def header(
    batch: int = 1,
    *,
    sender: str = SUPPLIER,
    recipient: str = CITY,
    purpose: str = ARREARS,
    items: Sequence[str] | None = None,
    now_ms: int = NOW,
    hours: float = 72,
    count: int = 1,
    **changes: object,
) -> batch_pb2.BatchHeader:
    fields: dict[str, object] = {
        "version": 1,
        "suite": SUITE,
        "batch_id": batch.to_bytes(16, "big"),
        "sender": sender,
        "recipient": recipient,
        "ledger": LEDGER,
        "gateway": GATEWAY,
        "pseudonyms": PSEUDONYMS,
        "viewer": VIEWER,
        "sender_key_id": key_id(sender, "sign"),
        "recipient_key_id": key_id(recipient, "hpke"),
        "ledger_key_id": key_id(LEDGER, "hpke"),
        "pseudonyms_key_id": key_id(PSEUDONYMS, "hpke"),
        "viewer_key_id": key_id(VIEWER, "hpke"),
        "purpose": purpose,
        "purpose_version": 1,
        "recipient_epoch": 1,
        "ledger_epoch": 1,
        "items": list(items or [ITEM.get(purpose, "betalingsachterstand")]),
        "created_ms": now_ms,
        "expires_ms": now_ms + int(hours * 3_600_000),
        "basis": batch_pb2.BASIS_OBSERVED,
        "count": count,
    }
    return batch_pb2.BatchHeader(**{**fields, **changes})  # type: ignore[arg-type]


def decide_work(
    people: Sequence[str], head: batch_pb2.BatchHeader, *, request: bytes = b"", severities: Sequence[int] = ()
) -> DecideWork:
    """What the servicer gives the sequencer; positions are 0, 2, 4, ..."""
    data = head.SerializeToString(deterministic=True)
    hh = header_hash(data)
    return DecideWork(
        header=head,
        header_bytes=data,
        header_hash=hh,
        request_hash=sha256(b"request", data, request),
        root=sha256(b"root", hh),
        positions=tuple(range(0, 2 * len(people), 2)),
        subjects=tuple(subject(person, head.purpose) for person in people),
        opening=lambda position: opening(hh, position),
        sign=lambda message: sign(LEDGER, b"regie/s/decision/v1", sha256(message)),
        trace_id=bytes(range(16)),
        span_id=bytes(range(8)),
        severities=tuple(severities),
    )


def pull(hh: bytes, nonce: int = 1, *, now_ms: int = NOW, recipient: str = CITY) -> decisions_pb2.Pull:
    return decisions_pb2.Pull(
        header_hash=hh,
        nonce=nonce.to_bytes(32, "big"),
        time_ms=now_ms,
        recipient=recipient,
        recipient_key_id=key_id(recipient, "sign"),
    )


def release_work(wanted: decisions_pb2.Pull) -> ReleaseWork:
    return ReleaseWork(
        pull=wanted,
        request_hash=sha256(wanted.SerializeToString(deterministic=True)),
        seal=lambda content: b"rel" + wanted.header_hash + wanted.nonce + content,
        sign=lambda message: sign(LEDGER, b"regie/s/release/v1", sha256(message)),
    )


def content_of(response: decisions_pb2.ReleaseResponse) -> decisions_pb2.ReleaseContent:
    return decisions_pb2.ReleaseContent.FromString(response.sealed[3 + 64 :])


def scope(sender: str = SUPPLIER, recipient: str = CITY, purpose: str = ARREARS) -> pb.Scope:
    return pb.Scope(sender=sender, recipient=recipient, purpose=purpose)


def change(number: int, person: str, created_ms: int, *, purpose: str = ARREARS, **what: object) -> consents_pb2.Change:
    rows = [consents_pb2.Rows(purpose=purpose, elements=[element(person)])]
    capture = pb.Capture(via=pb.CAPTURED_VIA_WEB, language="nl")
    return consents_pb2.Change(
        change_id=number.to_bytes(16, "big"),
        rows=rows,
        created_ms=created_ms,
        capture=capture,
        **what,  # type: ignore[arg-type]
    )


def grant(mode: int = pb.MODE_JA, where: pb.Scope | None = None, **fields: object) -> consents_pb2.Grant:
    where = where or scope()
    values: dict[str, object] = {"items": [ITEM[where.purpose]], "months": 12, "mode": mode, "scope": where} | fields
    return consents_pb2.Grant(**values)  # type: ignore[arg-type]


def ask(organisation: str = CITY, about: int = 0) -> consents_pb2.Ask:
    return consents_pb2.Ask(
        organisation=organisation,
        about_index=about,
        sealed=b"question",
        organisation_key_id=key_id(organisation, "hpke"),
        sealed_viewer=b"copy",
        viewer_key_id=key_id(VIEWER, "hpke"),
    )


def record_work(*changes: consents_pb2.Change) -> RecordWork:
    prepared = [
        PreparedChange(each, tuple(subject(e.rstrip(b"\0").decode(), r.purpose) for r in each.rows for e in r.elements))
        for each in changes
    ]
    return RecordWork(prepared, b"h" * 32, lambda receipt: sign(LEDGER, b"regie/s/record/v1", sha256(receipt)))


def results(response: consents_pb2.RecordResponse) -> list[consents_pb2.ChangeResult]:
    return list(consents_pb2.RecordReceipt.FromString(response.receipt).results)


def listed(response: decisions_pb2.DecideResponse) -> decisions_pb2.DecisionList:
    return decisions_pb2.DecisionList.FromString(response.decision_list)


class Ledger:
    """An open ledger with a clock that is moved by hand, and short ways to ask it."""

    def __init__(self, path: Path | str, clock: Time | None = None, limits: Limits | None = None) -> None:
        """Open the ledger at a path, which is made when absent, or the one in a database (tests/support/backends.py)."""
        self.path = path
        self.clock = clock or Time()
        if isinstance(path, Path) and not path.exists():
            create_ledger(path, SIGNER, first_events(), self.clock)
        self.sequencer: Sequencer = open_ledger(path, SIGNER, self.clock, limits=limits)

    def close(self) -> None:
        self.sequencer.close()

    def record(
        self, person: str, *, purpose: str = ARREARS, capture: pb.Capture | None = None, **what: object
    ) -> consents_pb2.ChangeResult:
        self.clock.writes += 1
        made = change(self.clock.writes, person, self.clock() + self.clock.writes, purpose=purpose, **what)
        if capture is not None:
            made.capture.CopyFrom(capture)
        return results(self.sequencer.submit(record_work(made)).result(10))[0]

    def decide(
        self, people: Sequence[str], batch: int = 1, *, severities: Sequence[int] = (), **fields: object
    ) -> tuple[bytes, decisions_pb2.DecisionList]:
        head = header(batch, count=len(people), now_ms=self.clock(), **fields)  # type: ignore[arg-type]
        work = decide_work(people, head, severities=severities)
        return work.header_hash, listed(self.sequencer.submit(work).result(10))

    def release(self, hh: bytes, nonce: int = 1) -> decisions_pb2.ReleaseContent:
        wanted = pull(hh, nonce, now_ms=self.clock())
        return content_of(self.sequencer.submit(release_work(wanted)).result(10))

    def ask(self, person: str, organisation: str = CITY, about: int = 0, **more: object) -> consents_pb2.ChangeResult:
        """A question, whose text is sealed for this crypto: not at all."""
        return self.record(person, ask=ask(organisation, about), **more)  # type: ignore[arg-type]

    def tasks(self, organisation: str = CITY, *, done: bool = False) -> list[TaskRow]:
        """What an organisation is asked to do."""
        with self.sequencer.reader.snapshot() as snapshot:
            return snapshot.tasks(organisation, 0, 1_000, done=done)

    def report_task(self, index: int, organisation: str = CITY, **what: object) -> int:
        """What an organisation says it did; an answer unless ``what`` says something else."""
        said = what or {"answer": decisions_pb2.SealedAnswer(sealed=b"answer", viewer_key_id=key_id(VIEWER, "hpke"))}
        report = decisions_pb2.TaskReport(log_index=index, **said)  # type: ignore[arg-type]
        name = sha256(b"task", organisation.encode(), report.SerializeToString(deterministic=True))
        return self.sequencer.submit(TaskWork(organisation, report, name)).result(10).log_index

    def state(self, person: str, purpose: str = ARREARS) -> SubjectState:
        """What the ledger knows of somebody."""
        with self.sequencer.reader.snapshot() as snapshot:
            found = snapshot.subject(subject(person, purpose))
        return found.state if found else EMPTY

    def events(self) -> list[tuple[int, pb.Event, pb.PrivatePart]]:
        """Every committed event with its private part, in log order."""
        with self.sequencer.reader.snapshot() as snapshot:
            rows = snapshot.payloads(range(snapshot.head().size))
            found = [rows[index] for index in sorted(rows)]
        return [(r.idx, pb.Event.FromString(r.event), pb.PrivatePart.FromString(r.private)) for r in found]

    def reasons(self) -> list[str]:
        """The reason of every decision, in log order."""
        return [
            pb.Reason.Name(private.reason).removeprefix("REASON_")
            for _, event, private in self.events()
            if event.WhichOneof("body") == "exchange_decided"
        ]


class held:  # noqa: N801  (reads as a word)
    """Keep the writer busy, so that what is submitted inside goes into one group."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger, self.go, self.in_work = ledger, threading.Event(), threading.Event()

    def __enter__(self):
        self.ledger.sequencer.submit(self)
        assert self.in_work.wait(10)

    def __exit__(self, *_):
        self.go.set()

    weight = 1

    def apply(self, _tx):
        self.in_work.set()
        assert self.go.wait(10)
        return lambda _sealed: None


def participant(oin: str, kind: str, **fields: object) -> Participant:
    return Participant(oin, kind, f"name of {oin}", False, b"", **fields)  # type: ignore[arg-type]


Clock = Callable[[], int]

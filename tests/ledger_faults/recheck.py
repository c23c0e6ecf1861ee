"""Everything that must hold of a ledger after whatever happened, derived again from its file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from consent_ledger.decide import ExchangeRequest, decide
from consent_ledger.hashing import sha256
from consent_ledger.log.checkpoint import Checkpoint, open_checkpoint
from consent_ledger.log.errors import VerificationError
from consent_ledger.log.tiles import root
from consent_ledger.registry import Registry
from consent_ledger.state import EMPTY, SubjectState, fold
from consent_ledger.storage.reader import LedgerReader, Snapshot
from consent_ledger.storage.rows import HeadRow
from consent_ledger.v1 import consents_pb2, decisions_pb2
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.verify.fsck import FsckReport, fsck
from consent_ledger.verify.leaves import read_entry
from tests.support.ledger import SIGNER, content_of

VKEY = SIGNER.verifier.format()
JUDGED = ("exchange_decided", "exchange_released", "exchange_withheld")


class Entry(NamedTuple):
    """What one committed leaf says, without salts and times: equal plans give equal entries."""

    index: int
    kind: str
    position: int | None
    chain: tuple[tuple[bytes, int], ...]
    reason: int
    decided_by: tuple[int, ...]


class Found(NamedTuple):
    """A ledger that checks: its head, and what its committed leaves say."""

    head: HeadRow
    entries: tuple[Entry, ...]


class _Payload(NamedTuple):
    index: int
    kind: str
    event: pb.Event
    private: pb.PrivatePart

    @property
    def body(self) -> object:
        return getattr(self.event, self.kind)


def recheck(path: Path) -> Found:
    """Check every table with the independent verifier, judge every decision again, and compare with our own rebuild.

    Fails (AssertionError, VerificationError) unless the file is one whole ledger: also while its writer works.
    """
    report = check_tables(path)
    reader = LedgerReader(path)
    try:
        with reader.snapshot() as snapshot:
            head = snapshot.head()
            assert head.size >= report.size
            registry = Registry.fold([(index, _public(entry)) for index, entry in snapshot.public_entries()])
            payloads = [_opened(row) for _, row in sorted(snapshot.payloads(range(head.size)).items())]
            assert len(payloads) + registry.sequence == head.size
            _check_judgements(registry, payloads)
            _check_stops(payloads)
            _check_subjects(snapshot, payloads)
            _check_batches(snapshot, payloads)
            times = [payload.event.time_ms for payload in payloads]
            assert times == sorted(times), "I6: time went back within the log"
            assert not times or times[-1] <= head.time_ms
    finally:
        reader.close()
    return Found(head, tuple(_entry(payload) for payload in payloads))


def check_tables(path: Path) -> FsckReport:
    """Check every table with the independent verifier; raises VerificationError."""
    return fsck(path, VKEY, check_signature=_check_signature)


def _check_signature(public: bytes, message: bytes, signature: bytes) -> None:
    """Check what the fake crypto signs."""
    if signature != sha256(public, message) * 2:
        raise VerificationError("a signature that this key did not make")


def entries(path: Path) -> tuple[Entry, ...]:
    """Return what the committed leaves of a ledger say that need not check otherwise."""
    reader = LedgerReader(path)
    try:
        with reader.snapshot() as snapshot:
            rows = snapshot.payloads(range(snapshot.head().size))
    finally:
        reader.close()
    return tuple(_entry(_opened(row)) for _, row in sorted(rows.items()))


def _public(entry: bytes) -> pb.PublicEvent:
    content = read_entry(entry)
    assert isinstance(content, pb.PublicEvent)
    return content


def _opened(row) -> _Payload:
    event = pb.Event.FromString(row.event)
    return _Payload(row.idx, event.WhichOneof("body"), event, pb.PrivatePart.FromString(row.private))


def _entry(payload: _Payload) -> Entry:
    links = tuple((link.subject, link.subject_seq) for link in payload.private.links)
    position = getattr(payload.body, "position", None)
    return Entry(
        payload.index, payload.kind, position, links, payload.private.reason, tuple(payload.private.decided_by)
    )


def _check_judgements(registry: Registry, payloads: Iterable[_Payload]) -> None:
    """I3: every decision, release and withholding comes out the same when it is judged again."""
    states: dict[bytes, SubjectState] = defaultdict(lambda: EMPTY)
    permitted: dict[int, pb.ExchangeDecided] = {}
    for index, kind, event, private in payloads:
        if kind in JUDGED:
            body = getattr(event, kind)
            recheck_of = None if kind == "exchange_decided" else body.decided_index
            items = tuple((body if recheck_of is None else permitted[recheck_of]).items)
            asked = ExchangeRequest(
                body.sender, body.recipient, body.purpose, body.purpose_version, items, recheck=recheck_of
            )
            decision = decide(registry, states[private.links[0].subject], asked, event.time_ms)
            assert (decision.reason, decision.decided_by) == (private.reason, tuple(private.decided_by))
            if kind == "exchange_decided" and body.permitted:
                permitted[index] = body
        for link in private.links:
            states[link.subject] = fold(states[link.subject], index, event, private)


def _check_subjects(snapshot: Snapshot, payloads: Sequence[_Payload]) -> None:
    states: dict[bytes, SubjectState] = defaultdict(lambda: EMPTY)
    indices: dict[bytes, list[int]] = defaultdict(list)
    for index, _, event, private in payloads:
        for link in private.links:
            states[link.subject] = fold(states[link.subject], index, event, private)
            indices[link.subject].append(index)
    for subject, state in states.items():
        row = snapshot.subject(subject)
        assert row is not None
        assert (row.seq, row.state) == (len(indices[subject]), state)
        assert list(snapshot.subject_indices(subject)) == indices[subject][::-1]


class _Became(NamedTuple):
    decided: int
    released: int | None = None
    withheld: int | None = None
    acknowledged: int | None = None


def _check_batches(snapshot: Snapshot, payloads: Sequence[_Payload]) -> None:
    """Every decided batch has its answer, every permit what became of it, and nothing happened twice."""
    decided: dict[tuple[str, bytes], dict[int, _Became | None]] = defaultdict(dict)
    sender_of: dict[int, str] = {}
    for index, kind, event, _ in payloads:
        body = getattr(event, kind)
        if kind == "exchange_decided":
            positions = decided[body.sender, body.batch_id]
            assert body.position not in positions, "decided twice"
            positions[body.position] = _Became(index) if body.permitted else None
            sender_of[index] = body.sender
        elif kind in ("exchange_released", "exchange_withheld"):
            _becomes(decided[body.sender, body.batch_id], body.position, **{kind.removeprefix("exchange_"): index})
        elif kind == "exchange_acknowledged":
            sender = next(s for (s, batch), at in decided.items() if batch == body.batch_id and at.get(body.position))
            _becomes(decided[sender, body.batch_id], body.position, acknowledged=index)
    for (sender, batch_id), positions in decided.items():
        _check_batch(snapshot, sender, batch_id, positions)


def _becomes(positions: dict[int, _Became | None], position: int, **what: int) -> None:
    before = positions[position]
    assert before is not None, "never permitted (I1)"
    (name,) = what
    assert getattr(before, name) is None, f"{name} twice"
    positions[position] = before._replace(**what)


def _check_batch(snapshot: Snapshot, sender: str, batch_id: bytes, positions: dict[int, _Became | None]) -> None:
    row = snapshot.batch_by_id(sender, batch_id)
    assert row is not None
    if row.response or row.expires_ms > snapshot.head().time_ms:  # an answer past its time is deleted
        response = decisions_pb2.DecideResponse.FromString(row.response)
        listed = decisions_pb2.DecisionList.FromString(response.decision_list)
        check_checkpoint(snapshot, listed.checkpoint)
        assert len(listed.outcomes) == len(positions) == len(listed.log_indices)
    permits = snapshot.permits(row.header_hash)
    expected = {position: became for position, became in positions.items() if became}
    assert {position: _Became(p.decided_idx, *p[5:8]) for position, p in permits.items()} == expected
    assert all(permit.opening is None for permit in permits.values() if permit.withheld_idx is not None)


def check_checkpoint(snapshot: Snapshot, note: str) -> Checkpoint:
    """I6: a checkpoint that somebody was shown is of this very log, and not of more than it holds."""
    shown = open_checkpoint(note, [SIGNER.verifier])
    size = snapshot.head().size
    if shown.size > size:
        raise VerificationError(f"I6: size {shown.size} was signed and shown, the log has {size}")
    if root(shown.size, snapshot.tile) != shown.root:
        raise VerificationError(f"I6: another root was signed and shown for size {shown.size}")
    return shown


def checkpoint_in(name: str, answer: bytes) -> str | None:
    """Return the checkpoint in an answer of the plan, if it has one; the step's name says which kind it is."""
    step = name.split("/", maxsplit=1)[0]
    if answer.startswith(b"!") or step == "acknowledgement":
        return None
    if step in ("release", "withholding"):
        return content_of(decisions_pb2.ReleaseResponse.FromString(answer)).checkpoint
    if step in ("decision", "refusal") or name == "group/0":
        response = decisions_pb2.DecideResponse.FromString(answer)
        return decisions_pb2.DecisionList.FromString(response.decision_list).checkpoint
    return consents_pb2.RecordReceipt.FromString(consents_pb2.RecordResponse.FromString(answer).receipt).checkpoint


def _check_stops(payloads: Iterable[_Payload]) -> None:
    """I2: no permit and no release after a stop in log order, unless the resident lifted it in between."""
    stopped: set[tuple[bytes, str]] = set()
    for _, kind, event, private in payloads:
        body, key = getattr(event, kind), private.links[0].subject
        if kind in ("consent_withdrawn", "consent_refused"):
            stopped.add((key, body.scope.sender))
        elif kind == "consent_granted":
            stopped.discard((key, body.scope.sender))
        elif kind == "exchange_released" or (kind == "exchange_decided" and body.permitted):
            assert (key, body.sender) not in stopped, "I2: shared after it was stopped"

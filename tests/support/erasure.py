"""Erasing in a test's ledger, and looking at its raw files."""

from dataclasses import dataclass

from consent_ledger.events import erased_indices, parse_leaf
from consent_ledger.hashing import sha256
from consent_ledger.v1 import consents_pb2 as consents
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.writing.announce import Announcing, announce
from consent_ledger.writing.erase import EraseWork
from tests.support.ledger import ARREARS, LEDGER, Ledger, element, sign, subject

AT_ONCE = Announcing(people=1)


@dataclass(frozen=True)
class AnnounceWork:
    """Announces what is due, and nothing else; the answer is how many entries."""

    when: Announcing
    weight: int = 512

    def apply(self, tx):
        count = announce(tx, self.when)
        return lambda _sealed: count


def erase_request(person: str, created_ms: int, purposes=(ARREARS,), number: int = 1) -> consents.EraseRequest:
    return consents.EraseRequest(
        change_id=b"erase".ljust(12, b"-") + number.to_bytes(4, "big"),
        rows=[consents.Rows(purpose=purpose, elements=[element(person)]) for purpose in purposes],
        created_ms=created_ms,
        capture=pb.Capture(via=pb.CAPTURED_VIA_WEB, language="nl"),
    )


def erase_work(request: consents.EraseRequest, policy: Announcing = AT_ONCE) -> EraseWork:
    subjects = [subject(e.rstrip(b"\0").decode(), r.purpose) for r in request.rows for e in r.elements]
    return EraseWork(
        request,
        tuple(subjects),
        b"h" * 32,
        lambda receipt: sign(LEDGER, b"regie/s/erase/v1", sha256(receipt)),
        policy,
    )


def erased(response: consents.EraseResponse) -> consents.Erased:
    return consents.EraseReceipt.FromString(response.receipt).erased


def erase(ledger: Ledger, person: str, *, purposes=(ARREARS,), created_ms: int = 0, policy=AT_ONCE) -> consents.Erased:
    ledger.clock.writes += 1
    when = created_ms or ledger.clock() + ledger.clock.writes
    request = erase_request(person, when, purposes, ledger.clock.writes)
    return erased(ledger.sequencer.submit(erase_work(request, policy)).result(20))


def announced(ledger: Ledger) -> list[tuple[str, list[int]]]:
    """Every announcement of the log: its ground, and which entries it names."""
    with ledger.sequencer.reader.snapshot() as snapshot:
        leaves = [parse_leaf(entry).public for _, entry in snapshot.public_entries()]
    found = [leaf.entry_erased for leaf in leaves if leaf.HasField("entry_erased")]
    return [(event.ground, list(erased_indices(event))) for event in found]


def files(ledger: Ledger) -> bytes:
    """Every byte of the ledger's files, -wal and -shm among them."""
    return b"|".join(path.read_bytes() for path in sorted(ledger.path.parent.glob("ledger.db*")))

"""The one write path: order, durability, answers given again, and what happens when anything fails at any point."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from consent_ledger.errors import RegieError
from consent_ledger.log.checkpoint import open_checkpoint
from consent_ledger.sequencer import Limits, create_ledger, open_ledger
from consent_ledger.storage.store import LedgerStore
from consent_ledger.v1 import consents_pb2 as consents
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.verify import verify_database
from consent_ledger.writing.publish import PublishWork
from tests.support.ledger import (
    CITY,
    NOW,
    SIGNER,
    Ledger,
    Time,
    change,
    decide_work,
    first_events,
    grant,
    header,
    listed,
    opening,
    pull,
    record_work,
    release_work,
    results,
    scope,
)

VKEY = SIGNER.verifier.format()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path):
    found = Ledger(path)
    yield found
    found.close()


def reason_of(call) -> str:
    with pytest.raises(RegieError) as caught:
        call()
    return caught.value.reason


# -- answers --------------------------------------------------------------------------------------------------------


def test_decisions_are_in_the_log_under_the_checkpoint_they_come_with(ledger):
    ledger.record("anna", grant=grant())
    _, answer = ledger.decide(["anna", "bert"])
    checkpoint = open_checkpoint(answer.checkpoint, [SIGNER.verifier])
    assert list(answer.outcomes) == [pb.OUTCOME_ACCEPTED, pb.OUTCOME_GEEN_TOESTEMMING]
    assert list(answer.log_indices) == [checkpoint.size - 2, checkpoint.size - 1]
    assert ledger.reasons() == ["ALLOWED", "NO_CONSENT"]
    report = verify_database(ledger.path, VKEY)
    assert (report.log.size, report.log.root) == (checkpoint.size, checkpoint.root)


def test_same_bytes_same_answer_other_bytes_refused(ledger):
    work = decide_work(["anna"], header())
    first = ledger.sequencer.submit(work).result(10)
    size = ledger.sequencer.head.size
    assert ledger.sequencer.submit(work).result(10) == first
    other = decide_work(["bert"], header(), request=b"other")
    assert reason_of(lambda: ledger.sequencer.submit(other).result(10)) == "BATCH_ID_REUSED"
    assert ledger.sequencer.head.size == size


def test_the_batch_id_is_the_senders_own(ledger):
    """Rule 1: two senders may use one id; keyed on (sender, batch id)."""
    ledger.decide(["anna"], 1)
    _, answer = ledger.decide(["anna"], 1, sender="00000099000000000012")
    assert len(answer.log_indices) == 1


def test_same_batch_twice_in_one_group_is_decided_once(ledger):
    with held(ledger):
        futures = [ledger.sequencer.submit(decide_work(["anna"], header())) for _ in range(3)]
        other = ledger.sequencer.submit(decide_work(["anna"], header(), request=b"x"))
    assert len({future.result(10).SerializeToString() for future in futures}) == 1
    assert reason_of(lambda: other.result(10)) == "BATCH_ID_REUSED"
    assert ledger.reasons() == ["NO_CONSENT"]


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


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"now_ms": NOW + 120_001}, "header.created_ms"),
        ({"now_ms": NOW - 72 * 3_600_000}, "header.expires_ms"),
        ({"hours": 72.001}, "header.expires_ms"),
        ({"hours": 0}, "header.expires_ms"),
    ],
)
def test_batches_must_be_fresh(ledger, fields, field):
    work = decide_work(["anna"], header(**fields))
    with pytest.raises(RegieError) as caught:
        ledger.sequencer.submit(work).result(10)
    assert (caught.value.reason, caught.value.field) == ("NOT_FRESH", field)


def test_a_refused_request_leaves_nothing_and_its_group_goes_on(ledger):
    """PublishWork fails after it appended its first event: nothing of that stays."""
    good = pb.PublicEvent(purpose_retired=pb.PurposeRetired(id="incasso", version=1))
    bad = pb.PublicEvent(purpose_retired=pb.PurposeRetired(id="nergens", version=1))
    before = ledger.sequencer.head
    with held(ledger):
        first = ledger.sequencer.submit(decide_work(["anna"], header(1)))
        broken = ledger.sequencer.submit(PublishWork([good, bad]))
        second = ledger.sequencer.submit(decide_work(["bert"], header(2)))
    assert reason_of(lambda: broken.result(10)) == "PURPOSE_UNKNOWN"
    assert list(listed(first.result(10)).log_indices) == [before.size]
    assert list(listed(second.result(10)).log_indices) == [before.size + 1]
    assert not ledger.sequencer.registry.purpose("incasso").retired
    verify_database(ledger.path, VKEY)


def test_a_withdrawal_in_the_same_group_precedes_what_it_stops(ledger):
    """I2 within one commit: order in the queue is order in the log."""
    ledger.record("anna", grant=grant())
    stop = change(99, "anna", NOW + 9, withdraw=consents.Withdraw(scope=scope()))
    with held(ledger):
        before = ledger.sequencer.submit(decide_work(["anna"], header(1)))
        done = ledger.sequencer.submit(record_work(stop))
        after = ledger.sequencer.submit(decide_work(["anna"], header(2)))
    assert list(listed(before.result(10)).outcomes) == [pb.OUTCOME_ACCEPTED]
    assert list(listed(after.result(10)).outcomes) == [pb.OUTCOME_GEEN_TOESTEMMING]
    assert results(done.result(10))[0].log_index < listed(after.result(10)).log_indices[0]
    assert ledger.reasons() == ["ALLOWED", "WITHDRAWN"]


def test_32_threads_get_true_answers_and_a_contiguous_log(ledger):
    def ask(number: int):
        work = decide_work([f"p{number}-{i}" for i in range(number % 5 + 1)], header(number + 1))
        return listed(ledger.sequencer.submit(work).result(30))

    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(ask, range(200)))
    first = len(first_events())
    indices = sorted(index for answer in answers for index in answer.log_indices)
    assert indices == list(range(first, first + len(indices)))
    stored = {index: event.exchange_decided for index, event, _ in ledger.events()}
    for number, answer in enumerate(answers):
        for place, index in enumerate(answer.log_indices):
            assert stored[index].batch_id == (number + 1).to_bytes(16, "big")
            assert stored[index].position == 2 * place
        checkpoint = open_checkpoint(answer.checkpoint, [SIGNER.verifier])
        assert checkpoint.size > max(answer.log_indices)
    assert verify_database(ledger.path, VKEY).log.size == first + len(indices)


def test_too_many_waiting_is_overloaded_and_passes(path):
    ledger = Ledger(path, limits=Limits(waiting=2))
    with held(ledger):
        waiting = [ledger.sequencer.submit(decide_work(["anna"], header(n))) for n in (1, 2)]
        assert reason_of(lambda: ledger.sequencer.submit(decide_work(["anna"], header(3)))) == "OVERLOADED"
    assert [len(listed(each.result(10)).outcomes) for each in waiting] == [1, 1]
    ledger.close()


def test_a_request_given_up_by_its_caller_is_not_run(ledger):
    with held(ledger):
        future = ledger.sequencer.submit(decide_work(["anna"], header()))
        assert future.cancel()
    ledger.decide(["bert"], 2)
    assert len(ledger.reasons()) == 1


def test_closing_answers_what_waits_and_later_calls_are_refused(path):
    ledger = Ledger(path)
    with held(ledger):
        waiting = ledger.sequencer.submit(decide_work(["anna"], header()))
        closer = threading.Thread(target=ledger.close)
        closer.start()
    closer.join(10)
    assert listed(waiting.result(0)).log_indices
    assert reason_of(lambda: ledger.sequencer.submit(decide_work(["anna"], header(2)))) == "LEDGER_UNAVAILABLE"
    ledger.close()


# -- failures -------------------------------------------------------------------------------------------------------

POINTS = ("begin", "subjects", "append", "project", "advance", "commit", "commit, but durable")


class Breaking(LedgerStore):
    """A store that fails once at a chosen point, with the transaction open, closed or durable."""

    point = ""

    @classmethod
    def arm(cls, store: LedgerStore, point: str) -> None:
        store.__class__ = cls
        store.point = point

    def _hit(self, name: str) -> None:
        if self.point.split(",", maxsplit=1)[0] == name:
            self.point = ""
            raise OSError("disk on fire")

    def begin(self):
        self._hit("begin")
        super().begin()

    def subjects(self, ids):
        self._hit("subjects")
        return super().subjects(ids)

    def append(self, writes, completed):
        super().append(writes, completed)
        self._hit("append")

    def project(self, writes):
        super().project(writes)
        self._hit("project")

    def advance(self, old, new):
        super().advance(old, new)
        self._hit("advance")

    def commit(self):
        if "," in self.point:
            super().commit()
        self._hit("commit")
        super().commit()


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("size", [0, 253, 254, 255, 256])  # of the log before a group of three: across a full tile
def test_every_write_point(path, point, size):
    """Afterwards the ledger is wholly before or wholly after the group, and the same bytes get one answer."""
    ledger = Ledger(path)
    ledger.record("anna", grant=grant())
    if size:
        ledger.decide([f"p{n}" for n in range(size - ledger.sequencer.head.size)], 7)
    before = ledger.sequencer.head
    with held(ledger):  # whose own group writes nothing, so that it passes none of the points armed now
        Breaking.arm(ledger.sequencer._store, point)
        work = decide_work(["anna", "bert"], header(1))
        first = ledger.sequencer.submit(work)
        second = ledger.sequencer.submit(record_work(change(9, "chris", NOW + 9, grant=grant())))
    assert {reason_of(lambda f=f: f.result(10)) for f in (first, second)} == {"LEDGER_UNAVAILABLE"}
    assert reason_of(lambda: ledger.sequencer.submit(work)) == "LEDGER_UNAVAILABLE"
    assert isinstance(ledger.sequencer.failure, OSError)
    ledger.close()

    again = Ledger(path, ledger.clock)
    durable = "durable" in point
    assert again.sequencer.head.size == before.size + (3 if durable else 0)
    if not durable:
        assert again.sequencer.head == before
    verify_database(path, VKEY)
    answer = listed(again.sequencer.submit(work).result(10))
    assert list(answer.log_indices) == [before.size, before.size + 1]
    result = results(again.sequencer.submit(record_work(change(9, "chris", NOW + 9, grant=grant()))).result(10))
    assert [r.log_index for r in result] == [before.size + 2]
    assert again.sequencer.head.size == before.size + 3
    verify_database(path, VKEY)
    again.close()


def test_an_unexpected_error_in_a_request_is_fatal_to_the_ledger(path):
    """State unknown means stop: never catch and continue."""
    ledger = Ledger(path)

    class Bug:
        weight = 1

        def apply(self, tx):
            tx.publish(first_events()[0])
            raise ZeroDivisionError

    with held(ledger):
        bug = ledger.sequencer.submit(Bug())
        mate = ledger.sequencer.submit(decide_work(["anna"], header()))
    assert reason_of(lambda: bug.result(10)) == reason_of(lambda: mate.result(10)) == "LEDGER_UNAVAILABLE"
    assert reason_of(lambda: ledger.sequencer.submit(Bug())) == "LEDGER_UNAVAILABLE"
    ledger.close()
    again = Ledger(path)
    assert again.sequencer.head.size == len(first_events())
    again.close()


def test_the_clock_set_back_is_fatal_to_signing(path):
    """I6: never an earlier time, not clamped."""
    ledger = Ledger(path)
    ledger.clock.forward(days=1)
    ledger.decide(["anna"])
    ledger.clock.forward(days=-0.5)
    work = decide_work(["anna"], header(2, now_ms=ledger.clock()))
    assert reason_of(lambda: ledger.sequencer.submit(work).result(10)) == "LEDGER_UNAVAILABLE"
    assert isinstance(ledger.sequencer.failure, RuntimeError)  # by us; the head's trigger would stop it too
    ledger.close()
    assert reason_of(lambda: Ledger(path, ledger.clock)) == "LEDGER_UNAVAILABLE"
    ledger.clock.forward(days=0.5)
    Ledger(path, ledger.clock).close()


def test_a_clock_a_moment_behind_is_waited_for(path):
    class Catching(Time):
        """20 ms behind at first, then right."""

        def __call__(self):
            self.now_ms += 20
            return self.now_ms

    ledger = Ledger(path)
    ledger.decide(["anna"])
    ledger.clock.__class__ = Catching
    ledger.clock.forward(ms=-40)
    _, answer = ledger.decide(["bert"], 2)
    assert answer.log_indices
    ledger.close()


# -- opening --------------------------------------------------------------------------------------------------------


def test_two_writers_are_refused_and_the_first_goes_on(ledger):
    assert reason_of(lambda: open_ledger(ledger.path, SIGNER, ledger.clock)) == "LEDGER_UNAVAILABLE"
    assert ledger.decide(["anna"])[1].log_indices


def test_a_ledger_is_never_created_implicitly_nor_twice(path, tmp_path):
    assert reason_of(lambda: open_ledger(path, SIGNER, Time())) == "LEDGER_UNAVAILABLE"
    assert list(tmp_path.iterdir()) == []
    create_ledger(path, SIGNER, first_events(), Time())
    content = path.read_bytes()
    assert reason_of(lambda: create_ledger(path, SIGNER, first_events(), Time())) == "LEDGER_UNAVAILABLE"
    assert path.read_bytes() == content


def test_a_creation_that_did_not_finish_is_begun_again(path):
    bad = [pb.PublicEvent(participant_suspended=pb.ParticipantSuspended(oin=CITY))]
    assert reason_of(lambda: create_ledger(path, SIGNER, bad, Time())) == "PARTY_UNKNOWN"
    assert not path.exists()
    Ledger(path).close()


def test_an_older_copy_is_refused_when_a_newer_checkpoint_is_known(path, tmp_path):
    ledger = Ledger(path)
    ledger.decide(["anna"])
    ledger.close()
    old = tmp_path / "old.db"
    shutil.copy(path, old)
    ledger = Ledger(path, ledger.clock)
    ledger.decide(["bert"], 2)
    known = ledger.sequencer.head.checkpoint
    ledger.close()
    assert reason_of(lambda: open_ledger(old, SIGNER, ledger.clock, known_checkpoint=known)) == "LEDGER_UNAVAILABLE"
    open_ledger(path, SIGNER, ledger.clock, known_checkpoint=known).close()
    fork = Ledger(old, ledger.clock)
    fork.decide(["chris", "dora"], 3)
    fork.close()
    with pytest.raises(RegieError, match="not the one that signed"):
        open_ledger(old, SIGNER, ledger.clock, known_checkpoint=known)


def test_another_signing_key_is_refused(path):
    Ledger(path).close()
    other = type(SIGNER)(SIGNER.name, bytes(32))
    assert reason_of(lambda: open_ledger(path, other, Time())) == "LEDGER_UNAVAILABLE"


def test_the_registry_and_state_survive_a_restart(path):
    ledger = Ledger(path)
    ledger.record("anna", grant=grant())
    header_hash, _ = ledger.decide(["anna"])
    ledger.sequencer.publish([pb.PublicEvent(participant_suspended=pb.ParticipantSuspended(oin=CITY))]).result(10)
    ledger.close()
    again = Ledger(path, ledger.clock)
    assert again.sequencer.registry.participant(CITY).suspended
    assert not again.release(header_hash).signals  # the permit is known, and its recipient suspended since
    kinds = [event.WhichOneof("body") for _, event, _ in again.events()]
    assert kinds == ["consent_granted", "exchange_decided", "exchange_withheld"]
    again.close()


def test_expired_openings_and_old_answers_are_deleted(path):
    ledger = Ledger(path)
    for person in ("anna", "bert"):
        ledger.record(person, grant=grant())
    delivered, _ = ledger.decide(["anna"], 1)
    waiting, _ = ledger.decide(["bert"], 2)
    ledger.release(delivered)
    ledger.clock.forward(days=3, ms=1)
    late = release_work(pull(waiting, now_ms=ledger.clock()))
    assert reason_of(lambda: ledger.sequencer.submit(late).result(10)) == "NOT_FRESH"
    ledger.decide(["chris"], 3)
    with ledger.sequencer.reader.snapshot() as snapshot:
        assert snapshot.permits(waiting)[0].opening is None
        assert snapshot.permits(delivered)[0].opening  # the resident's copy opens with it
        assert snapshot._all("SELECT count(*) FROM pull_nonce") == [(0,)]
    files = path.read_bytes() + path.with_name("ledger.db-wal").read_bytes()
    assert opening(delivered, 0) in files
    assert opening(waiting, 0) not in files  # overwritten, in the -wal file too
    ledger.close()

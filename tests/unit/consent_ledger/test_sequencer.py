"""The one write path: order, durability, and answers given again."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from consent_ledger.errors import RegieError
from consent_ledger.log.checkpoint import open_checkpoint
from consent_ledger.sequencer import Limits
from consent_ledger.v1 import consents_pb2 as consents
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.verify import verify_database
from consent_ledger.writing.publish import PublishWork
from tests.support.ledger import (
    NOW,
    SIGNER,
    Ledger,
    change,
    content_of,
    decide_work,
    first_events,
    grant,
    header,
    held,
    listed,
    pull,
    reason_of,
    record_work,
    release_work,
    results,
    scope,
)

VKEY = SIGNER.verifier.format()


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


def test_a_batch_can_be_released_in_the_group_that_decides_it(ledger):
    ledger.record("anna", grant=grant())
    with held(ledger):
        work = decide_work(["anna"], header(1))
        decided = ledger.sequencer.submit(work)
        released = ledger.sequencer.submit(release_work(pull(work.header_hash)))
    (index,) = listed(decided.result(10)).log_indices
    assert content_of(released.result(10)).signals[0].log_index == index + 1
    verify_database(ledger.path, VKEY)


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

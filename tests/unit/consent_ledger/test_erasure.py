"""A resident's request to erase: what goes, what stays, and what everybody is told afterwards."""

from contextlib import suppress

import pytest

from consent_ledger.clock import DAY_MS
from consent_ledger.errors import RegieError
from consent_ledger.events import erased_indices, parse_leaf
from consent_ledger.state import SubjectState
from consent_ledger.v1 import consents_pb2 as consents
from consent_ledger.v1 import decisions_pb2 as decisions
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.verify import verify_database
from consent_ledger.writing.afterwards import AcknowledgeWork, OutcomeWork
from consent_ledger.writing.announce import Announcing
from tests.support.erasure import AT_ONCE, AnnounceWork, announced, erase, erase_request, erase_work, erased, files
from tests.support.ledger import (
    ARREARS,
    CITY,
    INCOME,
    SIGNER,
    SUPPLIER,
    Ledger,
    change,
    content_of,
    decide_work,
    element,
    grant,
    header,
    held,
    listed,
    opening,
    pull,
    reason_of,
    record_work,
    release_work,
    results,
    scope,
    subject,
)


@pytest.fixture
def ledger(tmp_path):
    made = Ledger(tmp_path / "ledger.db")
    yield made
    made.close()


def check(ledger) -> None:
    verify_database(ledger.path, SIGNER.verifier.format())


def reason(ledger, person="anna", batch=90, **fields) -> str:
    ledger.decide([person], batch, **fields)
    return ledger.reasons()[-1]


def outcome(ledger, hh, offer="gesprek") -> int:
    report = decisions.OutcomeReport(position=0, offer=offer, channel=pb.CHANNEL_BRIEF, when_ms=ledger.clock())
    work = OutcomeWork(hh, CITY, report, b"outcome name".ljust(32, b"."))
    return ledger.sequencer.submit(work).result(10).log_index


def acknowledge(ledger, hh) -> None:
    said = decisions.Acknowledgement(header_hash=hh, time_ms=ledger.clock(), recipient=CITY)
    ledger.sequencer.submit(AcknowledgeWork(said)).result(10)


# -- bytes -------------------------------------------------------------------------------------------------------------


def test_nothing_that_was_erased_is_in_any_byte_of_the_files(ledger):
    """Planted: who captured a choice, what was offered; searched: salts, events, private parts, v_i, and these."""
    everybody = [f"person {number}" for number in range(400)]  # pages split, again and again
    digests = []  # of requests: who knows all but a little of one finds the rest by trying
    for number, person in enumerate(everybody):
        mark = pb.Capture(via=pb.CAPTURED_VIA_WEB, by=f"planted-{number:04}-desk", language="nl")
        made = change(1000 + number, person, ledger.clock() + 1, grant=grant())
        made.capture.CopyFrom(mark)
        work = record_work(made)
        ledger.sequencer.submit(work).result(10)
        digests.append(work.changes[0].digest)
    batches = [ledger.decide(everybody[at : at + 40], 1 + at)[0] for at in range(0, 400, 40)]
    for hh in batches:
        ledger.release(hh)
        acknowledge(ledger, hh)
    gone = everybody[::40]
    with ledger.sequencer.reader.snapshot() as snapshot:
        rows = [row for p in gone for row in snapshot.payloads(list(snapshot.subject_indices(subject(p)))).values()]
    planted = [f"planted-{number:04}-desk".encode() for number in range(0, 400, 40)]
    planted += [opening(hh, 0) for hh in batches] + digests[::40]
    planted += [part for row in rows for part in (row.salt, row.event, row.private)]
    for number, hh in enumerate(batches):
        report = decisions.OutcomeReport(
            position=0, offer=f"planted offer {number}", channel=pb.CHANNEL_BRIEF, when_ms=ledger.clock()
        )
        ledger.sequencer.submit(OutcomeWork(hh, CITY, report, hh)).result(10)
        planted.append(report.offer.encode())
    before = files(ledger)
    assert all(mark in before for mark in planted)
    for person in gone:
        assert erase(ledger, person, created_ms=ledger.clock() + 50).entries == 5
    assert ledger.sequencer.clean
    after = files(ledger)
    assert [mark for mark in planted if mark in after] == []
    # The pseudonym itself stays where the chain goes on, and nowhere else: its row, and the entry that says so.
    assert {after.count(subject(person)) for person in gone} == {2}
    check(ledger)
    ledger.close()
    again = Ledger(ledger.path, ledger.clock)
    assert [mark for mark in planted if mark in files(again)] == []
    assert again.sequencer.failure is None
    again.close()


def test_a_reader_at_work_only_delays_that_bytes_are_overwritten(ledger):
    ledger.record("anna", grant=grant())
    with ledger.sequencer.reader.snapshot() as snapshot:
        [row] = snapshot.payloads(list(snapshot.subject_indices(subject("anna")))).values()
        erase(ledger, "anna")
        assert not ledger.sequencer.clean
        assert row.salt in files(ledger)
    ledger.sequencer.submit(AnnounceWork(AT_ONCE)).result(10)
    assert ledger.sequencer.clean
    assert row.salt not in files(ledger)


# -- what it means -----------------------------------------------------------------------------------------------------


def test_afterwards_nothing_stands_and_nothing_comes_back(ledger):
    ledger.record("anna", preferences=pb.Preferences(most_per_30_days=3))
    ledger.record("anna", grant=grant())
    assert reason(ledger, batch=1) == "ALLOWED"
    late = change(500, "anna", ledger.clock() + 10, grant=grant())
    done = erase(ledger, "anna", created_ms=ledger.clock() + 50)
    assert (done.entries, done.kept, len(done.log_indices)) == (3, 0, 1)
    assert reason(ledger, batch=2) == "NO_CONSENT"
    # A yes that was given before and arrives after.
    assert results(ledger.sequencer.submit(record_work(late)).result(10))[0].error.reason == "WRITE_STALE"
    with ledger.sequencer.reader.snapshot() as snapshot:
        assert snapshot.subject(subject("anna")).state == SubjectState(written_ms=ledger.clock() + 50)
    ledger.clock.forward(days=31)
    assert results(ledger.sequencer.submit(record_work(late)).result(10))[0].error.reason == "NOT_FRESH"
    ledger.record("anna", grant=grant())
    assert reason(ledger, batch=3) == "ALLOWED"
    check(ledger)


def test_the_chain_goes_on_behind_the_gap(ledger):
    for _ in range(40):  # more than a subject's row holds
        ledger.record("anna", pause=consents.Pause())
    erase(ledger, "anna")
    ledger.record("anna", grant=grant())
    mine = [(e.WhichOneof("body"), p.links[0].subject_seq) for _, e, p in ledger.events()]
    assert mine == [("record_erased", 41), ("consent_granted", 42)]
    check(ledger)


def test_others_notice_nothing(ledger):
    for person in ("anna", "bert"):
        ledger.record(person, grant=grant())
    hh, _ = ledger.decide(["anna", "bert"], 1)
    before = [entry for entry in ledger.events() if entry[2].links[0].subject == subject("bert")]
    erase(ledger, "anna")
    assert [entry for entry in ledger.events() if entry[2].links[0].subject == subject("bert")] == before
    assert [signal.position for signal in ledger.release(hh).signals] == [2]
    assert reason(ledger, "bert", 2) == "ALLOWED"


def test_a_permit_that_waits_can_no_longer_be_opened_and_nobody_sees_it_by_the_size(ledger):
    for person in ("anna", "bert"):
        ledger.record(person, grant=grant())
    hh, _ = ledger.decide(["anna", "bert"], 1)
    whole = ledger.sequencer.submit(release_work(pull(hh, 7, now_ms=ledger.clock()))).result(10)
    size = ledger.sequencer.head.size
    erase(ledger, "anna")
    same = ledger.sequencer.submit(release_work(pull(hh, 7, now_ms=ledger.clock()))).result(10)  # the very same pull
    assert [signal.position for signal in content_of(whole).signals] == [0, 2]
    assert [signal.position for signal in content_of(same).signals] == [2]
    assert len(same.sealed) == len(whole.sealed)
    acknowledge(ledger, hh)
    events = [e for index, e, _ in ledger.events() if index >= size]
    assert [e.exchange_acknowledged.position for e in events if e.HasField("exchange_acknowledged")] == [2]
    assert reason_of(lambda: outcome(ledger, hh)) == "FIELD_INVALID"
    check(ledger)


def test_what_a_batch_keeps_for_its_time_goes_with_that_time(ledger):
    ledger.record("anna", grant=grant())
    hh, _ = ledger.decide(["anna"], 1, hours=1)
    erase(ledger, "anna")

    def kept():
        with ledger.sequencer.reader.snapshot() as snapshot:
            return len(snapshot.permits(hh)), bool(snapshot.batch(hh).response)

    assert kept() == (1, True)
    ledger.clock.forward(days=1)
    ledger.record("bert", grant=grant())
    assert kept() == (0, False)
    # Of a batch that expired before, nothing needs to stay.
    hh, _ = ledger.decide(["bert"], 2, hours=1)
    ledger.clock.forward(days=1)
    erase(ledger, "bert")
    assert kept() == (0, False)


def test_in_one_group_the_order_decides(ledger):
    ledger.record("anna", grant=grant())
    submit = ledger.sequencer.submit
    works = [
        decide_work(["anna"], header(1)),
        record_work(change(700, "anna", ledger.clock() + 60, preferences=pb.Preferences(language="nl"))),
        erase_work(erase_request("anna", ledger.clock() + 70)),
        decide_work(["anna"], header(2)),
        record_work(change(700, "anna", ledger.clock() + 60, preferences=pb.Preferences(language="nl"))),
        record_work(change(701, "anna", ledger.clock() + 80, grant=grant())),
        decide_work(["anna"], header(3)),
    ]
    with held(ledger):
        futures = [submit(work) for work in works]
    answers = [future.result(10) for future in futures]
    assert [listed(answers[at]).outcomes[0] for at in (0, 3, 6)] == [1, 2, 1]
    assert results(answers[4])[0].error.reason == "WRITE_STALE"  # its answer went with what it recorded
    assert ledger.reasons() == ["NO_CONSENT", "ALLOWED"]
    assert erased(answers[2]).entries == 3
    check(ledger)
    ledger.close()
    with suppress(RegieError):
        ledger.sequencer = Ledger(ledger.path, ledger.clock).sequencer
    check(ledger)


# -- rows --------------------------------------------------------------------------------------------------------------


def test_entries_about_another_purpose_too_stay_until_that_is_erased_as_well(ledger):
    rows = [consents.Rows(purpose=purpose, elements=[element("anna")]) for purpose in (ARREARS, INCOME)]
    both = change(600, "anna", ledger.clock(), pause=consents.Pause())
    del both.rows[:]
    both.rows.extend(rows)
    ledger.sequencer.submit(record_work(both)).result(10)
    ledger.record("anna", grant=grant())
    done = erase(ledger, "anna")
    assert (done.entries, done.kept) == (1, 1)
    assert reason(ledger, batch=1) == "NO_CONSENT"  # the pause stays in the log, and stands no more
    assert reason(ledger, batch=2, purpose=INCOME, sender="0" * 20) == "PARTY_UNKNOWN"
    done = erase(ledger, "anna", purposes=(ARREARS, INCOME), created_ms=ledger.clock() + 90)
    assert (done.entries, done.kept, len(done.log_indices)) == (4, 0, 2)
    # One leaf per subject: nothing that stays links the resident's pseudonyms.
    assert [len(private.links) for _, _, private in ledger.events()] == [1, 1]
    check(ledger)


def test_about_somebody_unknown_nothing_is_written(ledger):
    size = ledger.sequencer.head.size
    assert erase(ledger, "nobody") == consents.Erased()
    assert ledger.sequencer.head.size == size
    ledger.record("anna", grant=grant())
    erase(ledger, "anna")
    size = ledger.sequencer.head.size
    assert erase(ledger, "anna", created_ms=ledger.clock() + 99).entries == 0  # nothing came since
    assert ledger.sequencer.head.size == size


def test_the_same_request_gets_the_same_answer_and_another_under_its_id_none(ledger):
    ledger.record("anna", grant=grant())
    request = erase_request("anna", ledger.clock() + 50)
    first, again = (erased(ledger.sequencer.submit(erase_work(request)).result(10)) for _ in range(2))
    assert first == again
    assert first.entries == 1
    later = erase_request("anna", ledger.clock() + 51)
    assert erased(ledger.sequencer.submit(erase_work(later)).result(10)) == first, "when it was written is no content"
    other = erase_request("anna", ledger.clock() + 50)
    other.capture.language = "en"
    assert reason_of(lambda: ledger.sequencer.submit(erase_work(other)).result(10)) == "NONCE_REUSED"


@pytest.mark.parametrize(
    ("offset_ms", "expected"), [(0, "WRITE_STALE"), (DAY_MS, "NOT_FRESH"), (-31 * DAY_MS, "NOT_FRESH")]
)
def test_a_request_is_newer_than_what_it_erases_and_not_from_elsewhere_in_time(ledger, offset_ms, expected):
    ledger.record("anna", grant=grant())
    request = erase_request("anna", ledger.clock() + offset_ms)
    assert reason_of(lambda: ledger.sequencer.submit(erase_work(request)).result(10)) == expected
    assert len(ledger.events()) == 1


# -- announcements -----------------------------------------------------------------------------------------------------


def test_announcements_wait_for_enough_people_and_come_in_the_order_of_the_log(ledger):
    people = [f"person {number}" for number in range(4)]
    for _ in range(2):
        for person in people:
            ledger.record(person, grant=grant())
    policy = Announcing(people=4)
    for number, person in enumerate(people):
        assert announced(ledger) == []
        verified = verify_database(ledger.path, SIGNER.verifier.format())  # what waits is no loss
        assert verified.erased == 2 * number
        erase(ledger, person, policy=policy)
    [(ground, indices)] = announced(ledger)
    assert ground == "resident request"
    assert indices == sorted(indices)
    assert len(indices) == 8
    check(ledger)


def test_announcements_wait_no_longer_than_said(ledger):
    ledger.record("anna", grant=grant())
    done = erase(ledger, "anna", policy=Announcing())
    ledger.clock.forward(ms=done.announced_by_ms - ledger.clock() - 1)
    assert ledger.sequencer.submit(AnnounceWork(Announcing())).result(10) == 0
    ledger.clock.forward(ms=1)
    assert ledger.sequencer.submit(AnnounceWork(Announcing())).result(10) == 1
    assert len(announced(ledger)) == 1
    assert ledger.sequencer.submit(AnnounceWork(Announcing(1, 0))).result(10) == 0  # once
    check(ledger)


def test_a_public_leaf_names_no_subject_and_how_many_people_is_not_kept_by_person(ledger):
    for person in ("anna", "bert"):
        for _ in range(3):
            ledger.record(person, grant=grant())
        erase(ledger, person, policy=Announcing(people=3))
    with ledger.sequencer.reader.snapshot() as snapshot:
        waiting = snapshot.unannounced()
    assert sum(row.first for row in waiting) == 2
    assert {row._replace(idx=0, first=0) for row in waiting} == {waiting[0]._replace(idx=0, first=0)}
    ledger.sequencer.submit(AnnounceWork(AT_ONCE)).result(10)
    with ledger.sequencer.reader.snapshot() as snapshot:
        leaves = [parse_leaf(entry).public for _, entry in snapshot.public_entries()]
        last = leaves[-1].entry_erased
    assert {field.name for field, _ in last.ListFields()} == {"index", "ground", "further"}
    assert erased_indices(last) == tuple(row.idx for row in waiting)


def test_many_entries_are_announced_in_few_leaves(ledger):
    changes = [change(2000 + n, f"p{n}", ledger.clock() + 1, grant=grant()) for n in range(1001)]
    ledger.sequencer.submit(record_work(*changes)).result(10)
    rows = [consents.Rows(purpose=ARREARS, elements=[element(f"p{n}") for n in range(1001)])]
    request = erase_request("p0", ledger.clock() + 5)
    del request.rows[:]
    request.rows.extend(rows)
    assert erased(ledger.sequencer.submit(erase_work(request)).result(20)).entries == 1001
    assert [len(indices) for _, indices in announced(ledger)] == [1000, 1]
    check(ledger)


def test_the_scope_of_a_later_choice_is_not_touched(ledger):
    """Erasing one purpose leaves the same person's other purpose as it is."""
    ledger.record("anna", purpose=INCOME, grant=grant(where=scope("00000099000000000013", CITY, INCOME)))
    ledger.record("anna", grant=grant(where=scope(SUPPLIER, CITY)))
    erase(ledger, "anna", purposes=(INCOME,))
    assert reason(ledger, batch=1) == "ALLOWED"
    assert reason(ledger, batch=2, purpose=INCOME, sender="00000099000000000013") == "NO_CONSENT"

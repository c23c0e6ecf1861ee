"""Erasing by age: what stands stays, the rest goes, and no decision becomes another one by it."""

import pytest
from pysqlite3 import dbapi2 as sqlite3

from consent_ledger.clock import DAY_MS
from consent_ledger.errors import RegieError
from consent_ledger.purposes import CATALOGUE
from consent_ledger.registry import Registry
from consent_ledger.v1 import consents_pb2 as consents
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.verify import RowError, verify_database
from consent_ledger.writing.announce import Announcing
from consent_ledger.writing.retention import Sweep, SweepWork
from tests.support.erasure import AT_ONCE, announced, erase, erase_request, erase_work
from tests.support.ledger import (
    ARREARS,
    INCOME,
    OTHER_SUPPLIER,
    SIGNER,
    Ledger,
    change,
    element,
    grant,
    reason_of,
    record_work,
    scope,
    subject,
)

YEARS = 730.5  # a little more than what the catalogue says


@pytest.fixture
def ledger(tmp_path):
    made = Ledger(tmp_path / "ledger.db")
    yield made
    if not hasattr(made, "damaged"):
        verify_database(made.path, SIGNER.verifier.format())
    made.close()


def sweep(ledger, page=256, policy=AT_ONCE) -> int:
    """A whole pass; how many entries went."""
    where, total = Sweep(), 0
    for _ in range(1_000):
        swept = ledger.sequencer.submit(SweepWork(where, policy, page)).result(10)
        total += swept.erased
        if not swept.more:
            return total
    raise AssertionError("a pass that does not end")


def kinds(ledger, person="anna") -> list[str]:
    key = subject(person)
    return [str(e.WhichOneof("body")) for _, e, p in ledger.events() if any(link.subject == key for link in p.links)]


def known(ledger, person="anna"):
    with ledger.sequencer.reader.snapshot() as snapshot:
        return snapshot.subject(subject(person))


def decide(ledger, batch, person="anna", **fields) -> str:
    ledger.decide([person], batch, **fields)
    return ledger.reasons()[-1]


def test_a_person_of_whom_everything_is_over_is_known_no_more(ledger):
    ledger.record("anna", grant=grant(months=3))
    assert decide(ledger, 1) == "ALLOWED"
    ledger.clock.forward(days=100)
    assert decide(ledger, 2) == "EXPIRED"
    ledger.clock.forward(days=YEARS)
    assert sweep(ledger) == 3
    assert known(ledger) is None
    assert kinds(ledger) == []
    [(ground, indices)] = announced(ledger)
    assert (ground, len(indices)) == ("retention", 3)
    assert decide(ledger, 3) == "NO_CONSENT"  # and a chain begins anew
    assert known(ledger).seq == 1


def test_before_its_time_nothing_goes(ledger):
    ledger.record("anna", grant=grant(months=3))
    decide(ledger, 1)
    ledger.clock.forward(days=729)
    assert sweep(ledger) == 0


def test_a_choice_goes_with_its_period_after_it_ended_not_after_it_was_made(ledger):
    ledger.record("anna", grant=grant(months=12))
    decide(ledger, 1)
    ledger.clock.forward(days=YEARS)  # ended a year ago
    assert sweep(ledger) == 1
    # The exchange was the newest entry: the chain's count goes on by an entry that says nothing else.
    assert kinds(ledger) == ["consent_granted", "record_erased"]
    assert decide(ledger, 2) == "EXPIRED"
    ledger.clock.forward(days=366)
    assert sweep(ledger) == 1
    assert decide(ledger, 3) == "NO_CONSENT"


def test_a_no_stands_however_old_and_its_entry_with_it(ledger):
    ledger.record("anna", refuse=consents.Refuse(scope=scope()))
    ledger.record("anna", preferences=pb.Preferences(language="en"))
    for batch in range(1, 4):
        assert decide(ledger, batch) == "REFUSED"
    ledger.clock.forward(days=4 * 365)
    assert sweep(ledger) == 3
    assert kinds(ledger) == ["consent_refused", "preferences_set", "record_erased"]
    assert sweep(ledger) == 0  # a second pass finds nothing, and writes nothing
    ledger.clock.forward(days=4 * 365)
    assert sweep(ledger) == 0
    assert decide(ledger, 9) == "REFUSED"
    assert known(ledger).seq == 7


def test_a_pause_in_force_stays_and_one_that_ended_goes(ledger):
    ledger.record("anna", pause=consents.Pause(until_ms=ledger.clock() + DAY_MS))
    ledger.record("bert", pause=consents.Pause())
    ledger.record("chris", pause=consents.Pause())
    ledger.record("chris", resume=consents.Resume())
    ledger.clock.forward(days=YEARS + 2)
    assert sweep(ledger) == 3
    assert (kinds(ledger, "anna"), kinds(ledger, "bert"), kinds(ledger, "chris")) == ([], ["sharing_paused"], [])
    assert decide(ledger, 1, "bert") == "PAUSED"


def test_a_question_and_its_answer_stay_as_long_as_their_choice(ledger):
    ledger.record("anna", grant=grant(pb.MODE_VRAAG_MIJ_EERST, months=12))
    assert decide(ledger, 1) == "AWAITING_RESIDENT"
    ledger.record("anna", answer=consents.Answer(scope=scope(), yes=False))
    ledger.record("anna", grant=grant(pb.MODE_EERST_ZELF, scope(OTHER_SUPPLIER), months=12))
    assert decide(ledger, 2, sender=OTHER_SUPPLIER) == "SELF_FIRST_WINDOW"
    ledger.clock.forward(days=200)
    before = known(ledger)
    assert sweep(ledger) == 0
    assert known(ledger) == before
    ledger.clock.forward(days=YEARS)
    assert sweep(ledger) == 0  # ended 565 days ago
    ledger.clock.forward(days=200)
    assert sweep(ledger) == 5


def test_an_entry_about_two_purposes_goes_when_it_is_over_for_both(ledger):
    """And what ended it does not go before it: a pause that one purpose keeps would count again in the other."""
    longer = next(p for p in CATALOGUE if p.id == INCOME).to_proto()
    longer.version, longer.ledger_retention_days = 2, 3_000
    first = pb.PublicEvent(purpose_published=pb.PurposePublished(purpose=longer))
    assert ledger.sequencer.publish([first]).result(10)

    def both(number, created_ms, **what):
        made = change(number, "anna", created_ms, **what)
        made.rows.append(consents.Rows(purpose=INCOME, elements=[element("anna")]))
        ledger.sequencer.submit(record_work(made)).result(10)

    both(601, ledger.clock() + 1, pause=consents.Pause())
    both(602, ledger.clock() + 2, resume=consents.Resume())
    ledger.clock.forward(ms=1_000)
    ledger.record("anna", grant=grant(months=3))  # names the purpose
    tax = "00000099000000000013"
    ledger.record("anna", purpose=INCOME, grant=grant(where=scope(tax, purpose=INCOME), months=3))
    ledger.clock.forward(days=YEARS + 100)
    assert sweep(ledger) == 1
    assert kinds(ledger) == ["sharing_paused", "sharing_resumed", "record_erased"]
    assert known(ledger).state.pause is None
    ledger.clock.forward(days=2_300)
    assert sweep(ledger) == 4
    assert (known(ledger), kinds(ledger)) == (None, [])


def test_erased_on_request_leaves_nothing_in_the_end(ledger):
    ledger.record("anna", grant=grant())
    erase(ledger, "anna", created_ms=ledger.clock() + 50)
    assert kinds(ledger) == ["record_erased"]
    ledger.clock.forward(days=YEARS)
    assert sweep(ledger) == 1
    assert known(ledger) is None


def test_a_step_looks_at_one_page_and_the_next_goes_on(ledger):
    made = [change(100 + n, f"p{n}", ledger.clock() + 1, grant=grant(months=3)) for n in range(30)]
    ledger.sequencer.submit(record_work(*made)).result(10)
    ledger.clock.forward(days=YEARS + 100)
    where = Sweep()
    first = ledger.sequencer.submit(SweepWork(where, AT_ONCE, page=8)).result(10)
    assert (first.erased, first.announced, first.more) == (8, 0, True)
    total = 8
    while where.next_index:
        total += ledger.sequencer.submit(SweepWork(where, AT_ONCE, page=8)).result(10).erased
    assert total == 30
    assert [len(indices) for _, indices in announced(ledger)] == [30]
    ledger.record("late", grant=grant(months=3))
    again = ledger.sequencer.submit(SweepWork(where, AT_ONCE, page=8)).result(10)
    assert (again.erased, again.more) == (0, False)  # the next pass is tomorrow
    assert where.next_pass_ms == ledger.clock() + DAY_MS


def test_what_was_swept_waits_for_a_crowd_of_its_own(ledger):
    for person in ("anna", "bert"):
        ledger.record(person, grant=grant(months=3))
    ledger.clock.forward(days=YEARS + 100)
    ledger.record("chris", grant=grant(months=3))
    erase(ledger, "chris", created_ms=ledger.clock() + 50, policy=Announcing(people=2))
    assert sweep(ledger, policy=Announcing(people=2)) == 2
    assert [(ground, len(indices)) for ground, indices in announced(ledger)] == [("retention", 2)]


def test_a_purpose_whose_versions_say_nothing_keeps_everything(tmp_path):
    """A ledger of before: its purposes named no period, so none is made up for it."""
    registry = Registry()
    for number, purpose in enumerate(CATALOGUE, 1):
        message = purpose.to_proto()
        message.ledger_retention_days = 0
        event = pb.PublicEvent(sequence=number, purpose_published=pb.PurposePublished(purpose=message))
        registry = registry.apply(number, event)
    assert {registry.ledger_days(purpose.id) for purpose in CATALOGUE} == {0}


def publish(registry, version, days, **fields):
    message = next(p for p in CATALOGUE if p.id == ARREARS).to_proto()
    message.version, message.ledger_retention_days = version, days
    for name, value in fields.items():
        setattr(message, name, value)
    published = pb.PurposePublished(purpose=message)
    return registry.apply(1, pb.PublicEvent(sequence=registry.sequence + 1, purpose_published=published))


def test_a_later_version_shortens_and_never_lengthens():
    registry = Registry()
    for version, days in ((1, 0), (2, 400), (3, 900), (4, 100)):
        registry = publish(registry, version, days)
        said = [registry.ledger_days(ARREARS, at) for at in range(1, version + 1)]
        assert said == {1: [0], 2: [400, 400], 3: [400, 400, 900], 4: [100] * 4}[version]
    assert registry.ledger_days("unknown") == 0


@pytest.mark.parametrize(("days", "fields"), [(59, {}), (80, {"self_first_days": 41}), (80, {"ask_days": 41})])
def test_a_period_in_which_something_could_still_count_is_refused(days, fields):
    assert reason_of(lambda: publish(Registry(), 1, days, **fields)) == "FIELD_INVALID"
    assert publish(Registry(), 1, days + 10, **fields).ledger_days(ARREARS) == days + 10


def test_every_purpose_of_the_catalogue_says_how_long():
    for purpose in CATALOGUE:
        assert purpose.ledger_retention_days == 730
        assert type(purpose).from_proto(purpose.to_proto()) == purpose


def test_a_damaged_entry_stops_neither_the_sweep_nor_the_ledger(ledger):
    for person in ("anna", "bert", "chris"):
        ledger.record(person, grant=grant(months=3))
    [(_, middle)] = [(e, i) for i, e, p in ledger.events() if p.links[0].subject == subject("bert")]
    with sqlite3.connect(ledger.path) as file:
        file.execute("DROP TRIGGER payload_no_update")
        file.execute("UPDATE payload SET event = x'ffff' WHERE idx = ?", (middle,))
    file.close()
    request = erase_request("bert", ledger.clock() + 50)
    with pytest.raises(RegieError, match=f"entry {middle} is damaged") as caught:
        ledger.sequencer.submit(erase_work(request)).result(10)
    assert caught.value.reason == "INTERNAL"
    ledger.clock.forward(days=YEARS + 100)
    assert sweep(ledger) == 2
    with pytest.raises(RowError, match=f"payload {middle}"):
        verify_database(ledger.path, SIGNER.verifier.format())
    ledger.damaged = True

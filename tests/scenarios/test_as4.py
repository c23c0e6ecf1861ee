"""AS4 over real gRPC: a bill that is left unpaid, with each answer a resident can give."""

from consent_ledger.clock import DAY_MS
from consent_ledger.v1 import events_pb2
from gateway.town.participants import LAMPJE
from tests.support.scenario import ARREARS, BILL, BILL_ELSEWHERE, Report, reason

LETTER_NEVER_PHONE = {"channels": ["brief"], "never": ["telefoon"], "same_person": True}


async def test_as4a_no_choice_is_refused(town):
    person = await town.someone()
    assert await town.report(person, BILL) == "geen_toestemming"
    assert reason(await town.newest(person)) == "NO_CONSENT"
    assert person.ref not in await town.collect()


async def test_as4b_a_yes_arrives_with_how_to_approach(town):
    person = await town.someone()
    await town.chooses(person, BILL, "JA")
    await town.prefers(person, **LETTER_NEVER_PHONE)
    assert await town.report(person, BILL) == "accepted"
    (delivery,) = (await town.collect())[person.ref]
    wishes = delivery.values()["preferences"]
    assert (wishes["channels"], wishes["never"], wishes["same_person"]) == (["brief"], ["telefoon"], True)
    assert delivery.values()["signal"]["months"] == "1-2"
    assert delivery.explanation_nl
    assert delivery.explanation_en


async def test_as4c_asked_first_a_yes_lets_the_next_report_through(town):
    """The sender keeps its own reference and reports again what is still true."""
    person = await town.someone()
    await town.chooses(person, BILL, "VRAAG_MIJ_EERST")
    row = town.row(person, BILL)
    assert await town.send([row], BILL) == ["later_opnieuw"]
    asked = await town.newest(person)
    assert reason(asked) == "AWAITING_RESIDENT"
    assert asked.text.nl.startswith("Nog niet gedeeld. U beslist, tot ")
    assert asked.text.nl.endswith("Geen reactie is nee.")
    (choice,) = (await town.record(person)).choices
    assert choice.asked.open
    assert choice.asked.log_index == asked.log_index
    assert await town.send([row], BILL, retry_later=True) == ["later_opnieuw"]  # asking again changes nothing
    assert (await town.record(person)).choices[0].asked.deadline_ms == choice.asked.deadline_ms
    await town.answers(person, BILL, yes=True)
    assert await town.send([row], BILL, retry_later=True) == ["accepted"]
    assert person.ref in await town.collect()
    assert await town.send([row], BILL, retry_later=True) == []
    assert await town.report(person, BILL) == "later_opnieuw"  # the yes was for one exchange


async def test_as4c_a_no_is_refused(town):
    person = await town.someone()
    await town.chooses(person, BILL, "VRAAG_MIJ_EERST")
    row = town.row(person, BILL)
    await town.send([row], BILL)
    await town.answers(person, BILL, yes=False)
    assert await town.send([row], BILL, retry_later=True) == ["geen_toestemming"]
    assert reason(await town.newest(person)) == "REFUSED"
    assert await town.send([row], BILL, retry_later=True) == []  # a no ends it


async def test_as4c_silence_is_no(town):
    person = await town.someone()
    await town.chooses(person, BILL, "VRAAG_MIJ_EERST")
    row = town.row(person, BILL)
    await town.send([row], BILL)
    town.clock.forward(days=14.1)
    assert await town.send([row], BILL, retry_later=True) == ["geen_toestemming"]
    assert reason(await town.newest(person)) == "REFUSED"
    assert not (await town.record(person)).choices[0].asked.open
    assert person.ref not in await town.collect()


async def test_as4d_who_solves_it_is_never_reported(town):
    """The sender's list of later does not hold the bill any more: nothing goes, and nothing is remembered."""
    solved, other = await town.people(2)
    for person in (solved, other):
        await town.chooses(person, BILL, "EERST_ZELF")
    rows = [town.row(person, BILL) for person in (solved, other)]
    assert await town.send(rows, BILL) == ["later_opnieuw"] * 2
    assert reason(await town.newest(solved)) == "SELF_FIRST_WINDOW"
    assert await town.send(rows, BILL, retry_later=True) == ["later_opnieuw"] * 2  # the days are not over
    town.clock.forward(days=15)
    assert await town.send(rows[1:], BILL, retry_later=True) == ["accepted"]
    received = await town.collect()
    assert other.ref in received
    assert solved.ref not in received
    waiting = await town.agencies[LAMPJE.oin].sender().told_later(purpose=ARREARS, recipient=BILL.recipient)
    assert not {row.reference for row in rows} & set(waiting)
    town.clock.forward(days=15)
    (choice,) = (await town.record(solved)).choices
    assert choice.self_first.solved
    told = [one for one in (await town.record(solved)).exchanges if one.solved_by_self]
    assert told
    assert all(one.released_index == 0 for one in told)


async def test_as4d_help_comes_when_it_is_still_true(town):
    person = await town.someone()
    await town.chooses(person, BILL, "EERST_ZELF")
    row = town.row(person, BILL)
    await town.send([row], BILL)
    town.clock.forward(days=14.5)
    worse = town.row(person, BILL, months="3.5", reference=row.reference)
    assert await town.send([worse], BILL, retry_later=True) == ["accepted"]
    (delivery,) = (await town.collect())[person.ref]
    assert delivery.values()["signal"]["months"] == ">3"  # as it is now
    assert not (await town.record(person)).choices[0].self_first.solved


async def test_as4e_withdrawn_on_the_way_is_stopped_at_release(town):
    person = await town.someone()
    await town.chooses(person, BILL, "JA")
    assert await town.report(person, BILL) == "accepted"
    await town.withdraws(person, BILL)
    assert person.ref not in await town.collect()
    stopped = await town.newest(person)
    assert stopped.released_index == 0
    assert events_pb2.Reason.Name(stopped.withheld_reason) == "REASON_WITHDRAWN"
    assert await town.report(person, BILL) == "geen_toestemming"


async def test_as4e_a_consent_that_ended_on_the_way_is_stopped_too(town):
    person = await town.someone()
    await town.chooses(person, BILL, "JA", months=3)
    (choice,) = (await town.record(person)).choices
    town.clock.forward(days=(choice.valid_until_ms - town.clock()) / DAY_MS - 1 / 24)
    assert await town.report(person, BILL) == "accepted"
    town.clock.forward(days=2 / 24)
    assert person.ref not in await town.collect()
    stopped = await town.newest(person)
    assert events_pb2.Reason.Name(stopped.withheld_reason) == "REASON_EXPIRED"
    assert await town.report(person, BILL) == "geen_toestemming"


async def test_as4f_a_yes_for_one_supplier_does_not_serve_another(town):
    person = await town.someone()
    await town.chooses(person, BILL, "JA")
    assert await town.report(person, BILL_ELSEWHERE) == "geen_toestemming"
    seen = await town.newest(person)
    assert (reason(seen), seen.sender) == ("NO_CONSENT", BILL_ELSEWHERE.sender)
    assert await town.report(person, BILL) == "accepted"


async def test_as4g_the_same_data_for_enforcement_is_prohibited(town):
    person = await town.someone()
    await town.chooses(person, BILL, "JA")
    assert await town.report(person, Report(LAMPJE.oin, "handhaving")) == "doel_verboden"
    exchanges = (await town.record(person)).exchanges
    seen = next(one for one in exchanges if one.purpose == "handhaving")
    assert reason(seen) == "PURPOSE_PROHIBITED"


async def test_as4h_a_phone_call_to_who_never_wants_one_is_shown(town):
    person = await town.someone()
    await town.chooses(person, BILL, "JA")
    await town.prefers(person, **LETTER_NEVER_PHONE)
    await town.report(person, BILL)
    (delivery,) = (await town.collect())[person.ref]
    await town.did(delivery, channel="telefoon", offer="gesprek over de rekening", other_person=True)
    outcome = (await town.newest(person)).outcome
    assert outcome.deviation
    assert list(outcome.deviations) == [events_pb2.DEVIATION_NEVER_CHANNEL, events_pb2.DEVIATION_OTHER_PERSON]
    assert (outcome.offer, outcome.channel) == ("gesprek over de rekening", events_pb2.CHANNEL_TELEFOON)


async def test_a_letter_to_who_wants_letters_is_no_deviation(town):
    person = await town.someone()
    await town.chooses(person, BILL, "JA")
    await town.report(person, BILL)
    (delivery,) = (await town.collect())[person.ref]
    first = await town.did(delivery, channel="brief", offer="brief met informatie")
    seen = await town.newest(person)
    assert not seen.outcome.deviation
    assert seen.outcome_index == first


async def test_who_was_not_approached_at_all_was_not_approached_wrongly(town):
    person = await town.someone()
    await town.chooses(person, BILL, "JA")
    await town.prefers(person, channels=["email"], never=["brief"])
    await town.report(person, BILL)
    (delivery,) = (await town.collect())[person.ref]
    await town.did(delivery, channel="", offer="Niet opgepakt: herhaalde melding")
    seen = await town.newest(person)
    assert not seen.outcome.deviation
    assert seen.outcome_due_ms == 0


async def test_as5_a_pause_beats_every_consent_and_resuming_brings_them_back(town):
    person = await town.someone()
    reports = (BILL, BILL_ELSEWHERE, Report("00000099000000006001", "regelingen-bij-inkomensdaling"))
    for report in reports:
        await town.chooses(person, report, "JA")
    await town.pauses(person)
    for report in reports:
        assert await town.report(person, report) == "geen_toestemming"
        assert reason(await town.newest(person)) == "PAUSED"
    record = await town.record(person)
    assert record.paused_since_ms
    standing = [one for one in record.choices if not one.withdrawn_ms and one.valid_until_ms > town.clock()]
    assert {(one.scope.sender, one.scope.purpose) for one in standing} == {(r.sender, r.purpose) for r in reports}
    await town.resumes(person)
    assert not (await town.record(person)).paused_since_ms
    for report in reports:
        assert await town.report(person, report) == "accepted"

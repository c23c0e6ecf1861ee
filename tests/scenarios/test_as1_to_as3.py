"""AS1-AS3 over real gRPC: an income that falls, advertising, and guesses."""

import pytest

from consent_ledger.errors import RegieError
from gateway.town.participants import LAMPJE, TAX_OFFICE, WARMBRON, ZONNEVEEN
from tests.support.scenario import ARREARS, BILL, FALL, INCOME, Report, reason


async def test_as1a_no_choice_is_no(town):
    person = await town.someone()
    assert await town.report(person, FALL) == "geen_toestemming"
    seen = await town.newest(person)
    assert reason(seen) == "NO_CONSENT"
    assert seen.text.nl == "Tegengehouden. U heeft hierover nog niets gekozen."
    assert seen.text.en == "Blocked. You have not made a choice about this."
    assert person.ref not in await town.collect()


async def test_as1b_a_yes_shares_the_flag_and_the_band_and_nothing_else(town):
    person = await town.someone()
    await town.chooses(person, FALL, "JA", items=["inkomen_gedaald"])
    assert await town.report(person, FALL) == "accepted"
    (delivery,) = (await town.collect())[person.ref]
    assert delivery.values()["signal"] == {"type": "income_drop", "drop_band": "25-50", "period": "2026-Q1"}
    assert "Gedeeld. U gaf hiervoor toestemming op" in (await town.newest(person)).text.nl
    purpose = (await town.registry()).purpose(INCOME)
    assert purpose.not_shared.nl == "Niet gedeeld: hoe hoog uw inkomen is."


async def test_as1c_one_item_too_many_shares_nothing(town):
    person = await town.someone()
    await town.chooses(person, FALL, "JA")
    too_much = Report(TAX_OFFICE.oin, INCOME, items=("inkomen_gedaald", "inkomen_bedrag"))
    assert await town.report(person, too_much) == "gegevens_niet_toegestaan"
    seen = await town.newest(person)
    assert reason(seen) == "SCOPE_EXCEEDED"
    assert "vroeg meer gegevens dan u toestaat" in seen.text.nl
    assert person.ref not in await town.collect()


@pytest.mark.parametrize("sender", [LAMPJE.oin, TAX_OFFICE.oin])
async def test_as2a_advertising_is_refused_whatever_was_chosen(town, sender):
    person = await town.someone()
    await town.chooses(person, BILL, "JA")
    await town.chooses(person, FALL, "JA")
    forged = await town.chooses(person, Report(sender, "gerichte-advertentie", WARMBRON.oin), "JA")
    assert isinstance(forged, RegieError)
    assert forged.reason == "PURPOSE_PROHIBITED"
    shape = Report(sender, "gerichte-advertentie", WARMBRON.oin)
    row = town.row(person, FALL if sender == TAX_OFFICE.oin else BILL)
    assert await town.send([row], shape) == ["doel_verboden"]
    seen = next(one for one in (await town.record(person)).exchanges if one.purpose == "gerichte-advertentie")
    assert reason(seen) == "PURPOSE_PROHIBITED"
    assert seen.text.nl.startswith("Tegengehouden. Gegevens delen voor dit doel is verboden.")
    assert person.ref not in await town.collect(WARMBRON.oin)


async def test_as2b_there_is_nothing_to_allow_it_with(town):
    """Not by choice, not by another answer, not for another recipient; preferences and pauses say nothing of it."""
    person, registry = await town.someone(), await town.registry()
    for purpose in (one for one in registry.purposes if one.prohibited):
        assert purpose.prohibited_because.nl
        for answer in ("JA", "VRAAG_MIJ_EERST", "EERST_ZELF"):
            for recipient in (ZONNEVEEN.oin, WARMBRON.oin):
                result = await town.chooses(person, Report(LAMPJE.oin, purpose.id, recipient), answer)
                assert isinstance(result, RegieError), (purpose.id, answer)
                assert result.reason == "PURPOSE_PROHIBITED"


async def test_as3a_a_guess_is_prohibited_also_with_a_yes(town):
    person = await town.someone()
    await town.chooses(person, BILL, "JA")
    assert await town.report(person, Report(LAMPJE.oin, ARREARS, inferred=True)) == "doel_verboden"
    seen = await town.newest(person)
    assert reason(seen) == "PURPOSE_PROHIBITED"
    assert seen.released_index == 0
    assert person.ref not in await town.collect()
    assert await town.report(person, BILL) == "accepted"  # what was observed still goes


async def test_all_refusals_that_agencies_may_not_tell_apart_are_told_alike(town):
    """I7, over the wire: nothing chosen, no, stopped, ended, paused, general information only, asked too late."""
    nothing, no, stopped, paused, general = await town.people(5)
    await town.chooses(no, BILL, "NEE")
    await town.chooses(stopped, BILL, "JA")
    await town.withdraws(stopped, BILL)
    await town.chooses(paused, BILL, "JA")
    await town.pauses(paused)
    await town.chooses(general, BILL, "JA")
    await town.prefers(general, general_only=True)
    people = (nothing, no, stopped, paused, general)
    answers = await town.send([town.row(one, BILL) for one in people], BILL)
    assert set(answers) == {"geen_toestemming"}
    reasons = [reason(await town.newest(one)) for one in people]
    assert reasons == ["NO_CONSENT", "REFUSED", "WITHDRAWN", "PAUSED", "GENERAL_ONLY"]

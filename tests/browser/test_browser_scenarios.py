"""AS1-AS7 with everything served: agencies over real gRPC, residents and the desk with a real browser (R1-R9, R36, R37).

The same scenarios without a browser, and with every other answer: tests/scenarios. Each has people of its own.
"""

from __future__ import annotations

import pytest
import pytest_asyncio
from living import at_home, at_the_desk, code_for

from gateway.settings import Settings
from gateway.town.participants import LAMPJE, TAX_OFFICE, WARMBRON
from tests.support.scenario import BILL, BILL_ELSEWHERE, FALL, INCOME, Report, reason, served_town

pytestmark = pytest.mark.timeout(120)
VISITORS = (
    *("anna", "bas", "carla", "daan", "eva", "finn", "greet", "hans", "iris", "joep"),
    *("kees", "lotte", "mira", "noud", "pim", "quinn"),
)
FAST = Settings(publish_seconds=0.2)
"""What was recorded can be checked soon after."""
YES = {"antwoord": "ja", "maanden": "6"}
ADVERTISING = "gerichte-advertentie"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def town(tmp_path_factory):
    """At the end the log verifies, every decision is explained, and every receipt holds."""
    async with served_town(tmp_path_factory.mktemp("scenarios") / "home", FAST, visitors=VISITORS) as served:
        yield served
    served.check_everything()


async def test_as1_an_income_that_falls(town, open_window):
    person, too_much = town.visitors["anna"], ("inkomen_gedaald", "inkomen_bedrag")
    async with at_home(open_window, town, "anna") as anna:
        assert "Er wordt niets over u gedeeld." in await anna.read("/mijn")
        assert await town.report(person, FALL) == "geen_toestemming"
        assert "Tegengehouden. U heeft hierover nog niets gekozen." in await anna.newest()
        assert await anna.verdict() == "Klopt"

        await anna.choose(FALL, **YES)
        assert await town.report(person, FALL) == "accepted"
        (delivery,) = (await town.collect())[person.ref]
        assert delivery.values()["signal"] == {"type": "income_drop", "drop_band": "25-50", "period": "2026-Q1"}
        said = await anna.newest()
        assert "Gedeeld. U gaf hiervoor toestemming op" in said
        assert "Niet gedeeld: hoe hoog uw inkomen is." in said

        assert await town.report(person, Report(TAX_OFFICE.oin, INCOME, items=too_much)) == "gegevens_niet_toegestaan"
        said = await anna.newest()
        assert "vroeg meer gegevens dan u toestaat" in said
        assert await anna.verdict() == "Klopt"
    assert person.ref not in await town.collect()


async def test_as2_advertising_is_shown_as_stopped_and_can_be_allowed_nowhere(town, open_window):
    person = town.visitors["bas"]
    async with at_home(open_window, town, "bas") as bas:
        await bas.choose(BILL, **YES)
        shape = Report(LAMPJE.oin, ADVERTISING, WARMBRON.oin)
        assert await town.send([town.row(person, BILL)], shape) == ["doel_verboden"]
        assert "Tegengehouden. Gegevens delen voor dit doel is verboden. U hoeft niets te doen." in await bas.newest()
        assert await bas.page.locator("main a[href*='toestemmingen/nieuw']").count() == 0
        # Not among the purposes, not by its address, not by the form itself; and the help offers none of them either.
        for path in ("/mijn/toestemmingen/nieuw", f"/mijn/toestemmingen/nieuw?doel={ADVERTISING}", "/mijn/verandering"):
            await bas.read(path)
            assert await bas.page.locator(f"main input[value='{ADVERTISING}']:not([type=hidden])").count() == 0
            assert ADVERTISING not in await bas.page.locator("main").inner_html(), path
        fields = {"doel": ADVERTISING, "van": LAMPJE.oin, "naar": WARMBRON.oin, "vanaf": "0", **YES}
        await bas.send("/mijn/toestemmingen/nieuw", **fields)
        assert (await bas.send(f"/mijn/verandering/keuzes/{ADVERTISING}", **fields)).status == 404
    assert {one.scope.purpose for one in (await town.record(person)).choices} == {BILL.purpose}


async def test_as3_a_guess_is_stopped_also_with_a_yes(town, open_window):
    person = town.visitors["carla"]
    async with at_home(open_window, town, "carla") as carla:
        await carla.choose(BILL, **YES)
        assert await town.report(person, Report(LAMPJE.oin, BILL.purpose, inferred=True)) == "doel_verboden"
        assert "Tegengehouden." in await carla.newest()
        assert await carla.verdict() == "Klopt"
    assert person.ref not in await town.collect()


async def test_as4b_and_h_a_letter_and_never_the_phone(town, open_window):
    person = town.visitors["daan"]
    async with at_home(open_window, town, "daan") as daan:
        await daan.choose(BILL, **YES)
        await daan.read("/mijn/contact/kanalen")
        await daan.page.select_option("main select[name=eerst]", "1")
        await daan.tick("nooit", "3")
        await daan.press("form.form button[type=submit]")
        await daan.read("/mijn/contact/wie")
        await daan.tick("persoon", "ja")
        await daan.tick("samen", "nee")
        await daan.press("form.form button[type=submit]")
        assert await town.report(person, BILL) == "accepted"
        (delivery,) = (await town.collect())[person.ref]
        wishes = delivery.values()["preferences"]
        assert (wishes["channels"], wishes["never"], wishes["same_person"]) == (["brief"], ["telefoon"], True)
        await town.did(delivery, channel="telefoon", offer="gesprek over de rekening")
        assert "gesprek over de rekening" in await daan.newest()
        # Beside what the device finds, which may be that it cannot tell yet.
        assert await daan.page.locator("main .notice.let_op:not(#controle-uitslag *)").count() == 1


@pytest.mark.parametrize(("who", "said"), [("eva", "ja"), ("finn", "nee")])
async def test_as4c_the_question_is_answered_in_the_browser(town, open_window, who, said):
    person = town.visitors[who]
    async with at_home(open_window, town, who, java_script_enabled=who == "eva") as asked:
        await asked.choose(BILL, antwoord="vraag", maanden="6")
        row = town.row(person, BILL)
        assert await town.send([row], BILL) == ["later_opnieuw"]
        assert person.ref not in await town.collect()
        await asked.read("/mijn")
        await asked.press(".card.attention a")
        if "/antwoord/" not in asked.page.url:
            await asked.press("a[href*='/mijn/vragen/antwoord/']")
        await asked.press(f"button[name=antwoord][value={said}]")
        assert await asked.page.locator("main .notice.ok").count() == 1
        again = await town.send([row], BILL, retry_later=True)
        received = await town.collect()
        if said == "ja":
            assert again == ["accepted"]
            assert person.ref in received
            assert "Gedeeld. U gaf hiervoor toestemming op" in await asked.newest()
        else:
            assert again == ["geen_toestemming"]
            assert person.ref not in received
            assert "Tegengehouden. U koos 'nee' op" in await asked.newest()


async def test_as4d_who_solves_it_alone_reads_that_nothing_was_shared(town, open_window):
    person = town.visitors["greet"]
    async with at_home(open_window, town, "greet") as greet:
        await greet.choose(BILL, antwoord="zelf", maanden="6")
    row = town.row(person, BILL)
    assert await town.send([row], BILL) == ["later_opnieuw"]
    town.clock.forward(days=15)
    assert (
        await town.send([], BILL, retry_later=True) == []
    )  # the bill is paid: it is not in the sender's file any more
    town.clock.forward(days=15)
    assert person.ref not in await town.collect()
    async with at_home(open_window, town, "greet") as greet:
        assert "U loste het zelf op. Er is niets gedeeld." in await greet.newest()


async def test_as4e_withdrawn_on_the_way(town, open_window):
    person = town.visitors["hans"]
    async with at_home(open_window, town, "hans", java_script_enabled=False) as hans:
        await hans.choose(BILL, **YES)
        assert await town.report(person, BILL) == "accepted"
        await hans.read("/mijn/toestemmingen")
        await hans.press("article a[href*='/mijn/toestemmingen/']")
        assert "gestopt" in (await hans.press("button[name=doe][value=stop]")).lower()
        assert person.ref not in await town.collect()
        assert "Alsnog tegengehouden, voordat het werd afgeleverd. U stopte dit op" in await hans.newest()
        assert await town.report(person, BILL) == "geen_toestemming"
        assert "Tegengehouden. U stopte dit op" in await hans.newest()


async def test_as4f_and_g_a_yes_is_for_one_supplier_and_one_purpose(town, open_window):
    person = town.visitors["iris"]
    async with at_home(open_window, town, "iris") as iris:
        await iris.choose(BILL, **YES)
        assert await town.report(person, BILL_ELSEWHERE) == "geen_toestemming"
        assert "Tegengehouden. U heeft hierover nog niets gekozen." in await iris.newest()
        assert await town.report(person, Report(LAMPJE.oin, "handhaving")) == "doel_verboden"
        assert "verboden" in await iris.newest()
        assert await town.report(person, BILL) == "accepted"


async def test_as5_one_button_stops_three_and_lists_three(town, open_window):
    person, reports = town.visitors["joep"], (BILL, BILL_ELSEWHERE, FALL)
    async with at_home(open_window, town, "joep") as joep:
        for report in reports:
            await joep.choose(report, **YES)
        async with joep.page.expect_navigation():
            await joep.page.click("header form.pause button")
        assert joep.page.url.endswith("/nl/mijn/pauze")
        for report in reports:
            assert await town.report(person, report) == "geen_toestemming"
        assert [reason(one) for one in (await town.record(person)).exchanges] == ["PAUSED"] * 3
        assert "U heeft alles op pauze gezet." in await joep.newest()
        await joep.read("/mijn/pauze")
        listed = joep.page.locator("main ul.cards").first.locator("article")
        assert await listed.count() == 3, "what becomes active again, before one resumes"
        await joep.press("button[name=doe][value=hervat]")
        for report in reports:
            assert await town.report(person, report) == "accepted"


async def test_somebody_elses_pages_are_not_there(town, open_window):
    """With the address of Anna's own page in hand: her neighbour finds none, a stranger the login page, staff nothing.

    Every route as every role: tests/unit/viewer/test_viewer_roles.py.
    """
    await town.report(town.visitors["pim"], BILL)
    index = (await town.newest(town.visitors["pim"])).log_index
    own = f"/mijn/uitwisselingen/{index}"
    async with at_home(open_window, town, "pim") as pim:
        assert "Tegengehouden" in await pim.read(own)
    async with at_home(open_window, town, "quinn", quiet=False) as quinn:
        for path in (own, f"{own}/bewijs", f"/mijn/toestemmingen/{index}", f"/mijn/vragen/nieuw?over={index}"):
            assert "Niet gevonden" in await quinn.read(path)
            assert "Tegengehouden" not in await quinn.text()
        assert "Niet gevonden" in await quinn.read("/balie/zaak")
    origin = town.home.viewer["origin"]
    async with open_window(origin) as stranger:
        await stranger.go(f"{origin}/nl{own}")
        assert "/nl/inloggen?naar=" in stranger.page.url
    async with at_the_desk(open_window, town, "quinn", quiet=False) as desk:
        assert "Niet gevonden" in await desk.read(own)
        assert "Niet gevonden" in await desk.read(f"/balie/zaak/brief/{index}")


async def at_the_last_screen(desk) -> dict[str, str]:
    """Staff fills in a yes; what the last screen would send."""
    await desk.press("a[href*='/balie/zaak/keuze']")
    answers = {"doel": FALL.purpose, "van": FALL.sender, "aan": FALL.recipient, **YES}
    while (name := await desk.asked()) in answers:
        await desk.tick(name, answers[name])
        await desk.press("form.form button[type=submit]")
    return answers


async def test_as6_no_yes_at_the_desk_without_the_resident(town, open_window):
    person = town.visitors["kees"]
    async with at_the_desk(open_window, town, "kees", quiet=False) as desk:
        answers = await at_the_last_screen(desk)
        assert await desk.page.locator("main input[name=code]").count() == 0
        sending = desk.page.locator("main form.form")
        assert await sending.count() == 1, "the only thing to do is to send the resident a code"
        assert (await sending.get_attribute("action") or "").endswith("/balie/zaak/code")
        for code in ({}, {"code": "AAAA BBBB"}):
            answer = await desk.send("/balie/zaak/keuze", **answers, **code)
            assert answer.status == 422
            assert "Zonder de goede code kan dit niet." in await answer.text()
    assert list((await town.record(person)).choices) == []
    assert await town.report(person, FALL) == "geen_toestemming"
    async with at_home(open_window, town, "kees") as kees:
        assert "Toestemming geven. U was er niet bij" in await kees.read("/mijn/ingezien")


async def with_code(town, open_window, who: str) -> None:
    """Somebody says yes at the desk, with the code that came on their phone; and gets a letter along."""
    async with at_the_desk(open_window, town, who) as desk:
        await at_the_last_screen(desk)
        await desk.tick("kanaal", "1")
        await desk.page.fill("main input[name=bsn]", town.visitors[who].login["bsn"])
        shown = await desk.press("form.form button[type=submit]")
        code = code_for(town, who)
        assert code not in shown
        await desk.page.fill("main input[name=code]", code)
        letter = await desk.press("form.form:has(input[name=code]) button[type=submit]")
        assert "Dat gebeurde aan de balie." in letter
        assert "Knip dit uit" in letter


@pytest.mark.parametrize(("who", "how"), [("lotte", "confirmed"), ("mira", "after seven days")])
async def test_as7_a_yes_at_the_desk_counts_once_confirmed_or_after_seven_days(town, open_window, who, how):
    person = town.visitors[who]
    await with_code(town, open_window, who)
    assert await town.report(person, FALL) == "geen_toestemming"
    assert reason(await town.newest(person)) == "NOT_YET_VALID"
    if how == "confirmed":
        async with at_home(open_window, town, who) as resident:
            assert "balie" in await resident.read("/mijn/vragen")
            await resident.press("a[href*='/mijn/vragen/bevestigen/']")
            await resident.press("button[name=antwoord][value=ja]")
            assert await resident.page.locator("main .notice.ok").count() == 1
    else:
        town.clock.forward(days=7.01)
    assert await town.report(person, FALL) == "accepted"
    assert person.ref in await town.collect()


async def test_a_no_in_the_browser_is_a_no_everywhere(town, open_window):
    """R8: as many screens as a yes at most, and nobody is asked again."""
    person = town.visitors["noud"]
    async with at_home(open_window, town, "noud", java_script_enabled=False) as noud:
        await noud.choose(BILL, antwoord="nee")
        assert await town.report(person, BILL) == "geen_toestemming"
        assert "Tegengehouden. U koos 'nee' op" in await noud.newest()

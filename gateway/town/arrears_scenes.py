"""Scenes AS4a to AS4g of the acceptance scenarios (an energy bill), and two more answers a resident can give."""

from __future__ import annotations

from gateway.town.generator import ARREARS_PURPOSE
from gateway.town.participants import LAMPJE, STROOMTUIN, ZONNEVEEN
from gateway.town.story import Check, Play, Received, Report, Scene, Stage, Words

BILL = Report(LAMPJE, ARREARS_PURPOSE, ZONNEVEEN)
BILL_ELSEWHERE = Report(STROOMTUIN, ARREARS_PURPOSE, ZONNEVEEN)
ENFORCEMENT = Report(LAMPJE, "handhaving", ZONNEVEEN)


def _refs(received: list[Received]) -> list[str | None]:
    return [one.resident_ref for one in received]


async def no_choice_yet(stage: Stage) -> Scene:
    """AS4a: without a choice nothing is shared."""
    els = stage.person("Els")
    answer = await stage.report_arrears(els, BILL)
    seen = await stage.newest(els, ARREARS_PURPOSE)
    return Scene(
        "AS4a",
        Words("Els heeft een open rekening. Zij koos nog niets.", "Els has an open bill. She has not chosen yet."),
        [Words("Er gaat niets naar de gemeente.", "Nothing goes to the municipality.")],
        answer,
        seen.words,
        [Check("reason", "NO_CONSENT", seen.reason), Check("answer", "geen_toestemming", answer)],
    )


async def preferences_travel_along(stage: Stage) -> Scene:
    """AS4b: with a yes the signal arrives, with how the resident wants to be approached."""
    fatima = stage.person("Fatima")
    await stage.choose(fatima, BILL, "JA")
    await stage.prefer(
        fatima,
        ARREARS_PURPOSE,
        {"channels": ["brief"], "never": ["telefoon"], "same_person": True, "language": "nl"},
    )
    answer = await stage.report_arrears(fatima, BILL)
    received = await stage.collect(ZONNEVEEN)
    seen = await stage.newest(fatima, ARREARS_PURPOSE)
    preferences = received[0].preferences if received else {}
    return Scene(
        "AS4b",
        Words("Fatima zegt ja. Bel niet, stuur een brief.", "Fatima says yes. Do not phone, write a letter."),
        [
            Words(
                "De gemeente krijgt het signaal en leest: brief, nooit bellen, steeds dezelfde persoon.",
                "The municipality gets the signal and reads: letter, never phone, always the same person.",
            )
        ],
        answer,
        seen.words,
        [
            Check("reason", "ALLOWED", seen.reason),
            Check("who", [fatima.resident.ref], _refs(received)),
            Check("channels", ["brief"], preferences.get("channels")),
            Check("never", ["telefoon"], preferences.get("never")),
            Check("same person", True, preferences.get("same_person")),
        ],
    )


async def asked_first_and_yes(stage: Stage) -> Scene:
    """AS4c: asked first; after a yes the next report goes through."""
    gijs = stage.person("Gijs")
    await stage.choose(gijs, BILL, "VRAAG_MIJ_EERST")
    first = await stage.report_arrears(gijs, BILL)
    asked = await stage.newest(gijs, ARREARS_PURPOSE)
    await stage.answer_question(gijs, BILL, yes=True)
    answer = await stage.report_arrears(gijs, BILL)
    received = await stage.collect(ZONNEVEEN)
    seen = await stage.newest(gijs, ARREARS_PURPOSE)
    return Scene(
        "AS4c",
        Words("Gijs wil elke keer eerst een vraag.", "Gijs wants to be asked each time."),
        [
            asked.words,
            Words("Gijs zegt ja. Het bedrijf meldt het opnieuw.", "Gijs says yes. The company reports again."),
        ],
        answer,
        seen.words,
        [
            Check("first answer", "later_opnieuw", first),
            Check("first reason", "AWAITING_RESIDENT", asked.reason),
            Check("reason", "ALLOWED", seen.reason),
            Check("who", [gijs.resident.ref], _refs(received)),
        ],
    )


async def asked_first_and_silent(stage: Stage) -> Scene:
    """AS4c, first half: the question waits; its end is told two weeks later."""
    hanna = stage.person("Hanna")
    await stage.choose(hanna, BILL, "VRAAG_MIJ_EERST")
    answer = await stage.report_arrears(hanna, BILL)
    seen = await stage.newest(hanna, ARREARS_PURPOSE)
    return Scene(
        "AS4c",
        Words("Hanna ook. Zij laat de vraag liggen.", "So does Hanna. She leaves the question open."),
        [Words("Geen reactie is nee: zie over twee weken.", "No answer means no: see in two weeks.")],
        answer,
        seen.words,
        [Check("reason", "AWAITING_RESIDENT", seen.reason), Check("answer", "later_opnieuw", answer)],
    )


async def first_by_herself(stage: Stage) -> Scene:
    """AS4d, first half: two residents want to solve it themselves first."""
    ivo, jolanda = stage.person("Ivo"), stage.person("Jolanda")
    reasons = []
    for person in (ivo, jolanda):
        await stage.choose(person, BILL, "EERST_ZELF")
        answer = await stage.report_arrears(person, BILL)
        reasons.append((await stage.newest(person, ARREARS_PURPOSE)).reason)
    seen = await stage.newest(ivo, ARREARS_PURPOSE)
    return Scene(
        "AS4d",
        Words("Ivo en Jolanda willen het eerst zelf proberen.", "Ivo and Jolanda want to try it themselves first."),
        [Words("Zij krijgen twee weken. Er is nog niets gedeeld.", "They get two weeks. Nothing is shared yet.")],
        answer,
        seen.words,
        [
            Check("reasons", ["SELF_FIRST_WINDOW"] * 2, reasons),
            Check("answer", "later_opnieuw", answer),
            Check("delivered", 0, len(await stage.collect(ZONNEVEEN))),
        ],
    )


async def stopped_in_time(stage: Stage) -> Scene:
    """AS4e: a consent withdrawn between decision and delivery stops the delivery."""
    karim = stage.person("Karim")
    await stage.choose(karim, BILL, "JA")
    answer = await stage.report_arrears(karim, BILL)
    await stage.withdraw(karim, BILL)
    received = await stage.collect(ZONNEVEEN)
    stopped = await stage.newest(karim, ARREARS_PURPOSE)
    again = await stage.report_arrears(karim, BILL)
    seen = await stage.newest(karim, ARREARS_PURPOSE)
    return Scene(
        "AS4e",
        Words("Karim zei ja, en stopt net op tijd.", "Karim said yes, and stops just in time."),
        [
            Words(
                "Het signaal was al onderweg. Bij het afleveren kijkt het register opnieuw, en houdt het tegen.",
                "The signal was on its way. At delivery the ledger looks again, and stops it.",
            )
        ],
        answer,
        seen.words,
        [
            Check("answer", "accepted", answer),
            Check("released", False, stopped.released),
            Check("stopped at delivery", "WITHDRAWN", stopped.withheld),
            Check("delivered", 0, len(received)),
            Check("reason of the next report", "WITHDRAWN", seen.reason),
            Check("answer to the next report", "geen_toestemming", again),
        ],
    )


async def another_supplier(stage: Stage) -> Scene:
    """AS4f: a consent for one supplier does not serve another."""
    lotte = stage.person("Lotte")
    await stage.choose(lotte, BILL, "JA")
    answer = await stage.report_arrears(lotte, BILL_ELSEWHERE)
    seen = await stage.newest(lotte, ARREARS_PURPOSE)
    return Scene(
        "AS4f",
        Words("Lotte zei ja tegen Lampje. Stroomtuin meldt ook.", "Lotte said yes to Lampje. Stroomtuin reports too."),
        [Words("Een ja geldt voor één bedrijf.", "A yes counts for one company.")],
        answer,
        seen.words,
        [Check("reason", "NO_CONSENT", seen.reason), Check("answer", "geen_toestemming", answer)],
    )


async def for_enforcement(stage: Stage) -> Scene:
    """AS4g: the same data for another purpose."""
    lotte = stage.person("Lotte")
    answer = await stage.report_arrears(lotte, ENFORCEMENT)
    seen = await stage.newest(lotte, ENFORCEMENT.purpose)
    return Scene(
        "AS4g",
        Words("Dezelfde gegevens, nu om Lotte te controleren.", "The same data, now to check on Lotte."),
        [Words("Hulp is geen controle. Dit doel is verboden.", "Help is not a check. This purpose is not allowed.")],
        answer,
        seen.words,
        [Check("reason", "PURPOSE_PROHIBITED", seen.reason), Check("answer", "doel_verboden", answer)],
    )


async def everything_paused(stage: Stage) -> Scene:
    """R7: a pause beats every consent."""
    milan = stage.person("Milan")
    await stage.choose(milan, BILL, "JA")
    await stage.pause(milan, ARREARS_PURPOSE)
    answer = await stage.report_arrears(milan, BILL)
    seen = await stage.newest(milan, ARREARS_PURPOSE)
    return Scene(
        "R7",
        Words("Milan zei ja, en zet alles op pauze.", "Milan said yes, and pauses everything."),
        [Words("De pauze gaat voor.", "The pause comes first.")],
        answer,
        seen.words,
        [Check("reason", "PAUSED", seen.reason), Check("answer", "geen_toestemming", answer)],
    )


async def general_information_only(stage: Stage) -> Scene:
    """R28: only general information means no signal about this resident."""
    noor = stage.person("Noor")
    await stage.choose(noor, BILL, "JA")
    await stage.prefer(noor, ARREARS_PURPOSE, {"general_only": True})
    answer = await stage.report_arrears(noor, BILL)
    seen = await stage.newest(noor, ARREARS_PURPOSE)
    return Scene(
        "R28",
        Words("Noor wil alleen algemene informatie.", "Noor wants general information only."),
        [Words("Dan is er geen signaal over haar.", "Then there is no signal about her.")],
        answer,
        seen.words,
        [Check("reason", "GENERAL_ONLY", seen.reason), Check("answer", "geen_toestemming", answer)],
    )


async def silence_is_no(stage: Stage) -> Scene:
    """AS4c, second half: two weeks of silence are a no."""
    hanna = stage.person("Hanna")
    answer = await stage.report_arrears(hanna, BILL)
    seen = await stage.newest(hanna, ARREARS_PURPOSE)
    return Scene(
        "AS4c",
        Words(
            "Hanna gaf geen antwoord. Het bedrijf meldt opnieuw.", "Hanna did not answer. The company reports again."
        ),
        [Words("Geen reactie is nee.", "No answer means no.")],
        answer,
        seen.words,
        [Check("reason", "REFUSED", seen.reason), Check("answer", "geen_toestemming", answer)],
    )


async def solved_by_himself(stage: Stage) -> Scene:
    """AS4d: the sender does not report again, so nothing is ever delivered."""
    ivo = stage.person("Ivo")
    received = await stage.collect(ZONNEVEEN)
    seen = await stage.newest(ivo, ARREARS_PURPOSE)
    return Scene(
        "AS4d",
        Words("Ivo betaalde. Het bedrijf meldt niets meer.", "Ivo paid. The company reports nothing more."),
        [Words("U loste het zelf op. Er is niets gedeeld.", "You solved it yourself. Nothing was shared.")],
        "",
        None,
        [
            Check("reason", "SELF_FIRST_WINDOW", seen.reason),
            Check("released", False, seen.released),
            Check("delivered", False, ivo.resident.ref in _refs(received)),
        ],
    )


async def still_needs_help(stage: Stage) -> Scene:
    """AS4d: the sender still reports it after the two weeks, so the resident gets the help she asked for."""
    jolanda = stage.person("Jolanda")
    answer = await stage.report_arrears(jolanda, BILL)
    received = await stage.collect(ZONNEVEEN)
    seen = await stage.newest(jolanda, ARREARS_PURPOSE)
    return Scene(
        "AS4d",
        Words("Jolanda kwam er niet uit. Het bedrijf meldt opnieuw.", "Jolanda did not manage. It reports again."),
        [Words("De gemeente biedt nu hulp aan.", "The municipality now offers help.")],
        answer,
        seen.words,
        [
            Check("reason", "ALLOWED", seen.reason),
            Check("answer", "accepted", answer),
            Check("delivered", True, jolanda.resident.ref in _refs(received)),
        ],
    )


ARREARS_SCENES: tuple[Play, ...] = (
    no_choice_yet,
    preferences_travel_along,
    asked_first_and_yes,
    asked_first_and_silent,
    first_by_herself,
    stopped_in_time,
    another_supplier,
    for_enforcement,
    everything_paused,
    general_information_only,
)
TWO_WEEKS_LATER: tuple[Play, ...] = (silence_is_no, solved_by_himself, still_needs_help)

"""Petra, as whom one logs in first: two months in which everything happens that a resident may find on these pages."""

from __future__ import annotations

from gateway.town.generator import ARREARS_PURPOSE, INCOME_PURPOSE
from gateway.town.participants import LAMPJE, STROOMTUIN, TAX_OFFICE, WARMBRON, ZONNEVEEN
from gateway.town.story import Check, Play, Report, Scene, Stage, Words

NAME, HELPER = "Petra", "hulp-van-petra"
BILL = Report(LAMPJE, ARREARS_PURPOSE, ZONNEVEEN)
GAS = Report(WARMBRON, ARREARS_PURPOSE, ZONNEVEEN)
POWER = Report(STROOMTUIN, ARREARS_PURPOSE, ZONNEVEEN)
INCOME = Report(TAX_OFFICE, INCOME_PURPOSE, ZONNEVEEN)
ENFORCEMENT = Report(LAMPJE, "handhaving", ZONNEVEEN)


async def phoned_all_the_same(stage: Stage) -> Scene:
    """AS4h: she never wants to be phoned, and is: what the municipality says it did is held against what she asked."""
    petra = stage.person(NAME)
    await stage.choose(petra, BILL, "JA", "3")
    wishes: dict[str, object] = {"channels": ["brief", "email"], "never": ["telefoon"], "same_person": True}
    await stage.prefer(petra, ARREARS_PURPOSE, wishes)
    answer = await stage.report_arrears(petra, BILL)
    received = await stage.collect(ZONNEVEEN)
    for one in received:
        await stage.say_what_was_done(ZONNEVEEN, one, "Gesprek over betalen in delen", "telefoon")
    seen = await stage.newest(petra, ARREARS_PURPOSE)
    return Scene(
        "AS4h",
        Words("Petra zegt ja, en: bel mij nooit. De gemeente belt.", "Petra says yes, and: never phone. It phones."),
        [Words("Dat staat nu op haar pagina, en iedereen ziet het.", "Her page shows that now, for all to see.")],
        answer,
        seen.words,
        [
            Check("reason", "ALLOWED", seen.reason),
            Check("delivered", [petra.resident.ref], [one.resident_ref for one in received]),
            Check("otherwise than asked", True, seen.deviates),
        ],
    )


async def shared_and_then_no(stage: Stage) -> Scene:
    """R5: a no after the delivery tells the municipality to stop using it."""
    petra = stage.person(NAME)
    await stage.choose(petra, GAS, "JA")
    await stage.report_arrears(petra, GAS)
    await stage.collect(ZONNEVEEN)
    await stage.choose(petra, GAS, "NEE")
    notices = await stage.stop_using(ZONNEVEEN)
    answer = await stage.report_arrears(petra, GAS)
    seen = await stage.newest(petra, ARREARS_PURPOSE)
    return Scene(
        "R5",
        Words("Petra zei ja tegen Warmbron, en later nee.", "Petra said yes to Warmbron, and later no."),
        [Words("De gemeente hoort: gebruik het niet meer. Zij wist het.", "The municipality is told, and deletes it.")],
        answer,
        seen.words,
        [
            Check("notices", 1, notices),
            Check("reason", "REFUSED", seen.reason),
            Check("answer", "geen_toestemming", answer),
        ],
    )


async def on_her_own(stage: Stage) -> Scene:
    """AS4d: she tries it herself, and nobody reports it again."""
    petra = stage.person(NAME)
    await stage.choose(petra, INCOME, "EERST_ZELF")
    answer = await stage.report_income(petra, INCOME)
    seen = await stage.newest(petra, INCOME_PURPOSE)
    return Scene(
        "AS4d",
        Words("Haar inkomen daalt. Petra wil het eerst zelf proberen.", "Her income falls. She tries it herself."),
        [Words("U loste het zelf op. Er is niets gedeeld.", "You solved it yourself. Nothing was shared.")],
        answer,
        seen.words,
        [Check("reason", "SELF_FIRST_WINDOW", seen.reason), Check("answer", "later_opnieuw", answer)],
    )


async def a_question_to_the_municipality(stage: Stage) -> Scene:
    """R21: a question with a reference and a date, answered by a person."""
    petra = stage.person(NAME)
    await stage.ask(petra, BILL, "Wie heeft mij gebeld, en waarom?")
    answered = await stage.answer_questions(
        ZONNEVEEN, "Dat was onze fout. U krijgt voortaan een brief, van Samira van het wijkteam."
    )
    return Scene(
        "R21",
        Words("Petra vraagt de gemeente waarom zij is gebeld.", "Petra asks the municipality why she was phoned."),
        [Words("Zij krijgt antwoord. Het register kan het niet lezen.", "It answers. The ledger cannot read that.")],
        "",
        None,
        [Check("answered", 1, answered)],
    )


async def a_question_that_waits(stage: Stage) -> Scene:
    """AS4c: the question that is open when one logs in."""
    petra = stage.person(NAME)
    await stage.choose(petra, POWER, "VRAAG_MIJ_EERST")
    answer = await stage.report_arrears(petra, POWER)
    seen = await stage.newest(petra, ARREARS_PURPOSE)
    await stage.ask(petra, BILL, "Wanneer hoor ik iets over betalen in delen?")
    return Scene(
        "AS4c",
        Words("Stroomtuin meldt een rekening. Petra wil eerst een vraag.", "Stroomtuin reports. She is asked first."),
        [Words("De vraag wacht op haar. U kunt als Petra inloggen.", "It waits for her. You can log in as Petra.")],
        answer,
        seen.words,
        [Check("reason", "AWAITING_RESIDENT", seen.reason), Check("answer", "later_opnieuw", answer)],
    )


async def to_check_on_her(stage: Stage) -> Scene:
    """AS4g: a prohibited attempt, shown as protection."""
    petra = stage.person(NAME)
    answer = await stage.report_arrears(petra, ENFORCEMENT)
    seen = await stage.newest(petra, ENFORCEMENT.purpose)
    return Scene(
        "AS4g",
        Words("Iemand wil haar gegevens om haar te controleren.", "Somebody wants her data to check on her."),
        [Words("Dat is verboden, en Petra ziet dat het is geprobeerd.", "Not allowed, and she sees the attempt.")],
        answer,
        seen.words,
        [Check("reason", "PURPOSE_PROHIBITED", seen.reason), Check("answer", "doel_verboden", answer)],
    )


async def a_helper(stage: Stage) -> Scene:
    """R38: somebody helps, with a login of their own."""
    petra = stage.person(NAME)
    await stage.invite_helper(petra, HELPER)
    answer = await stage.report_arrears(petra, BILL)
    received = await stage.collect(ZONNEVEEN)
    seen = await stage.newest(petra, ARREARS_PURPOSE)
    return Scene(
        "R38",
        Words("Een vriend helpt Petra, met een eigen login.", "A friend helps Petra, with a login of their own."),
        [Words("Hij mag meekijken en stoppen, en Petra ziet dat.", "They may look and stop, and Petra sees that.")],
        answer,
        seen.words,
        [
            Check("reason", "ALLOWED", seen.reason),
            Check("delivered", True, petra.resident.ref in [one.resident_ref for one in received]),
        ],
    )


TWO_MONTHS_AGO: tuple[Play, ...] = (
    phoned_all_the_same,
    shared_and_then_no,
    on_her_own,
    a_question_to_the_municipality,
)
THIS_WEEK: tuple[Play, ...] = (a_helper, to_check_on_her, a_question_that_waits)

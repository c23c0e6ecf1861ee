"""Scenes AS1 to AS3 of the acceptance scenarios: an income that fell, advertising, and guesses."""

from __future__ import annotations

from gateway.town.generator import ARREARS_PURPOSE, INCOME_ITEM, INCOME_PURPOSE
from gateway.town.participants import LAMPJE, TAX_OFFICE, WARMBRON, ZONNEVEEN
from gateway.town.story import Check, Play, Report, Scene, Stage, Words

INCOME = Report(TAX_OFFICE, INCOME_PURPOSE, ZONNEVEEN)
INCOME_AMOUNT = Report(TAX_OFFICE, INCOME_PURPOSE, ZONNEVEEN, items=(INCOME_ITEM, "inkomen_bedrag"))
ADVERTISING = Report(LAMPJE, "gerichte-advertentie", WARMBRON)
GUESS = Report(LAMPJE, ARREARS_PURPOSE, ZONNEVEEN, inferred=True)


async def no_choice_yet(stage: Stage) -> Scene:
    """AS1a: without a choice nothing is shared."""
    anna = stage.person("Anna")
    answer = await stage.report_income(anna, INCOME)
    seen = await stage.newest(anna, INCOME_PURPOSE)
    return Scene(
        "AS1a",
        Words("Anna's inkomen daalt. Zij koos nog niets.", "Anna's income falls. She has not chosen anything yet."),
        [Words("Er gaat niets naar de gemeente.", "Nothing goes to the municipality.")],
        answer,
        seen.words,
        [Check("reason", "NO_CONSENT", seen.reason), Check("answer", "geen_toestemming", answer)],
    )


async def a_flag_and_a_band(stage: Stage) -> Scene:
    """AS1b: with a yes the municipality gets the flag and the band, and nothing else."""
    bram = stage.person("Bram")
    await stage.choose(bram, INCOME, "JA")
    answer = await stage.report_income(bram, INCOME)
    received = await stage.collect(ZONNEVEEN)
    seen = await stage.newest(bram, INCOME_PURPOSE)
    signal = received[0].signal if received else {}
    return Scene(
        "AS1b",
        Words("Bram zegt ja. Zijn inkomen daalt.", "Bram says yes. His income falls."),
        [
            Words(
                "De gemeente weet nu dat zijn inkomen daalde, en ongeveer hoeveel.",
                "The municipality now knows that his income fell, and roughly by how much.",
            ),
            Words("Niet gedeeld: hoe hoog uw inkomen is.", "Not shared: how high your income is."),
        ],
        answer,
        seen.words,
        [
            Check("reason", "ALLOWED", seen.reason),
            Check("who", [bram.resident.ref], [one.resident_ref for one in received]),
            Check("what", {"type", "drop_band", "period"}, set(signal)),
        ],
    )


async def more_than_allowed(stage: Stage) -> Scene:
    """AS1c: one item too many refuses the whole signal."""
    bram = stage.person("Bram")
    answer = await stage.report_income(bram, INCOME_AMOUNT)
    seen = await stage.newest(bram, INCOME_PURPOSE)
    received = await stage.collect(ZONNEVEEN)
    return Scene(
        "AS1c",
        Words("De zender wil ook het bedrag sturen.", "The sender wants to send the amount as well."),
        [Words("Dan gaat er niets door, ook de rest niet.", "Then nothing goes through, not even the rest.")],
        answer,
        seen.words,
        [
            Check("reason", "SCOPE_EXCEEDED", seen.reason),
            Check("answer", "gegevens_niet_toegestaan", answer),
            Check("delivered", 0, len(received)),
        ],
    )


async def advertising(stage: Stage) -> Scene:
    """AS2a: a prohibited purpose is refused, whatever somebody claims to have been told."""
    carmen = stage.person("Carmen")
    claimed = await stage.choose(carmen, ADVERTISING, "JA")
    answer = await stage.report_arrears(carmen, ADVERTISING)
    seen = await stage.newest(carmen, ADVERTISING.purpose)
    return Scene(
        "AS2a",
        Words("Een bedrijf wil Carmen reclame sturen.", "A company wants to send Carmen advertising."),
        [
            Words(
                "Het bedrijf zegt dat zij ja zei. Dat helpt niet: dit doel is verboden.",
                "The company says that she said yes. That does not help: this purpose is not allowed.",
            )
        ],
        answer,
        seen.words,
        [
            Check("reason", "PURPOSE_PROHIBITED", seen.reason),
            Check("answer", "doel_verboden", answer),
            Check("consent", "PURPOSE_PROHIBITED", claimed),
        ],
    )


async def no_control_for_it(stage: Stage) -> Scene:
    """AS2b: a consent for a prohibited purpose cannot be recorded, by anybody."""
    carmen, before = stage.person("Carmen"), await stage.log_size()
    prohibited = ("gerichte-advertentie", "handhaving", "fraudeopsporing", "incasso", "profilering")
    answers = [await stage.choose(carmen, Report(LAMPJE, purpose, ZONNEVEEN), "JA") for purpose in prohibited]
    return Scene(
        "AS2b",
        Words("Kan Carmen het zelf toestaan?", "Could Carmen allow it herself?"),
        [
            Words(
                "Nee. Voor de vijf verboden doelen neemt het register geen toestemming aan.",
                "No. For the five prohibited purposes the ledger takes no consent.",
            )
        ],
        "",
        None,
        [
            Check("refused, each of the five", {"PURPOSE_PROHIBITED"}, set(answers)),
            Check("entries in the log", before, await stage.log_size()),
        ],
    )


async def a_guess(stage: Stage) -> Scene:
    """AS3a: only what the sender saw itself may be shared, whatever the resident chose."""
    daan = stage.person("Daan")
    await stage.choose(daan, GUESS, "JA")
    answer = await stage.report_arrears(daan, GUESS)
    seen = await stage.newest(daan, GUESS.purpose)
    return Scene(
        "AS3a",
        Words("Een bedrijf raadt dat Daan moeilijk rondkomt.", "A company guesses that Daan struggles to get by."),
        [
            Words(
                "Raden mag niet, ook niet na een ja. Alleen wat een bedrijf zelf ziet, telt.",
                "Guessing is not allowed, not even after a yes. Only what a company sees itself counts.",
            )
        ],
        answer,
        seen.words,
        [Check("reason", "PURPOSE_PROHIBITED", seen.reason), Check("answer", "doel_verboden", answer)],
    )


async def inside_a_company(stage: Stage) -> Scene:
    """AS3b: what a company does with its own data does not pass here, and is not promised."""
    before = await stage.log_size()
    return Scene(
        "AS3b",
        Words("Het bedrijf gebruikt dit binnen het eigen bedrijf.", "The company uses it inside the company."),
        [
            Words(
                "Dat gaat niet via Regie. Regie ziet het niet en kan het niet stoppen. Vraag het aan het bedrijf zelf.",
                "That does not pass through Regie, which neither sees nor stops it. Ask the company itself.",
            )
        ],
        "",
        None,
        [Check("entries in the log", before, await stage.log_size())],
    )


INCOME_SCENES: tuple[Play, ...] = (
    no_choice_yet,
    a_flag_and_a_band,
    more_than_allowed,
    advertising,
    no_control_for_it,
    a_guess,
    inside_a_company,
)

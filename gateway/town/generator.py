"""The town's files: who is in arrears, whose income fell, and what each resident chose. The same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from gateway.town.participants import LINDEWAARD, SUPPLIERS, TAX_OFFICE, ZONNEVEEN
from gateway.town.people import Resident, make_residents

ARREARS_PURPOSE, ARREARS_ITEM = "vroegsignalering-energie", "betalingsachterstand"
INCOME_PURPOSE, INCOME_ITEM = "regelingen-bij-inkomensdaling", "inkomen_gedaald"
CAST_SIZE = 16
"""The first residents of the larger municipality are left out of the files: the story of the demo is about them."""
IN_ARREARS, INCOME_FELL = 0.35, 0.3
ANSWERS = (("JA", 42), ("NEE", 14), ("VRAAG_MIJ_EERST", 10), ("EERST_ZELF", 10), ("", 24))
"""Of a hundred residents, how many chose what about one sender; the empty answer is no choice at all."""
CHOSE_FOR_ANOTHER_SUPPLIER = 0.05
MONTHS = ("3", "6", "12")


@dataclass(frozen=True, slots=True)
class Arrears:
    """A row of a supplier's file."""

    reference: str
    resident: Resident
    months: str
    end_of_supply: str
    warm_handover: str
    signal_date: str
    steps: str


@dataclass(frozen=True, slots=True)
class IncomeDrop:
    """A row of the tax office's file."""

    reference: str
    resident: Resident
    drop_band: str
    period: str


@dataclass(frozen=True, slots=True)
class Choice:
    """A row of the file with choices. ``answer`` is JA, NEE, VRAAG_MIJ_EERST or EERST_ZELF."""

    resident: Resident
    sender: str
    purpose: str
    items: str
    answer: str
    months: str


@dataclass(frozen=True, slots=True)
class Town:
    """Everything that happens in the town. ``arrears`` is by the supplier's OIN."""

    residents: Sequence[Resident]
    arrears: dict[str, Sequence[Arrears]]
    income: Sequence[IncomeDrop]
    choices: Sequence[Choice]

    @property
    def cast(self) -> Sequence[Resident]:
        """The residents whom the story is about; each has a test BSN and lives in Zonneveen."""
        return self.residents[:CAST_SIZE]

    def of(self, municipality: str) -> list[Resident]:
        """Return the residents of one municipality."""
        return [resident for resident in self.residents if resident.municipality == municipality]


def make_town(today: date, seed: int = 2026) -> Town:
    """Make the town as it is on ``today``: no fact in its files is younger than 3 weeks."""
    rng = random.Random(seed)  # noqa: S311 -- synthetic data that is the same every time; nothing secret comes from it
    residents = make_residents(rng)
    others = residents[CAST_SIZE:]
    supplier = {resident.ref: _supplier(rng, resident) for resident in others}
    with_bsn = [resident for resident in others if resident.bsn and resident.municipality == ZONNEVEEN.oin]
    choices = [choice for resident in others for choice in _arrears_choices(rng, resident, supplier[resident.ref])]
    choices += [choice for resident in with_bsn for choice in _income_choices(rng, resident)]
    arrears: dict[str, Sequence[Arrears]] = {}
    for company in SUPPLIERS:
        clients = [resident for resident in others if supplier[resident.ref] == company.oin]
        behind = [resident for resident in clients if rng.random() < IN_ARREARS]
        arrears[company.oin] = [_arrears(rng, today, company.slug, n, r) for n, r in enumerate(behind, start=1)]
    fell = [resident for resident in with_bsn if rng.random() < INCOME_FELL]
    income = [_income(rng, today, n, resident) for n, resident in enumerate(fell, start=1)]
    return Town(residents, arrears, income, choices)


def _supplier(rng: random.Random, resident: Resident) -> str:
    """A file goes to one municipality, so the third supplier has the other municipality to itself."""
    if resident.municipality == LINDEWAARD.oin:
        return SUPPLIERS[2].oin
    return rng.choice(SUPPLIERS[:2]).oin


def _answer(rng: random.Random) -> str:
    answers, weights = [answer for answer, _ in ANSWERS], [weight for _, weight in ANSWERS]
    return rng.choices(answers, weights)[0]


def _arrears_choices(rng: random.Random, resident: Resident, supplier: str) -> list[Choice]:
    answer, months = _answer(rng), rng.choice(MONTHS)
    chosen = [Choice(resident, supplier, ARREARS_PURPOSE, ARREARS_ITEM, answer, _months(answer, months))]
    if rng.random() < CHOSE_FOR_ANOTHER_SUPPLIER:
        other = next(company.oin for company in SUPPLIERS if company.oin != supplier)
        chosen.append(Choice(resident, other, ARREARS_PURPOSE, ARREARS_ITEM, "JA", months))
    return [choice for choice in chosen if choice.answer]


def _income_choices(rng: random.Random, resident: Resident) -> list[Choice]:
    answer, months = _answer(rng), rng.choice(MONTHS)
    choice = Choice(resident, TAX_OFFICE.oin, INCOME_PURPOSE, INCOME_ITEM, answer, _months(answer, months))
    return [choice] if answer else []


def _months(answer: str, months: str) -> str:
    return "" if answer == "NEE" else months


def _arrears(rng: random.Random, today: date, slug: str, number: int, resident: Resident) -> Arrears:
    steps = ("reminder", "contact", "help_pointed", "offer_made")[: rng.randint(3, 4)]
    return Arrears(
        reference=f"{slug[:4].upper()}-{number:05d}",
        resident=resident,
        months=str(rng.choice((0.5, 1, 1.5, 2, 2.5, 3, 4, 6))),
        end_of_supply="ja" if rng.random() < 0.08 else "nee",
        warm_handover=rng.choice(("ja", "nee")),
        signal_date=(today - timedelta(days=rng.randint(21, 45))).isoformat(),
        steps=";".join(steps),
    )


def _income(rng: random.Random, today: date, number: int, resident: Resident) -> IncomeDrop:
    month = today.replace(day=1) - timedelta(days=1 + 31 * rng.randint(1, 3))
    quarter = (month.month - 1) // 3  # the last one that was over then
    year, quarter = (month.year, quarter) if quarter else (month.year - 1, 4)
    return IncomeDrop(
        reference=f"BK-{number:05d}",
        resident=resident,
        drop_band=rng.choice(("<10", "10-25", "25-50", ">50")),
        period=rng.choice((f"{month.year}-{month.month:02d}", f"{year}-Q{quarter}")),
    )

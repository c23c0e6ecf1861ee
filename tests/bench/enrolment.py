"""Enrolment: a municipality learns the pseudonyms of its residents, in the purposes of both identifier schemes."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import count

from gateway.crypto.identifiers import Bsn
from gateway.sdk.agency import Agency
from gateway.sdk.rows import Resident, ResidentRow
from gateway.town.participants import ZONNEVEEN
from tests.bench import limits
from tests.bench.section import Bench, Figures
from tests.bench.sending import figures_of, several
from tests.bench.town import PATH, found, person
from tests.support.command import Regie, served
from tests.support.crypto import valid_bsns

RESIDENTS, TIMES = (1_000, 100), (4, 1)
"""Residents in one run, and how many runs are measured: nobody is enrolled twice."""
SCHEMES = 2
LIMIT_IDENTIFIERS = 500


async def measure(bench: Bench) -> Figures:
    """All roles in one process, the municipality in this one; ``ratio`` and ``clock_ratio`` as of submission."""
    each, times = bench.pick(*RESIDENTS), bench.pick(*TIMES)
    residents = [
        ResidentRow(f"R{number}", Resident(Bsn(bsn), person(number)))
        for number, bsn in enumerate(valid_bsns(each * (times + 1)))
    ]
    home, runs = found(bench.folder / "home"), count()
    with ThreadPoolExecutor(os.cpu_count() or 1) as workers, served(Regie(home.folder), *PATH) as server:
        async with Agency.open(home, ZONNEVEEN.oin) as agency:

            async def enrol() -> None:
                at = next(runs) * each
                summary = await agency.enrolment().enrol(residents[at : at + each])
                assert summary.enrolled == each, summary
                bench.say(f"{at + each} residents")

            def bound() -> limits.Cost:
                return limits.enrolment(LIMIT_IDENTIFIERS, workers).times(each * SCHEMES / LIMIT_IDENTIFIERS)

            measured = await several(server.process, enrol, bound, times)
    return {"enrolment": figures_of(measured, each * SCHEMES) | {"residents": each * times}}

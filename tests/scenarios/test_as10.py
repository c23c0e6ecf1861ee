"""AS10 over real gRPC: one sender asks about 5,000 residents in an hour."""

import io
import json

import pytest
import structlog

from gateway.exchange.refusals import hour_counts
from gateway.telemetry import logs
from gateway.town.participants import LAMPJE, STROOMTUIN, ZONNEVEEN
from tests.support.command import Regie
from tests.support.scenario import ARREARS, BILL, BILL_ELSEWHERE, served_town

PEOPLE, MOST = 6_000, 5_000
"""Whole batches of 1000, since any of two under way may come first; and what REGIE_SENDER_REFUSALS_PER_HOUR is unless an
operator says otherwise."""


@pytest.fixture
def log():
    stream = io.StringIO()
    logs.configure(stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines() if "ALARM" in line]
    structlog.reset_defaults()


@pytest.mark.timeout(240)
async def test_as10_very_many_refusals_are_logged_grouped_told_and_slowed_down(tmp_path, log):
    async with served_town(tmp_path / "home") as town:
        # The hour must not end in the middle.
        into = town.clock() % 3_600_000
        town.clock.ahead_ms += 3_600_000 - into if into > 1_800_000 else 0
        people = [town.stranger() for _ in range(PEOPLE)]
        summary = (
            await town.agencies[LAMPJE.oin]
            .sender()
            .send([town.row(person, BILL) for person in people], purpose=ARREARS, recipient=ZONNEVEEN.oin, patience=5)
        )
        # Slowed down: the rest has no answer, and stays for the next hour.
        refused, left = summary.counts["geen_toestemming"], summary.counts["probeer_later"]
        assert (refused, left) == (MOST, PEOPLE - MOST)
        assert summary.trouble.reason == "QUOTA_EXCEEDED"

        # Told: once, with who and how many and nothing else.
        (alarm,) = log()
        assert (alarm["oin"], alarm["count"], alarm["reason"]) == (LAMPJE.oin, MOST, "QUOTA_EXCEEDED")

        # Grouped: one line for the operator.
        (hour,) = hour_counts(town.home.operator("gateway").data / "gateway.db", 0)
        assert (hour.sender, hour.asked, hour.refused, hour.turned_away) == (LAMPJE.oin, MOST, MOST, left)
        shown = Regie(town.home.folder).run("exchange", "refusals", "--json")
        assert shown.code == 1
        assert shown.json["alarms"] == 1

        # Logged: everybody can see that they were asked about, and that nothing was shared.
        for person in (people[0], people[MOST // 2]):
            (seen,) = (await town.record(person)).exchanges
            assert seen.sender == LAMPJE.oin
            assert seen.text.nl.startswith("Tegengehouden.")

        # Nobody else is slowed down, and the next hour is another one.
        helped = await town.someone()
        await town.chooses(helped, BILL_ELSEWHERE, "JA")
        assert await town.report(helped, BILL_ELSEWHERE) == "accepted"
        assert STROOMTUIN.oin == BILL_ELSEWHERE.sender
        town.clock.forward(days=1 / 24)
        assert await town.report(people[-1], BILL) == "geen_toestemming"
    town.check_everything()

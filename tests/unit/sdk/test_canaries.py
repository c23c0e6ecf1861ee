"""Rule 9 against running services: canaries that fit, factors broken on purpose, and who sees the alarm."""

import random
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from consent_ledger.errors import RegieError
from consent_ledger.v1 import batch_pb2
from gateway.evaluator import rules
from gateway.sdk.canary.checking import check
from gateway.sdk.canary.setting import join, set_up
from gateway.sdk.canary.store import CanaryStore
from gateway.sdk.remote import GrpcRemote
from tests.support.canaries import Flock, arrears_row, resident
from tests.support.sdk import CITY, PURPOSE, SUPPLIER


@pytest.fixture
def flock(home, tmp_path):
    flock = Flock(home, tmp_path)
    flock.at(hour=12)
    return flock


@asynccontextmanager
async def town(flock, *allowed):
    """Everybody ready: residents 0.. enrolled and willing, canaries out."""
    async with flock.serving():
        await flock.enrol(*allowed)
        await flock.allow(*allowed)
        await flock.set_up()
        yield


async def test_a_canary_goes_along_is_recognised_and_counted_nowhere(flock):
    async with town(flock, 0, 1):
        sent = await flock.send(0, 1, 2)
        assert (sent.rows, sent.counts["accepted"], sent.counts["geen_toestemming"]) == (3, 2, 1)
        assert sent.answers == {"K0": "accepted", "K1": "accepted", "K2": "geen_toestemming"}
        assert sent.canary == "accepted"
        found, sightings = await flock.receive()
        assert sorted(delivery.resident_ref for delivery in found) == ["R0", "R1"]
        assert [sighting.fits for sighting in sightings] == [True]
        for oin in (CITY, SUPPLIER, flock.portal):
            statuses = await flock.statuses(oin)
            assert {status for _, status in statuses} == {"ok"}
        # Nobody's record at the ledger knows of it, and no second one goes along today.
        async with flock.agency(flock.portal) as portal:
            record = await portal.portal().look_up(resident(0))
            assert len(record.choices) == len(record.exchanges) == 1
        assert (await flock.send(0, 1, 2, 3)).canary is None


async def test_no_canary_goes_without_a_real_row(flock):
    async with town(flock, 0):
        await flock.send(0)
        flock.at(hour=36)
        again = await flock.send(0)  # accepted before: nothing real is asked
        assert (again.batches, again.canary, again.counts["accepted"]) == (0, None, 1)
        assert (await flock.send(0, 5)).canary == "accepted"


async def test_a_canary_by_itself(flock):
    async with town(flock):
        async with flock.agency(SUPPLIER) as supplier:
            sender = supplier.sender()
            for _ in range(2):
                summary = await sender.send_canary(purpose=PURPOSE, recipient=CITY)
                assert (summary.canary, summary.rows) == ("accepted", 0)
            with pytest.raises(RegieError, match="every canary was used today"):
                await sender.send_canary(purpose=PURPOSE, recipient=CITY)
        found, sightings = await flock.receive()
        assert not found
        assert [sighting.fits for sighting in sightings] == [True, True]


async def test_canaries_stay_within_what_the_purpose_allows_for_one_person(flock):
    """Else the ledger would refuse them rightly, and everybody would look for a wrong factor."""
    async with town(flock):
        answers = []
        for day in (*range(9), 40):
            flock.at(hour=12 + 24 * day)
            async with flock.agency(SUPPLIER) as supplier:
                try:
                    summary = await supplier.sender().send_canary(purpose=PURPOSE, recipient=CITY)
                    answers.append(summary.canary)
                except RegieError as error:
                    answers.append(error.reason)
    assert answers == ["accepted"] * 8 + ["QUOTA_EXCEEDED", "accepted"]  # two canaries, a cap of 5 with 1 kept back


def evaluate_elsewhere(monkeypatch, role):
    """Both evaluators use another epoch's factor for signals, in one role's domain: rows stay as they are."""
    right = rules.domains

    def wrong(header: batch_pb2.BatchHeader):
        return tuple(
            replace(domain, epoch=domain.epoch + 1) if domain.role == role else domain for domain in right(header)
        )

    monkeypatch.setattr(rules, "domains", wrong)


async def test_a_wrong_factor_for_the_recipient_on_the_signal_path(flock, monkeypatch):
    async with town(flock, 0):
        evaluate_elsewhere(monkeypatch, "recipient")
        assert (await flock.send(0)).canary == "accepted"
        found, sightings = await flock.receive()
        assert [delivery.resident_ref for delivery in found] == [None]
        assert [sighting.fits for sighting in sightings] == [False]
        assert await flock.statuses(CITY) == {("rows", "ok"), ("signals", "alarm")}
        assert await flock.statuses(SUPPLIER) == {("signals", "ok")}
        assert await flock.statuses(flock.portal) == {("choices", "ok")}


async def test_a_wrong_factor_for_the_ledger_on_the_signal_path(flock, monkeypatch):
    async with town(flock, 0):
        evaluate_elsewhere(monkeypatch, "ledger")
        sent = await flock.send(0)
        assert (sent.canary, sent.answers["K0"]) == ("geen_toestemming", "geen_toestemming")
        assert await flock.statuses(SUPPLIER) == {("signals", "alarm")}
        assert await flock.statuses(CITY) == {("rows", "ok"), ("signals", "waiting")}
        assert await flock.statuses(flock.portal) == {("choices", "ok")}
        flock.at(hour=24 * 40)
        assert await flock.statuses(CITY) >= {("signals", "alarm")}  # it is missed


@pytest.mark.parametrize("role", ["gateway", "pseudonyms"])
async def test_an_evaluator_with_another_master(flock, role):
    """As after a restart with an old backup, or on a second machine that was given another key."""
    async with town(flock, 0):
        pass
    flock.put_key(flock.home.operators[role], "master", random.randbytes(32).hex())
    async with flock.serving():
        assert (await flock.send(0)).canary == "geen_toestemming"
        assert ("rows", "alarm") in await flock.statuses(CITY)
        assert await flock.statuses(SUPPLIER) == {("signals", "alarm")}
        assert await flock.statuses(flock.portal) == {("choices", "alarm")}


async def test_a_ledger_with_another_closing_key(flock):
    async with town(flock, 0):
        pass
    flock.break_closing_key(flock.home.operators["ledger"])
    async with flock.serving():
        assert (await flock.send(0)).canary == "geen_toestemming"
        assert await flock.statuses(flock.portal) == {("choices", "alarm")}
        assert ("rows", "ok") in await flock.statuses(CITY)


async def test_a_recipient_with_another_closing_key(flock):
    async with town(flock, 0):
        await flock.send(0)
        flock.break_closing_key(CITY)
        _, sightings = await flock.receive()
        assert [sighting.fits for sighting in sightings] == [False]
        assert await flock.statuses(CITY) == {("rows", "alarm"), ("signals", "alarm")}
        assert await flock.statuses(SUPPLIER) == {("signals", "ok")}


async def test_an_alarm_ends_with_the_next_canary_that_fits(flock, monkeypatch):
    async with town(flock, 0):
        with monkeypatch.context() as broken:
            evaluate_elsewhere(broken, "recipient")
            await flock.send(0)
            await flock.receive()
        async with flock.agency(SUPPLIER) as supplier:
            await supplier.sender().send_canary(purpose=PURPOSE, recipient=CITY)
        await flock.receive()
        async with flock.agency(CITY) as city:
            (finding,) = [finding for finding in await check(city) if finding.path == "signals"]
        assert (finding.status, finding.detail) == ("ok", "the newest fits; 1 of the last 35 days did not")


class LosesAnswers(GrpcRemote):
    """The gateway decides, and the answer to the first submission is lost."""

    lost = False

    async def submit(self, request):
        answer = await super().submit(request)
        if not self.lost:
            self.lost = True
            raise RegieError("GATEWAY_UNAVAILABLE", "connection lost")
        return answer


async def test_an_interrupted_send_goes_on_with_the_same_canary(flock):
    async with town(flock, 0):
        remote = LosesAnswers(flock.home, flock.home.organisation(SUPPLIER), flock.clock)
        async with flock.agency(SUPPLIER, remote) as supplier:
            left = await supplier.sender().send([arrears_row(0)], purpose=PURPOSE, recipient=CITY, patience=0)
        assert (left.canary, left.counts["probeer_later"], left.rows) == ("probeer_later", 1, 1)
        done = await flock.send(0)
        assert (done.canary, done.counts["accepted"], done.rows) == ("accepted", 1, 1)
        _, sightings = await flock.receive()
        assert len(sightings) == 1


async def test_cards_are_for_their_sender_and_the_portal(flock):
    async with flock.serving():
        (card,) = await flock.set_up()
        async with flock.agency(CITY) as city:
            with pytest.raises(RegieError, match="for another sender"):
                await join(city, [card])
            with pytest.raises(RegieError, match="receives nothing"):
                await set_up(city, flock.folder / "none", senders=[CITY])
        old = replace(card, created_ms=1)
        async with flock.agency(SUPPLIER) as supplier:
            with pytest.raises(RegieError, match="expired"):
                await join(supplier, [old])


async def test_what_is_not_watched_any_more_is_an_alarm(flock):
    async with town(flock, 0):
        flock.at(hour=24 * 13 * 30)
        for oin in (SUPPLIER, flock.portal):
            assert await flock.statuses(oin) == {("choices", "alarm")}


async def test_an_organisation_without_canaries_says_so(flock):
    async with flock.serving(), flock.agency(SUPPLIER) as supplier:
        with pytest.raises(RegieError, match="no canaries"):
            await check(supplier)
        with pytest.raises(RegieError, match="no card of canaries"):
            await supplier.sender().send_canary(purpose=PURPOSE, recipient=CITY)
        assert not CanaryStore.exists(flock.home.organisation(CITY))


async def test_a_changed_public_value_names_whose_it_is(flock):
    async with town(flock):
        pass
    flock.put_key(flock.home.operators["pseudonyms"], "master", random.randbytes(32).hex())
    async with flock.serving(), flock.agency(CITY) as city:
        (finding,) = [finding for finding in await check(city) if finding.path == "rows"]
    assert "role pseudonyms" in finding.detail

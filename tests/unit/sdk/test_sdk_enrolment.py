"""Enrolment against running services, and against an evaluator that cheats."""

from contextlib import suppress

import pytest

from consent_ledger.clock import system_clock
from consent_ledger.errors import RegieError
from gateway.sdk.enrolment import enrolment_database
from gateway.sdk.remote import GrpcRemote
from gateway.sdk.rows import ResidentRow
from gateway.server import serving
from tests.support.sdk import CITY
from tests.support.sdk_served import ROLES, Lying, city, enrol, resident


async def test_enrolled_residents_cost_nothing_again(home):
    async with serving(home, ROLES):
        first = await enrol(home, 0, 1)
        second = await enrol(home, 0, 1, 2)
    assert (first.enrolled, first.unchanged) == (2, 0)
    assert (second.enrolled, second.unchanged) == (1, 2)


async def _references(home):
    with enrolment_database(home.organisation(CITY)) as database:
        rows = await database.run(lambda c: c.exec_driver_sql("SELECT resident_ref FROM enrolled").all())
    return sorted((reference or "-") for (reference,) in rows)


async def _enrol_rows(home, *rows, **options):
    async with city(home) as agency:
        return await agency.enrolment().enrol(rows, **options)


async def test_two_residents_that_cannot_be_told_apart_are_not_matched(home):
    twins = [ResidentRow("A", resident(0)), ResidentRow("B", resident(0)), ResidentRow("C", resident(1))]
    async with serving(home, ROLES):
        summary = await _enrol_rows(home, *twins)
        assert set(summary.ambiguous) == {"A", "B"}
        assert await _references(home) == ["C"]


async def test_a_twin_that_is_enrolled_later_unmatches_both_unless_the_register_says_otherwise(home):
    async with serving(home, ROLES):
        await _enrol_rows(home, ResidentRow("A", resident(0)))
        assert set((await _enrol_rows(home, ResidentRow("B", resident(0)))).ambiguous) == {"B"}
        assert await _references(home) == ["-"]
        assert set((await _enrol_rows(home, ResidentRow("B", resident(0)))).ambiguous) == {"B"}
        await _enrol_rows(home, ResidentRow("B", resident(0)), full=True)
        assert await _references(home) == ["B"]


async def test_who_moves_out_makes_room(home):
    async with serving(home, ROLES):
        await _enrol_rows(home, ResidentRow("A", resident(0)))
        await _enrol_rows(home, ResidentRow("A", resident(5)), ResidentRow("B", resident(0)))
        assert await _references(home) == ["A", "B"]


def _other_factor(answer):
    answer.second.proof = bytes(64)


def _other_element(answer):
    answer.second.elements = answer.first.elements


@pytest.mark.parametrize("change", [_other_factor, _other_element])
async def test_an_evaluator_that_cheats_is_found_out(home, change):
    async with serving(home, ROLES):
        with pytest.raises(RegieError) as refused:
            async with city(home, Lying(home, CITY, change)) as agency:
                await agency.enrolment().enrol([ResidentRow("A", resident(0))])
    assert refused.value.reason in {"PROOF_INVALID", "ELEMENT_INVALID"}
    assert await _references(home) == []


async def test_an_evaluator_that_changes_its_key_is_found_out(home):
    async with serving(home, ROLES):
        await enrol(home, 0)
        with enrolment_database(home.organisation(CITY)) as database:
            await database.run(lambda c: c.exec_driver_sql("UPDATE pinned_key SET public = zeroblob(32)"))
        with pytest.raises(RegieError) as refused:
            await enrol(home, 1)
    assert refused.value.reason == "PROOF_INVALID"


class BrokenOffError(Exception):
    """The run ended while its answer was on the way."""


class Listening(GrpcRemote):
    """The real services; ``trouble`` is raised instead of the first answer."""

    def __init__(self, home, trouble=None):
        super().__init__(home, home.organisation(CITY), system_clock)
        self.trouble, self.asked = trouble, []

    async def evaluate_rows(self, request):
        self.asked.append(request.SerializeToString(deterministic=True))
        answer = await super().evaluate_rows(request)
        trouble, self.trouble = self.trouble, None
        if trouble:
            raise trouble
        return answer


async def _listened(home, remote, *numbers):
    async with city(home, remote) as agency:
        rows = [ResidentRow(f"R{number}", resident(number)) for number in numbers]
        return await agency.enrolment().enrol(rows)


async def _broken_off(home, *numbers):
    """Enrol until the answer is on its way; returns the bytes that were asked."""
    remote = Listening(home, BrokenOffError())
    with suppress(BrokenOffError):
        await _listened(home, remote, *numbers)
    (asked,) = remote.asked
    return asked


async def test_what_was_on_its_way_is_asked_as_the_same_bytes(home):
    async with serving(home, ROLES):
        asked = await _broken_off(home, 0, 1)
        remote = Listening(home)
        summary = await _listened(home, remote, 0, 1, 2)
    assert remote.asked[0] == asked
    assert len(remote.asked) == 2  # resident 2 was not in it
    assert (summary.enrolled, summary.evaluated) == (3, 3)


async def test_what_was_asked_too_long_ago_is_asked_anew(home):
    async with serving(home, ROLES):
        asked = await _broken_off(home, 0)
        remote = Listening(home, RegieError("NOT_FRESH", "too late"))
        summary = await _listened(home, remote, 0)
        again = Listening(home)
        await _listened(home, again, 0)
    assert remote.asked[0] == asked
    assert len(remote.asked) == len(set(remote.asked)) == 2
    assert summary.enrolled == 1
    assert again.asked == []


async def test_what_was_asked_about_somebody_else_is_never_asked_again(home):
    async with serving(home, ROLES):
        asked = await _broken_off(home, 0, 1)
        fewer, all_of_them = Listening(home), Listening(home)
        await _listened(home, fewer, 1)
        await _listened(home, all_of_them, 0, 1)
    assert len({asked, *fewer.asked, *all_of_them.asked}) == 3


async def test_a_refused_request_is_not_kept(home):
    async with serving(home, ROLES):
        remote = Listening(home, RegieError("QUOTA_EXCEEDED", "too many"))
        with pytest.raises(RegieError):
            await _listened(home, remote, 0)
        again = Listening(home)
        await _listened(home, again, 0)
    assert again.asked != remote.asked


async def test_progress_counts_what_is_stored_already(home):
    steps = []
    async with serving(home, ROLES):
        await enrol(home, 0, 1)
        await enrol(home, 0, 1, 2, progress=lambda done, total: steps.append((done, total)))
    assert steps == [(2, 3), (3, 3)]

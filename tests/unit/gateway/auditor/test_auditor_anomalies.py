"""A9: each rule fires at its threshold and not one below it, and the fishing sender is found."""

from hypothesis import assume, given
from hypothesis import strategies as st

from consent_ledger.clock import DAY_MS
from consent_ledger.dates import at_hour, local_time
from gateway.auditor.anomalies import (
    DESK,
    HISTORY_DAYS,
    HOUR_MS,
    OFF_HOURS,
    RESIDENTS,
    Counted,
    Decided,
    Kind,
    Waiting,
    against_all,
    against_itself,
    is_off_hours,
    missing_outcomes,
    off_hours,
    refusal_jumps,
    worst,
)

NOW = 1_700_000_000_000 // HOUR_MS * HOUR_MS
COUNTS = st.lists(st.integers(1, 400), max_size=40)
RULES = st.sampled_from([(Kind.RESIDENTS, RESIDENTS), (Kind.OFF_HOURS, OFF_HOURS)])


def before(counts, who="a", step=HOUR_MS):
    return [Counted(who, NOW - (number + 1) * step, count) for number, count in enumerate(counts)]


def middle(counts):
    """What is usual, said in another way than the code's: the median, once there are five."""
    ordered = sorted(counts)
    half = len(ordered) // 2
    return (ordered[half] + ordered[~half]) / 2 if len(ordered) >= 5 else 0


@given(RULES, COUNTS, st.integers(0, 5_000))
def test_a_count_fires_at_its_threshold_and_not_below(rule, counts, now):
    kind, limit = rule
    [found] = against_itself(kind, limit, [*before(counts), Counted("a", NOW, now)], NOW)
    assert (found.value, found.usual) == (now, middle(counts))
    assert found.threshold == max(limit.least, limit.factor * middle(counts))
    assert found.fires == (now >= max(limit.least, limit.factor * middle(counts)))


@given(COUNTS)
def test_exactly_at_the_threshold(counts):
    at = max(RESIDENTS.least, RESIDENTS.factor * middle(counts))
    assume(at == int(at))
    for now, fires in ((int(at), True), (int(at) - 1, False)):
        [found] = against_itself(Kind.RESIDENTS, RESIDENTS, [*before(counts), Counted("a", NOW, now)], NOW)
        assert found.fires is fires


def test_only_the_28_days_before_count_and_only_ones_own():
    old = Counted("a", NOW - HISTORY_DAYS * DAY_MS - 1, 10_000)
    edge = [Counted("a", NOW - HISTORY_DAYS * DAY_MS + hour * HOUR_MS, 30) for hour in range(5)]
    later, other = Counted("a", NOW + HOUR_MS, 10_000), Counted("b", NOW - HOUR_MS, 10_000)
    found = against_itself(Kind.RESIDENTS, RESIDENTS, [old, *edge, later, other, Counted("a", NOW, 149)], NOW)
    mine = next(one for one in found if one.at_ms == NOW)
    assert (mine.who, mine.usual, mine.threshold, mine.fires) == ("a", 30, 150, False)


def test_one_busy_hour_long_ago_makes_nothing_usual():
    """A batch of 285 at the start of a story does not hide 300 residents in a night."""
    [found] = against_itself(Kind.RESIDENTS, RESIDENTS, [*before([285]), Counted("a", NOW, 300)], NOW)
    assert (found.usual, found.threshold, found.fires) == (0, 50, True)


def test_employees_are_compared_with_each_other():
    rows = [*before([10, 10, 20, 30, 30], who="x", step=DAY_MS), Counted("new", NOW, 60), Counted("other", NOW, 59)]
    found = {one.who: one for one in against_all(Kind.DESK, DESK, rows, NOW)}
    assert (found["new"].usual, found["new"].threshold) == (20, 60)
    assert (found["new"].fires, found["other"].fires) == (True, False)


@given(st.integers(1, 300), st.integers(1, 300), st.data())
def test_a_jump_of_refusals(decided, earlier, data):
    refused, refused_before = data.draw(st.integers(0, decided)), data.draw(st.integers(0, earlier))
    rows = [Decided("a", NOW - DAY_MS, earlier, refused_before), Decided("a", NOW, decided, refused)]
    [found] = refusal_jumps(rows, NOW)
    enough = decided >= 20 and earlier >= 20
    points = 100 * refused * earlier - 100 * refused_before * decided  # over decided * earlier
    assert found.fires == (enough and points >= 25 * decided * earlier)
    assert found.count == refused


def test_a_jump_of_exactly_25_points_fires():
    for refused, fires in ((10, True), (9, False)):
        [found] = refusal_jumps([Decided("a", NOW - DAY_MS, 40, 10), Decided("a", NOW, 20, refused)], NOW)
        assert (found.usual, found.threshold, found.fires) == (25, 50, fires)


def test_without_enough_decisions_a_share_says_nothing():
    for today, earlier in ((19, 100), (100, 19)):
        [found] = refusal_jumps([Decided("a", NOW - DAY_MS, earlier, 0), Decided("a", NOW, today, today)], NOW)
        assert not found.fires


@given(st.integers(0, 60), st.integers(1, 60))
def test_missing_outcomes(missing, more):
    [found] = missing_outcomes([Waiting("r", missing + more, missing)], NOW)
    assert found.fires == (missing >= 5 and missing * 5 >= missing + more)
    assert missing_outcomes([Waiting("r", 0, 0)], NOW) == []


@given(st.integers(0, 365 * 24))
def test_off_hours_are_dutch_nights_and_weekends(hours):
    moment = NOW + hours * HOUR_MS
    at = local_time(moment)
    assert is_off_hours(moment) == (at.isoweekday() > 5 or at.hour not in range(7, 20))


def test_off_hours_are_added_up_by_dutch_day():
    friday = local_time(NOW).date()
    while friday.isoweekday() != 5:
        friday = local_time(at_hour(friday, 12) + DAY_MS).date()
    hours = [Counted("a", at_hour(friday, hour), 1) for hour in range(24)]
    assert off_hours(hours) == [Counted("a", at_hour(friday, 0), 11)]


def test_the_fishing_sender_is_found_and_comes_first():
    """300 exchanges a day of ordinary work; one sender asks about 120 residents within one hour."""
    usual = [
        Counted(who, NOW - day * DAY_MS - hour * HOUR_MS, 4 + (day + hour) % 5)
        for who in ("energy", "tax")
        for day in range(28)
        for hour in range(1, 9)
    ]
    found = worst(against_itself(Kind.RESIDENTS, RESIDENTS, [*usual, Counted("energy", NOW, 120)], NOW - DAY_MS))
    assert [(one.who, one.fires) for one in found] == [("energy", True), ("tax", False)]
    assert (found[0].value, found[0].usual, found[0].threshold) == (120, 6, 50)

"""A4: spans of several organisations in one picture, whatever their clocks say and whoever's are missing."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.auditor.waterfall import MOST_DEPTH, Step, waterfall

MS = 1_000_000
START = 1_767_225_600_000 * MS


def step(name, parent, oin, start, end, **more):
    return Step(name, parent, oin, name, START + int(start * MS), START + int(end * MS), **more)


def exchange(gateway=0.0, ledger=0.0):
    """A submission of 40 ms by three organisations; ``gateway`` and ``ledger``: by how much their clocks are off."""
    return [
        step("submission", "", "sender", 0, 40),
        step("submit", "submission", "sender", 5, 38),
        step("SubmitBatch", "submit", "gateway", 7 + gateway, 36 + gateway),
        step("ask ledger", "SubmitBatch", "gateway", 15 + gateway, 30 + gateway),
        step("Decide", "ask ledger", "ledger", 17 + ledger, 28 + ledger),
        step("leaf", "Decide", "ledger", 25 + ledger, 25 + ledger, index=812),
    ]


def names(found):
    return [bar.step.name for bar in found.bars]


ORDER = ["submission", "submit", "SubmitBatch", "ask ledger", "Decide", "leaf"]


def test_spans_of_three_organisations_stand_in_order():
    found = waterfall(reversed(exchange()), ["sender", "gateway", "ledger"])
    assert names(found) == ORDER
    assert [bar.nested for bar in found.bars] == [0, 1, 2, 3, 4, 5]
    assert found.organisations == ("sender", "gateway", "ledger")
    assert (found.missing, found.took_ms, found.waits) == ((), 40.0, ())
    assert [(bar.x, bar.width) for bar in found.bars[:3]] == [(0, 100), (12.5, 82.5), (17.5, 72.5)]
    assert found.bars[-1].step.index == 812
    assert not any(bar.moved_ms or bar.orphan for bar in found.bars)


def test_who_left_no_trace_is_named_also_when_the_log_tells_of_it():
    only_log = [step("leaf", "Decide", "ledger", 3, 3, index=7)]
    found = waterfall(only_log, ["sender", "gateway", "ledger", "gateway", "city"])
    assert found.missing == ("sender", "gateway", "ledger", "city")
    assert found.bars[0].orphan
    assert waterfall([], ["sender"]).missing == ("sender",)


@given(st.floats(-5_000, 5_000), st.floats(-5_000, 5_000))
def test_no_effect_is_before_its_cause(gateway, ledger):
    found = waterfall(exchange(gateway, ledger), [])
    begins = {bar.step.span_id: bar.start_ms for bar in found.bars}
    assert names(found) == ORDER
    for bar in found.bars:
        if bar.step.parent:
            assert begins[bar.step.parent] <= bar.start_ms + 1e-6
        assert bar.took_ms == (bar.step.end_ns - bar.step.start_ns) / MS
        assert 0 <= bar.x <= 100
        assert 0 < bar.width <= 100 - bar.x + 0.01
    assert len({bar.moved_ms for bar in found.bars if bar.step.oin == "ledger"}) == 1, "one clock, one correction"


def test_a_late_clock_is_put_in_the_middle_and_says_so():
    found = waterfall(exchange(gateway=-3_600_000), [])
    assert [round(bar.moved_ms) for bar in found.bars] == [0, 0, 3_600_000, 3_600_000, 0, 0]
    assert (found.bars[2].start_ms, found.bars[2].took_ms) == (7.0, 29.0)
    assert found.took_ms == 40.0


def test_a_long_wait_in_the_inbox_is_drawn_short_and_told_in_full():
    day = 86_400_000
    more = [
        step("delivery", "submission", "city", day, day + 20),
        step("pull", "delivery", "city", day + 2, day + 15),
    ]
    found = waterfall([*exchange(), *more], ["city"])
    [wait] = found.waits
    assert (wait.x, wait.width, wait.took_ms) == (62.67, 6.0, day - 40)
    delivery = next(bar for bar in found.bars if bar.step.name == "delivery")
    assert delivery.moved_ms == 0
    assert (delivery.x, delivery.width, delivery.start_ms) == (68.67, 31.33, day)


def test_many_waits_leave_half_of_the_picture_to_the_work():
    found = waterfall([step(f"s{n}", "", "a", n * 100_000, n * 100_000 + 1) for n in range(40)], [])
    assert len(found.waits) == 39
    assert round(sum(wait.width for wait in found.waits)) <= 50
    assert sorted(bar.x for bar in found.bars) == [bar.x for bar in found.bars]


def test_strange_traces_are_shown_all_the_same():
    circle = [step("a", "b", "x", 0, 1), step("b", "a", "y", 0, 1), step("c", "c", "x", 0, 1)]
    assert sorted(names(waterfall(circle, []))) == ["a", "b", "c"]
    deep = [step(f"n{number}", f"n{number - 1}", "x", number, number + 1) for number in range(50)]
    found = waterfall(deep, [])
    assert max(bar.nested for bar in found.bars) == MOST_DEPTH
    assert found.bars[0].orphan
    assert len(waterfall([*exchange(), *exchange()], []).bars) == len(ORDER), "the same span from two stores"

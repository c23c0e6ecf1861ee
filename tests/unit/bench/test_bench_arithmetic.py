"""The bench's own arithmetic: a wrong ratio would be believed."""

import json
import subprocess
import sys
from argparse import ArgumentTypeError
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from tests.bench import __main__ as bench
from tests.bench import bare, entries, ledger, senders, submission, town
from tests.bench.entries import growth, resident_mb
from tests.bench.limits import Cost
from tests.bench.report import flatten, print_table
from tests.bench.section import Bench, Results, Section, merge, perform
from tests.bench.sending import Run, busy_seconds, figures_of, latency_of, percentile
from tests.bench.targets import Target, judged, look_up

ROOT = Path(__file__).resolve().parents[3]


def run(wall: float, busy: float, limit: float = 1.0) -> Run:
    return Run(Cost(wall, busy), Cost(limit / 2, limit))


def test_a_ratio_is_the_median_of_what_each_run_says_beside_its_own_limit():
    figures = figures_of([run(1, 2), run(4, 9, limit=3), run(2, 10)], signals=1_000)
    assert (figures["ratio"], figures["ratio_min"], figures["ratio_max"]) == (3, 2, 10)
    assert figures["clock_ratio"] == 2.67  # 2, 4 / 1.5 and 4
    assert figures["per_s"] == 500
    assert (figures["cpu_us_each"], figures["limit_cpu_us_each"]) == (9_000, 1_000)


@pytest.mark.parametrize(("percent", "value"), [(50, 50), (99, 99), (100, 100), (1, 1)])
def test_percentiles_are_of_the_nearest_rank(percent, value):
    assert percentile(list(range(100, 0, -1)), percent) == value


def test_percentiles_of_few_values():
    assert percentile([7.0], 99) == 7
    assert percentile([1, 2, 3], 50) == 2
    assert percentile([1, 2, 3, 4], 99) == 4


def test_latency_is_held_against_its_limit():
    figures = latency_of([0.002] * 98 + [0.004, 0.009], limit=0.001)
    assert (figures["p50_ratio"], figures["p99_ratio"]) == (2, 4)
    assert (figures["p50_ms"], figures["p99_ms"], figures["max_ms"], figures["limit_ms"]) == (2, 4, 9, 1)


def test_growth_compares_runs_of_one_turn():
    small = [run(1, 1), run(1, 2, limit=2), run(1, 3)]
    large = [run(1, 1.1), run(1, 2.4, limit=2), run(1, 9)]
    assert growth(small, large) == 1.2


def test_a_cost_is_scaled_as_a_whole():
    assert Cost(2, 3).times(1.5) == Cost(3, 4.5)


def test_processor_time_of_another_process_counts():
    with subprocess.Popen(
        [sys.executable, "-c", "sum(range(3_000_000)); print(); input()"], stdin=-1, stdout=-1, text=True
    ) as other:
        mine = busy_seconds(other)
        assert other.stdout.readline()
        spent = busy_seconds(other) - mine
        assert resident_mb(other.pid) > 1
        other.communicate("\n")
    assert spent > 0.01


def test_figures_of_sections_become_one_tree():
    tree = {"submission": {"batch_1": {"ratio": 2}}}
    merge(tree, {"submission": {"senders_8": {"ratio": 3}}, "fsync_us": 1})
    assert dict(flatten(tree)) == {"submission.batch_1.ratio": 2, "submission.senders_8.ratio": 3, "fsync_us": 1}
    for again in ({"fsync_us": 2}, {"submission": {"batch_1": {"ratio": 2}}}, {"fsync_us": {"a": 1}}):
        with pytest.raises(ValueError, match="two sections"):
            merge(tree, again)


def test_a_bound_is_of_this_run():
    figures = {"a": {"x": {"ratio": 1.05}, "y": {"ratio": 1.0}}, "rate": {"128": 9.0}}
    at_most = Target("a.x.ratio", most=1.04, of="a.y.ratio")
    assert (at_most.judge(figures).met, at_most.judge(figures).bound) == (False, "at most 1.04 (1.04 x y)")
    assert Target("a.x.ratio", most=1.05, of="a.y.ratio").judge(figures).met
    assert not Target("rate.128", least=9.5).judge(figures).met
    assert Target("rate.128", least=9).judge(figures).met
    assert Target("a.z.ratio", most=1).judge(figures) is None
    assert Target("a.x.ratio", most=1, of="a.z.ratio").judge(figures) is None


def test_a_bound_is_written_down_without_a_run():
    assert Target("a.x.ratio", most=1.43).words == "at most 1.43"
    assert Target("rate.128", least=500_000).words == "at least 500,000"
    assert Target("a.x.ratio", most=1.1, of="a.y.ratio").words == "at most 1.1 x `a.y.ratio`"


def test_the_sections_give_the_figures_that_were_agreed():
    batches = {f"batch_{size}" for size in submission.SIZES}
    assert batches == {"batch_1", "batch_10", "batch_100", "batch_1000"}
    assert set(senders.SENDERS) == {1, 8, 64}
    assert {"entries_10000", "entries_1000000", "consents_1000000"} <= entries.SIZES.keys()
    assert set(ledger.CALLERS) == {1, 16, 128} == set(bare.CALLERS)


def test_nobody_is_sent_about_in_two_measurements_of_senders():
    planned = senders.turns({1: 3, 8: 2, 64: 1})
    assert [turn.senders for turn in planned] == [1, 1, 1, 8, 8, 64]
    people = [one for turn in planned for sender in range(turn.senders) for one in turn.people(sender)]
    assert people == list(range((3 + 16 + 64) * senders.PEOPLE))
    assert len({town.person(number) for number in people}) == len(people)


def test_what_was_not_measured_is_not_judged():
    assert judged({"tracing": {"cost": 1.2}}).keys() == {"tracing.cost"}
    assert look_up({"tracing": {"cost": {"deeper": 1}}}, "tracing.cost") is None


def test_a_section_that_fails_does_not_lose_the_others(tmp_path):
    async def measured(given: Bench):
        given.say("at work")
        assert given.folder.is_dir()
        return {"b": {"count": given.pick(1_000, 10)}}

    def failing(_given: Bench):
        raise ZeroDivisionError("of the test")

    said: list[str] = []
    sections = [Section("a", "breaks", failing), Section("b", "works", measured)]
    results = perform(sections, tmp_path, quick=True, say=said.append)
    assert results.figures.pop("fsync_us") > 0
    assert results.figures == {"b": {"count": 10}}
    assert results.errors == {"a": "ZeroDivisionError: of the test"}
    assert results.seconds.keys() == {"a", "b"}
    assert "    at work" in said
    assert not list(tmp_path.iterdir())


def test_failure_is_the_exit_code_and_stands_in_the_table(monkeypatch, capsys):
    def failing(_given: Bench):
        raise ZeroDivisionError("of the test")

    monkeypatch.setattr(sys, "argv", ["bench", "--only", "groups", "--json"])
    monkeypatch.setattr(bench, "SECTIONS", (Section("groups", "breaks", failing),))
    assert bench.main() == 1
    assert json.loads(capsys.readouterr().out)["errors"] == {"groups": "ZeroDivisionError: of the test"}


def test_the_table_says_what_is_met():
    console = Console(width=120, record=True, file=StringIO())
    figures = {"tracing": {"cost": 1.2}, "delivery": {"ratio": 1.5}}
    print_table(Results(figures, {"tracing": 3.5}, {"ledger": "it broke"}), console)
    text = console.export_text()
    assert "ledger failed: it broke" in text
    lines = {line.split()[1]: line for line in text.splitlines() if line.startswith("│")}
    assert "at most 1.15" in lines["tracing.cost"]
    assert lines["tracing.cost"].rstrip("│ ").endswith("no")
    assert lines["delivery.ratio"].rstrip("│ ").endswith("yes")


def test_sections_are_chosen_by_name():
    assert [one.name for one in bench.chosen("viewer,groups")] == ["groups", "viewer"]
    assert bench.chosen("") == list(bench.SECTIONS)
    with pytest.raises(ArgumentTypeError, match="no section everything"):
        bench.chosen("groups,everything")


def test_a_quick_run_gives_nested_figures_with_what_they_are_meant_to_be():
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench", "--quick", "--json", "--only", "groups,log"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    figures = json.loads(done.stdout)
    for name in ("fsync_us", "group.multiply_us", "group.multiply_all_cores_us", "verify.leaves_per_s", "seconds.log"):
        assert look_up(figures, name) > 0, name
    assert figures["targets"]["verify.leaves_per_s"].keys() == {"bound", "met"}
    assert figures["errors"] == {}
    assert "groups: done in" in done.stderr

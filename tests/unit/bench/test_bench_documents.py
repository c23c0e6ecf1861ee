"""docs/performance.md and docs/scaling.md say what docs/bench.json holds, and their sums are right."""

import json

import pytest

from tests.bench import document
from tests.bench.capacity import europe, limits_reached, measured, netherlands, percent
from tests.bench.document import BLOCKS, DOCS, KEPT, filled, main, performance, targets, written
from tests.bench.targets import TARGETS


def run_of(**changes):
    """A run whose figures make sums that were done by hand."""
    engine = {"durable_per_s": {"128": 10_465.0}, "durable_per_s_128_callers_batch": {"256": 43_859.0}}
    return {
        "group": {"multiply_us": 40.0},
        "submission": {
            "batch_1": {"per_s": 39.0},
            "batch_1000": {"per_s": 4_383.0},
            "entries_1000000": {"growth": 1.04},
        },
        "delivery": {"per_s": 1_000.0},
        "enrolment": {"per_s": 2_000.0},
        "ledger": {name: {**engine, "choices_per_s": 5_000.0} for name in ("sqlite", "postgres")},
        "verify": {"leaves_per_s": 1_445_000.0},
    } | changes


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_the_document_is_what_is_written_from_the_figures_kept(name):
    figures = json.loads(KEPT.read_text("utf-8"))
    assert (DOCS / name).read_text("utf-8") == written(name, figures), "run python -m tests.bench.document"


def test_sums_for_the_netherlands():
    rows = dict(row.split(" | ", 1) for row in netherlands(run_of()).splitlines()[2:])
    assert rows["| an ordinary second"].startswith("10^6 / 31.5 million s = 0.03 signals/s")
    assert rows["| the burst, in batches of 1000"] == "100,000 / 4,383 = 23 s of the hour | 0.63 % |"
    assert rows["| the burst, singly"] == "27.8 signals/s against 39 | 71 % |"
    assert rows["| delivering it, were all of it allowed"] == "100,000 / 1,000 = 100 s | 2.8 % |"
    assert rows["| deciding it"] == "27.8 decisions/s against 10,465 | 0.27 % |"
    assert rows["| a yes or no from every resident in a month"].startswith(
        "18 million / 30 days = 6.9 choices/s against 5"
    )
    assert rows["| enrolling everybody in two schemes"].startswith("36 million / 2,000 = 5.0 h")
    assert "= 40 million" in rows["| entries in a first year"]
    assert rows["| its disk"].startswith("30 to 48 GB; each later year of signals 3 to 5 GB")
    assert "1,445,000 = 28 s" in rows["| verifying the log"]
    assert rows["| fsck; replay"] == "19 min; 25 min, and **20 GB of memory** each | 85 % of this machine |"
    assert rows["| the public log"].startswith("312,500 tiles and bundles, 2.7 GB")


def test_sums_for_europe():
    text = europe(run_of())
    for sum_ in (
        "2.5 million / 4,383 = 10 min of the hour on two cores: 16 %",
        "694/s against 10,465: 6.6 %",
        "174 choices/s against 5,000: 3.5 %",
        "1 x 10^9 entries, 0.75 to 1.2 TB; replay 10.5 h and **512 GB**",
        "7.8 million tiles and bundles, 68 GB",
        "200 million entries, 240 GB; replay 2.1 h and 102 GB",
    ):
        assert sum_ in text


def test_the_narrowest_limit_comes_first():
    used = [row.split(" | ")[:2] for row in limits_reached(run_of()).splitlines()[2:]]
    assert used[:3] == [
        ["| 300 %", "the portal's quota, on purpose"],
        ["| 85 %", "memory of the auditors"],
        ["| 71 %", "single signals of one sender"],
    ]
    quicker = run_of(submission={"batch_1": {"per_s": 200.0}, "batch_1000": {"per_s": 4_383.0}})
    assert limits_reached(quicker).splitlines()[4].startswith("| 50 % | a sender's quota, on purpose")


def test_no_sum_is_made_of_what_was_not_measured():
    with pytest.raises(KeyError, match=r"enrolment\.per_s was not measured"):
        measured(run_of(enrolment={}))


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.713, "71 %"), (3, "300 %"), (0.0277, "2.8 %"), (0.00266, "0.27 %"), (1e-5, "0.001 %"), (1e-7, "below 0.001 %")],
)
def test_percentages_have_two_digits_that_mean_something(share, text):
    assert percent(share) == text


def test_a_figure_that_is_not_there_is_a_dash():
    assert filled("{a.b:,.0f} of {a.c}; {x}", {"a": {"b": 1234.4}}) == "1,234 of -; -"


def test_every_target_has_a_row_and_what_is_not_met_is_said():
    rows = targets({"tracing": {"cost": 1.2}, "delivery": {"ratio": 1.5}}).splitlines()
    assert "| `tracing.cost` | at most 1.15 | 1.2 | **no** |" in rows
    assert "| `delivery.ratio` | at most 1.67 | 1.5 | yes |" in rows
    assert "| `enrolment.ratio` | at most 1.25 | - | - |" in rows
    assert len(rows) == 2 + len(TARGETS)


def test_a_new_run_is_kept_and_written(tmp_path, monkeypatch):
    for name in BLOCKS:
        (tmp_path / name).write_text((DOCS / name).read_text("utf-8"), "utf-8")
    monkeypatch.setattr(document, "DOCS", tmp_path)
    monkeypatch.setattr(document, "KEPT", tmp_path / "bench.json")
    given = tmp_path / "given.json"
    given.write_text(json.dumps(run_of(fsync_us=168.4)), "utf-8")
    monkeypatch.setattr("sys.argv", ["document", str(given)])
    assert main() == 0
    assert "| a durable write of 4 KiB | 168 µs |" in (tmp_path / "performance.md").read_text("utf-8")
    assert "100,000 / 4,383 = 23 s" in (tmp_path / "scaling.md").read_text("utf-8")
    assert json.loads((tmp_path / "bench.json").read_text("utf-8")) == run_of(fsync_us=168.4)


def test_a_document_without_its_blocks_is_refused(tmp_path, monkeypatch):
    (tmp_path / "scaling.md").write_text("# nothing\n", "utf-8")
    monkeypatch.setattr(document, "DOCS", tmp_path)
    with pytest.raises(ValueError, match="needs one block measured"):
        written("scaling.md", run_of())


def test_the_table_says_when_and_where():
    machine = {"date": "2026-11-23", "cores": 2}
    assert performance(run_of(machine=machine)).splitlines()[0] == "2026-11-23, 2 cores."
    text = performance(run_of(machine=machine, seconds={"groups": 100.0, "entries": 500.0}))
    assert text.splitlines()[0] == "2026-11-23, 2 cores; the run took 10 minutes."
    assert {row.count(" | ") for row in text.splitlines()[4:]} == {1}
    assert "| verification of a million leaves | 1,445,000 leaves/s; ratio - |" in text
    assert "tracing" not in text

"""`python -m tests.bench.document [FIGURES.json]`: write measured figures into docs/performance.md and docs/scaling.md.

FIGURES.json is what `make bench ARGS=--json` printed; it is kept as docs/bench.json. Without it the documents are
written again from what is kept there. What is not between markers is left alone.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.bench.capacity import europe, limits_reached, measured, netherlands
from tests.bench.targets import TARGETS, judged, look_up

DOCS = Path(__file__).resolve().parents[2] / "docs"
KEPT = DOCS / "bench.json"
_PLACE = re.compile(r"\{([\w.]+)(?::([^}]*))?\}")

ROWS = (
    ("a durable write of 4 KiB", "{fsync_us:,.0f} µs"),
    (
        "group operations on one thread / all cores",
        (
            "multiply {group.multiply_us:.1f} / {group.multiply_all_cores_us:.1f} µs, "
            "hash {group.hash_us:.1f} / {group.hash_all_cores_us:.1f}, decode {group.decode_us:.1f}, add {group.add_us:.1f}"
        ),
    ),
    *(
        (
            f"submission, batches of {size:,}",
            (
                f"{{submission.batch_{size}.per_s:,.0f}} signals/s; ratio {{submission.batch_{size}.ratio}} "
                f"({{submission.batch_{size}.ratio_min}} to {{submission.batch_{size}.ratio_max}}), "
                f"clock_ratio {{submission.batch_{size}.clock_ratio}}"
            ),
        )
        for size in (1_000, 100, 10, 1)
    ),
    (
        "submission, latency of single signals",
        (
            "p50 {submission.batch_1.p50_ms:.1f} ms, p99 {submission.batch_1.p99_ms:.1f} ms: "
            "{submission.batch_1.p50_ratio} and {submission.batch_1.p99_ratio} times {submission.batch_1.limit_ms:.2f} ms; "
            "p50 {submission.batch_1.p50_floor_ratio} times the protocol's own steps, {submission.batch_1.floor_ms:.2f} ms"
        ),
    ),
    *(
        (
            f"submission, senders at once: {senders}",
            f"{{submission.senders_{senders}.per_s:,.0f}} signals/s; ratio {{submission.senders_{senders}.ratio}}",
        )
        for senders in (1, 8, 64)
    ),
    *(
        (
            f"submission, log of {entries:,} entries",
            (
                f"ratio {{submission.entries_{entries}.ratio}}; "
                f"{{submission.entries_{entries}.growth}} times the cost at 10,000"
            ),
        )
        for entries in (10_000, 100_000, 1_000_000)
    ),
    (
        "submission, consents of 1,000,000 residents",
        "ratio {submission.consents_1000000.ratio}; {submission.consents_1000000.growth} times the cost at 10,000 entries",
    ),
    (
        "delivery",
        (
            "{delivery.per_s:,.0f} signals/s; ratio {delivery.ratio}, clock_ratio {delivery.clock_ratio}, "
            "bare_ratio {delivery.bare_ratio}"
        ),
    ),
    ("enrolment", "{enrolment.per_s:,.0f} identifiers/s; ratio {enrolment.ratio}, clock_ratio {enrolment.clock_ratio}"),
    ("tracing, batches of 1,000 / single signals", "{tracing.cost} / {tracing.single.cost} times the cost without"),
    *(
        row
        for key, name in (("sqlite", "SQLite"), ("postgres", "PostgreSQL"))
        for row in (
            (
                f"ledger on {name}, 1 / 16 / 128 callers",
                " / ".join(f"{{ledger.{key}.durable_per_s.{n}:,.0f}}" for n in (1, 16, 128)) + " decisions/s; ratio to "
                "bare rows " + " / ".join(f"{{ledger.{key}.ratio.{n}}}" for n in (1, 16, 128)),
            ),
            (
                f"ledger on {name}, 128 callers with 16 / 256 signals each",
                " / ".join(f"{{ledger.{key}.durable_per_s_128_callers_batch.{n}:,.0f}}" for n in (16, 256))
                + f" decisions/s; choices of residents {{ledger.{key}.choices_per_s:,.0f}}/s",
            ),
        )
    ),
    (
        "a proof in a million leaves",
        "{proof.generate_us:,.0f} µs to make, {proof.verify_us:,.0f} µs to check",
    ),
    ("verification of a million leaves", "{verify.leaves_per_s:,.0f} leaves/s; ratio {verify.ratio}"),
    (
        "payloads / fsck / replay of a small ledger",
        "{audit.payloads:,.0f} / {audit.fsck:,.0f} / {audit.replay:,.0f} entries/s",
    ),
    (
        "pages of a resident with 10,000 entries against 10",
        ", ".join(
            f"{page} {{viewer.page_10000_entries.{page}.ratio}}"
            for page in ("overview", "exchanges", "organisation", "check", "download", "erasing")
        ),
    ),
    (
        "auditors' overview / exchanges at a million exchanges",
        "{console.a1_ms:,.0f} ms / {console.a2_ms:,.0f} ms; following a log: {console.follow_per_s:,.0f} entries/s",
    ),
    (
        "memory at 10,000 / 1,000,000 entries",
        ", ".join(
            f"{role} {{memory.entries_10000.{role}_mb:,.0f}} / {{memory.entries_1000000.{role}_mb:,.0f}} MB"
            for role in ("ledger", "gateway", "pseudonyms", "viewer", "witness")
        ),
    ),
)


def filled(template: str, figures: Mapping[str, Any]) -> str:
    """Put figures into a template's places; one that was not measured is a dash."""

    def one(place: re.Match[str]) -> str:
        value = look_up(figures, place[1])
        return "-" if value is None else format(value, place[2] or "")

    return _PLACE.sub(one, template)


def _is_known(template: str, figures: Mapping[str, Any]) -> bool:
    """Tell whether anything of a row was measured."""
    return any(look_up(figures, place[1]) is not None for place in _PLACE.finditer(template))


def performance(figures: Mapping[str, Any]) -> str:
    """Return the table of what was measured, and of what it was meant to be."""
    machine = figures.get("machine", {})
    minutes = sum(figures.get("seconds", {}).values()) / 60
    took = f"; the run took {minutes:.0f} minutes" if minutes else ""
    note = f"; {machine['note']}" if "note" in machine else ""
    lines = [
        f"{machine.get('date', '-')}, {machine.get('cores', '-')} cores{took}{note}.",
        "",
        "| figure | value |",
        "|---|---|",
    ]
    lines += [f"| {name} | {filled(template, figures)} |" for name, template in ROWS if _is_known(template, figures)]
    return "\n".join(lines)


def targets(figures: Mapping[str, Any]) -> str:
    """Return the table of targets, with what was measured."""
    verdicts = judged(figures)
    lines = ["| figure | target | measured | met |", "|---|---|---|---|"]
    for target in TARGETS:
        value, verdict = look_up(figures, target.figure), verdicts.get(target.figure)
        measured_ = "-" if value is None else f"{value:,}".removesuffix(".0")
        met = "-" if verdict is None else "yes" if verdict.met else "**no**"
        lines.append(f"| `{target.figure}` | {target.words} | {measured_} | {met} |")
    return "\n".join(lines)


BLOCKS = {
    "performance.md": {"figures": performance, "targets": targets},
    "scaling.md": {
        "measured": measured,
        "netherlands": netherlands,
        "limits": limits_reached,
        "europe": europe,
    },
}


def replaced(text: str, name: str, content: str) -> str:
    """Put content between the markers of a block; raises ValueError when it is not there exactly once."""
    begin, end = f"<!-- {name}: written by ", f"<!-- end of {name} -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"the document needs one block {name}")
    before, rest = text.split(begin)
    by, rest = rest.split(" -->", 1)
    return f"{before}{begin}{by} -->\n{content}\n{end}{rest.split(end)[1]}"


def written(document: str, figures: Mapping[str, Any]) -> str:
    """Return a document with its blocks made from figures; raises ValueError as ``replaced``."""
    text = (DOCS / document).read_text("utf-8")
    for name, render in BLOCKS[document].items():
        text = replaced(text, name, render(figures))
    return text


def main() -> int:
    if len(sys.argv) > 1:
        KEPT.write_text(json.dumps(json.loads(Path(sys.argv[1]).read_text("utf-8")), indent=1) + "\n", "utf-8")
    figures = json.loads(KEPT.read_text("utf-8"))
    for document in BLOCKS:
        (DOCS / document).write_text(written(document, figures), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

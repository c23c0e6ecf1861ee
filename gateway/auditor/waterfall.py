"""One exchange as it went from organisation to organisation (A4): rows in order, each with where its bar stands.

Spans come from several organisations, each with a clock of its own. An effect cannot be before its cause: where a clock
makes it so, that organisation's rows are moved just far enough, and the row says by how much. Long waits (a signal that
lies in the inbox) are drawn short, so that the work beside them can be seen; the times in the table are the real ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

MOST_DEPTH = 12
"""Deeper rows are drawn at this depth: a stranger's trace may be nested as it likes."""
SHORTEST_BAR = 0.4
"""Percent of the width: a bar that is there is seen."""
WAIT_WIDTH = 6.0
"""Percent of the width that a long wait gets."""
_LONG_WAIT = 3
"""A wait this many times as long as all the work is a long one."""
_LEAST_WAIT_NS = 50_000_000


@dataclass(frozen=True, slots=True)
class Step:
    """A span, or an event of the ledger (then ``index`` is its place in the log, and it takes no time).

    Times are nanoseconds since 1970 by the clock of ``oin``; ids are lower-case hexadecimal, ``parent`` "" for none.
    """

    span_id: str
    parent: str
    oin: str
    name: str
    start_ns: int
    end_ns: int
    failed: bool = False
    index: int | None = None
    more: Mapping[str, str] | None = None


class Bar(NamedTuple):
    """A step as a row: ``x`` and ``width`` in percent of the picture, times in ms since the first step began.

    ``moved_ms`` is by how much its organisation's clock was corrected; ``nested`` how deep it lies.
    """

    step: Step
    nested: int
    start_ms: float
    took_ms: float
    x: float
    width: float
    moved_ms: float
    orphan: bool


class Wait(NamedTuple):
    """A long wait between two pieces of work: where it is drawn, and how long it really took."""

    x: float
    width: float
    took_ms: float


class Waterfall(NamedTuple):
    """The whole picture; ``missing`` are the organisations that should have left a trace and did not."""

    bars: tuple[Bar, ...]
    waits: tuple[Wait, ...]
    missing: tuple[str, ...]
    took_ms: float

    @property
    def organisations(self) -> tuple[str, ...]:
        """Who is in it, in the order in which they come in."""
        return tuple(dict.fromkeys(bar.step.oin for bar in self.bars))


def waterfall(steps: Iterable[Step], expected: Sequence[str]) -> Waterfall:
    """Lay out the steps of one trace; ``expected`` are the organisations that must have had a part in it."""
    found = sorted({(step.span_id, step.index): step for step in steps}.values(), key=_order)
    with_spans = {step.oin for step in found if step.index is None}
    missing = tuple(oin for oin in dict.fromkeys(expected) if oin not in with_spans)
    if not found:
        return Waterfall((), (), missing, 0.0)
    moved = clock_corrections(found)
    rows = _nested(found)
    spans = [(step.start_ns + moved[step.oin], step.end_ns + moved[step.oin]) for step, _, _ in rows]
    first, last = min(start for start, _ in spans), max(end for _, end in spans)
    scale = _Scale(spans)
    bars = tuple(_bar(row, start, end, first, scale, moved) for row, (start, end) in zip(rows, spans, strict=True))
    return Waterfall(bars, scale.waits, missing, (last - first) / 1e6)


def clock_corrections(steps: Sequence[Step]) -> dict[str, int]:
    """Return by how many nanoseconds each organisation's clock is moved, so that no effect is before its cause.

    As little as will do; where the effect then fits within its cause, it is put in the middle of what is left.
    """
    by_id = {step.span_id: step for step in steps if step.index is None}
    moved = dict.fromkeys((step.oin for step in steps), 0)
    settled: set[str] = set()
    for step in _from_the_top(steps, by_id):
        parent = by_id.get(step.parent)
        if parent is None or parent.oin == step.oin:
            settled.add(step.oin)
            continue
        early = parent.start_ns + moved[parent.oin] - step.start_ns - moved[step.oin]
        if early > 0 and step.oin not in settled:
            slack = (parent.end_ns - parent.start_ns) - (step.end_ns - step.start_ns)
            moved[step.oin] += early + max(0, slack) // 2
        elif early > 0:
            moved[step.oin] += early
        settled.add(step.oin)
    return moved


def _from_the_top(steps: Sequence[Step], by_id: Mapping[str, Step]) -> list[Step]:
    """Return the steps with causes before effects, whatever their clocks say."""

    def depth(step: Step) -> int:
        count, seen = 0, {step.span_id}
        while (step := by_id.get(step.parent, step)) and step.span_id not in seen:
            seen.add(step.span_id)
            count += 1
        return count

    return sorted(steps, key=lambda step: (depth(step), *_order(step)))


class _Row(NamedTuple):
    step: Step
    nested: int
    orphan: bool


def _nested(steps: Sequence[Step]) -> list[_Row]:
    """Return the steps below their causes, depth first; what names a cause that is not there is an orphan, on top."""
    ids = {step.span_id for step in steps if step.index is None}
    below: dict[str, list[Step]] = {}
    for step in steps:
        below.setdefault(step.parent if step.parent in ids and step.parent != step.span_id else "", []).append(step)
    rows: list[_Row] = []
    waiting = [(step, 0) for step in reversed(below.pop("", []))]
    while waiting or below:
        if not waiting:  # only a circle of causes is left: somebody's trace is nonsense, and is shown all the same
            waiting = [(step, 0) for step in reversed(below.pop(next(iter(below))))]
        step, depth = waiting.pop()
        rows.append(_Row(step, min(depth, MOST_DEPTH), bool(step.parent) and depth == 0))
        if step.index is None:
            waiting += [(child, depth + 1) for child in reversed(below.pop(step.span_id, []))]
    return rows


def _order(step: Step) -> tuple[int, int, str]:
    return step.start_ns, -step.end_ns, step.span_id


def _bar(  # noqa: PLR0917  (a row, its times and how they are drawn)
    row: _Row, start: int, end: int, first: int, scale: _Scale, moved: Mapping[str, int]
) -> Bar:
    x, until = scale.place(start), scale.place(end)
    width = max(SHORTEST_BAR, until - x)
    return Bar(
        step=row.step,
        nested=row.nested,
        start_ms=(start - first) / 1e6,
        took_ms=(end - start) / 1e6,
        x=round(min(x, 100 - width), 2),
        width=round(width, 2),
        moved_ms=moved[row.step.oin] / 1e6,
        orphan=row.orphan,
    )


class _Scale:
    """From time to percent of the width; in proportion, but for long waits."""

    def __init__(self, spans: Sequence[tuple[int, int]]) -> None:
        pieces = _merged(spans)
        work = max(1, sum(end - start for start, end in pieces))
        gaps = [(end, begin) for (_, end), (begin, _) in pairwise(pieces)]
        long = {gap for gap in gaps if gap[1] - gap[0] > max(_LONG_WAIT * work, _LEAST_WAIT_NS)}
        drawn = max(1, pieces[-1][1] - pieces[0][0] - sum(end - start for start, end in long))
        # However many waits there are, half of the picture is work.
        wait = min(WAIT_WIDTH, 50 / len(long)) if long else 0.0
        unit = (100 - wait * len(long)) / drawn
        self._knots: list[tuple[int, float, float]] = []  # from when, at which x, percent per nanosecond
        waits, at, x = [], pieces[0][0], 0.0
        for start, end in sorted(long):
            self._knots.append((at, x, unit))
            x += (start - at) * unit
            self._knots.append((start, x, wait / (end - start)))
            waits.append(Wait(round(x, 2), round(wait, 2), (end - start) / 1e6))
            at, x = end, x + wait
        self._knots.append((at, x, unit))
        self.waits = tuple(waits)

    def place(self, time_ns: int) -> float:
        """Return where a moment is, 0 to 100."""
        begun, x, unit = next(knot for knot in reversed(self._knots) if knot[0] <= time_ns)
        return min(100.0, x + (time_ns - begun) * unit)


def _merged(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the times in which something was done, without overlap, in order."""
    pieces: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if pieces and start <= pieces[-1][1]:
            pieces[-1] = (pieces[-1][0], max(end, pieces[-1][1]))
        else:
            pieces.append((start, end))
    return pieces

"""How far measured figures reach: the arithmetic of docs/scaling.md, so that its sums are those of its figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.bench.targets import look_up

RESIDENTS, SIGNALS_A_YEAR, BURST = 18_000_000, 1_000_000, 100_000
EUROPE = 25  # times the Netherlands: 450 million residents
YEAR, MONTH, DAY, HOUR = 31_536_000, 2_592_000, 86_400, 3_600
CHOICES_EACH = 2
ENTRIES_OF_A_SIGNAL = 4  # decided, released, acknowledged, outcome
FIRST_YEAR = RESIDENTS * CHOICES_EACH + SIGNALS_A_YEAR * ENTRIES_OF_A_SIGNAL
DISK_BYTES = (750, 1_200)  # of an entry: SQLite files of 36,000 to 80,000 entries
FSCK, REPLAY, AUDIT_BYTES = 36_000, 26_500, 512  # entries/s, entries/s, memory an entry: docs/audit.md
PORTAL_ROWS_A_DAY = 200_000  # REGIE_PORTAL_ROWS_PER_DAY
SENDER_SIGNALS_A_DAY = 200_000  # REGIE_SENDER_SIGNALS_PER_DAY
MEMORY_GB = 24  # of the machine that was measured
TILE, BUNDLE = 8_192, 256 * (2 + 34)  # bytes of 256 hashes, and of 256 committed entries


@dataclass(frozen=True)
class Known:
    """Figures of a run; asking for one that was not measured raises KeyError with its name."""

    figures: Mapping[str, Any]

    def __call__(self, name: str) -> float:
        value = look_up(self.figures, name)
        if value is None:
            raise KeyError(f"{name} was not measured: run all of make bench")
        return value


def measured(figures: Mapping[str, Any]) -> str:
    """Return the figures that the arithmetic starts from."""
    known = Known(figures)
    rows = [
        ("submission in batches of 1000, one sender", f"{known('submission.batch_1000.per_s'):,.0f} signals/s"),
        ("the same on a log of 10^6 entries", f"{known('submission.entries_1000000.growth'):.2f} times the cost"),
        ("submission of single signals, one after the other", f"{known('submission.batch_1.per_s'):,.0f} signals/s"),
        ("delivery", f"{known('delivery.per_s'):,.0f} signals/s"),
        ("enrolment", f"{known('enrolment.per_s'):,.0f} identifiers/s"),
        (
            "decisions, 128 callers with one each",
            (
                f"{known('ledger.sqlite.durable_per_s.128'):,.0f}/s on SQLite, "
                f"{known('ledger.postgres.durable_per_s.128'):,.0f}/s on PostgreSQL"
            ),
        ),
        (
            "choices of residents, written down",
            (
                f"{known('ledger.sqlite.choices_per_s'):,.0f}/s on SQLite, "
                f"{known('ledger.postgres.choices_per_s'):,.0f}/s on PostgreSQL"
            ),
        ),
        ("log verified", f"{known('verify.leaves_per_s'):,.0f} entries/s"),
        ("fsck / replay, and their memory", f"{FSCK:,} / {REPLAY:,} entries/s, half a kilobyte an entry"),
        ("ledger on disk", f"{DISK_BYTES[0]:,} to {DISK_BYTES[1]:,} bytes an entry"),
        ("a multiplication in the group", f"{known('group.multiply_us'):.0f} µs on one core"),
    ]
    return table(("measured", ""), rows)


def netherlands(figures: Mapping[str, Any]) -> str:
    """Return what a year, an hour and a campaign in the Netherlands ask."""
    known, burst = Known(figures), BURST / HOUR
    batch, single = known("submission.batch_1000.per_s"), known("submission.batch_1.per_s")
    choices, enrolled = known("ledger.sqlite.choices_per_s"), known("enrolment.per_s")
    identifiers = RESIDENTS * 2
    low, high = (FIRST_YEAR * each / 1e9 for each in DISK_BYTES)
    later = [SIGNALS_A_YEAR * ENTRIES_OF_A_SIGNAL * each / 1e9 for each in DISK_BYTES]
    tiles = 2 * FIRST_YEAR / 256
    rows = [
        (
            "an ordinary second",
            f"10^6 / 31.5 million s = {SIGNALS_A_YEAR / YEAR:.2f} signals/s",
            f"{percent(SIGNALS_A_YEAR / YEAR / single)} of single calls",
        ),
        (
            "the burst, in batches of 1000",
            f"100,000 / {batch:,.0f} = {BURST / batch:,.0f} s of the hour",
            percent(burst / batch),
        ),
        ("the burst, singly", f"{burst:.1f} signals/s against {single:,.0f}", percent(burst / single)),
        (
            "delivering it, were all of it allowed",
            f"100,000 / {known('delivery.per_s'):,.0f} = {BURST / known('delivery.per_s'):,.0f} s",
            percent(burst / known("delivery.per_s")),
        ),
        (
            "deciding it",
            f"{burst:.1f} decisions/s against {known('ledger.sqlite.durable_per_s.128'):,.0f}",
            percent(burst / known("ledger.sqlite.durable_per_s.128")),
        ),
        (
            "a yes or no from every resident in a month",
            f"18 million / 30 days = {RESIDENTS / MONTH:.1f} choices/s against {choices:,.0f}",
            percent(RESIDENTS / MONTH / choices),
        ),
        (
            "enrolling everybody in two schemes",
            f"36 million / {enrolled:,.0f} = {identifiers / enrolled / HOUR:,.1f} h, over all municipalities",
            "once",
        ),
        (
            "entries in a first year",
            (
                f"36 million choices (two a resident, an assumption) + 4 at most for each signal (decided, released, "
                f"acknowledged, outcome) = {FIRST_YEAR / 1e6:.0f} million"
            ),
            "-",
        ),
        (
            "its disk",
            f"{low:.0f} to {high:.0f} GB; each later year of signals {later[0]:.0f} to {later[1]:.0f} GB",
            "-",
        ),
        (
            "verifying the log",
            f"40 million / {known('verify.leaves_per_s'):,.0f} = {FIRST_YEAR / known('verify.leaves_per_s'):.0f} s",
            "-",
        ),
        (
            "fsck; replay",
            (
                f"{FIRST_YEAR / FSCK / 60:.0f} min; {FIRST_YEAR / REPLAY / 60:.0f} min, and "
                f"**{FIRST_YEAR * AUDIT_BYTES / 1e9:.0f} GB of memory** each"
            ),
            percent(FIRST_YEAR * AUDIT_BYTES / 1e9 / MEMORY_GB) + " of this machine",
        ),
        (
            "the public log",
            f"{tiles:,.0f} tiles and bundles, {tiles / 2 * (TILE + BUNDLE) / 1e9:.1f} GB",
            "-",
        ),
    ]
    return table(("question", "arithmetic", "of what there is"), rows)


def limits_reached(figures: Mapping[str, Any]) -> str:
    """Return what the Netherlands would take of each limit, the narrowest first, and what moves it."""
    known, burst = Known(figures), BURST / HOUR
    campaign = RESIDENTS / MONTH * DAY
    single, batch = known("submission.batch_1.per_s"), known("submission.batch_1000.per_s")
    writer, large = known("ledger.sqlite.durable_per_s.128"), known("ledger.sqlite.durable_per_s_128_callers_batch.256")
    limits = [
        (
            campaign / PORTAL_ROWS_A_DAY,
            "the portal's quota, on purpose",
            f"a month in which everybody chooses is {campaign:,.0f} rows a day; a portal may ask about {PORTAL_ROWS_A_DAY:,}",
            "`REGIE_PORTAL_ROWS_PER_DAY`, for the campaign only: it bounds what a stolen portal could ask",
        ),
        (
            FIRST_YEAR * AUDIT_BYTES / 1e9 / MEMORY_GB,
            "memory of the auditors",
            f"replay of the first year holds {FIRST_YEAR * AUDIT_BYTES / 1e9:.0f} GB of {MEMORY_GB}",
            (
                f"a machine with 64 GB carries {64e9 / AUDIT_BYTES / 1e6:.0f} million entries; then several ledgers (a replay in "
                "parts is not built)"
            ),
        ),
        (
            burst / single,
            "single signals of one sender",
            f"the burst is {burst:.1f}/s; one sender that waits for each answer gets {single:,.0f}/s",
            f"a file, or batches: {batch / single:,.0f} times as many signals of the same machine; or several calls at once",
        ),
        (
            BURST / SENDER_SIGNALS_A_DAY,
            "a sender's quota, on purpose",
            f"the burst of one sender is {BURST:,} of the {SENDER_SIGNALS_A_DAY:,} signals of its day",
            "`REGIE_SENDER_SIGNALS_PER_DAY`",
        ),
        (
            burst / known("delivery.per_s"),
            "delivery",
            f"{burst:.1f}/s of {known('delivery.per_s'):,.0f}, to one municipality",
            "each municipality receives on a machine of its own",
        ),
        (
            burst / batch,
            "group operations, all parties on two cores",
            f"{burst:.1f}/s of {batch:,.0f}",
            (
                "a machine for each party, and cores: they share no state but the ledger's order. A gateway multiplies twice for "
                f"a signal: {0.5e6 / known('group.multiply_us'):,.0f} signals/s a core at most. More gateways and second "
                "evaluators over one PostgreSQL"
            ),
        ),
        (
            RESIDENTS / MONTH / known("ledger.sqlite.choices_per_s"),
            "recording choices",
            f"{RESIDENTS / MONTH:.1f}/s of {known('ledger.sqlite.choices_per_s'):,.0f}",
            "as the writer",
        ),
        (
            ENTRIES_OF_A_SIGNAL * burst / writer,
            "the ledger's one writer",
            f"{ENTRIES_OF_A_SIGNAL * burst:.0f} entries/s of {writer:,.0f}",
            (
                f"larger batches ({large:,.0f}/s with 256 signals each). Replicas make it more available, not faster: they take "
                "turns under one lock. Beyond that, a ledger per region"
            ),
        ),
    ]
    rows = [(percent(used), *rest) for used, *rest in sorted(limits, key=lambda one: one[0], reverse=True)]
    return table(("used", "limit", "by", "what moves it"), rows)


def europe(figures: Mapping[str, Any]) -> str:
    """Return what one ledger for the European Union would be asked."""
    known, burst = Known(figures), EUROPE * BURST
    batch, writer = known("submission.batch_1000.per_s"), known("ledger.sqlite.durable_per_s.128")
    entries = EUROPE * FIRST_YEAR
    largest = 5 * FIRST_YEAR
    rows = [
        (
            "the burst, in batches of 1000",
            f"2.5 million / {batch:,.0f} = {burst / batch / 60:.0f} min of the hour on two cores: {percent(burst / HOUR / batch)}",
        ),
        ("deciding it", f"{burst / HOUR:,.0f}/s against {writer:,.0f}: {percent(burst / HOUR / writer)}"),
        (
            "a yes or no from everybody in a month",
            (
                f"{EUROPE * RESIDENTS / MONTH:,.0f} choices/s against {known('ledger.sqlite.choices_per_s'):,.0f}: "
                f"{percent(EUROPE * RESIDENTS / MONTH / known('ledger.sqlite.choices_per_s'))}"
            ),
        ),
        (
            "one ledger's first year",
            (
                f"{entries / 1e9:.0f} x 10^9 entries, {entries * DISK_BYTES[0] / 1e12:.2f} to {entries * DISK_BYTES[1] / 1e12:.1f} TB; "
                f"replay {entries / REPLAY / HOUR:.1f} h and **{entries * AUDIT_BYTES / 1e9:.0f} GB** of memory"
            ),
        ),
        (
            "its public log",
            f"{2 * entries / 256 / 1e6:.1f} million tiles and bundles, {entries / 256 * (TILE + BUNDLE) / 1e9:.0f} GB",
        ),
        (
            "the largest of 27 ledgers, five times the Dutch",
            (
                f"{largest / 1e6:.0f} million entries, {largest * DISK_BYTES[1] / 1e9:.0f} GB; replay {largest / REPLAY / HOUR:.1f} h "
                f"and {largest * AUDIT_BYTES / 1e9:.0f} GB"
            ),
        ),
    ]
    return table(("question", "arithmetic"), rows)


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a table in Markdown."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def percent(share: float) -> str:
    """Return a share in percent with two digits that mean something: 71 %, 3.1 %, 0.26 %, 0.001 %."""
    value = 100 * share
    return f"{value:,.0f} %" if value >= 10 else f"{value:.2g} %" if value >= 0.001 else "below 0.001 %"

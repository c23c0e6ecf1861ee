"""Writes the Grafana dashboards beside this file from one list of panels, so that nobody edits JSON by hand.

python deploy/observability/grafana/make_dashboards.py
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "dashboards"
DATASOURCE = {"type": "prometheus", "uid": "${source}"}
WIDTH, HEIGHT, COLUMNS = 12, 8, 24


@dataclass(frozen=True, slots=True)
class Panel:
    """One graph, or one number when ``number``: what it shows, in which unit, and for whom it is explained."""

    title: str
    expression: str
    legend: str = ""
    unit: str = "short"
    about: str = ""
    number: bool = False


EXCHANGES = (
    Panel(
        "Decided signals",
        "sum by (purpose) (regie:decisions:rate5m) * 60",
        "{{purpose}}",
        "opm",
        "A minute, at the ledger.",
    ),
    Panel("Decisions by reason", "sum by (reason) (regie:decisions:rate5m) * 60", "{{reason}}", "opm"),
    Panel(
        "Not shared",
        "regie:refused:ratio1h",
        "{{purpose}}",
        "percentunit",
        "Share of an hour's decisions. A refusal is the system at work; a jump is a sender to ask.",
    ),
    Panel(
        "What senders were told",
        "sum by (sender, outcome) (regie:exchanges:rate5m) * 60",
        "{{sender}} {{outcome}}",
        "opm",
    ),
    Panel(
        "Prohibited attempts",
        'sum by (purpose) (increase(regie_decisions_total{reason="PURPOSE_PROHIBITED"}[1h]))',
        "{{purpose}}",
    ),
    Panel("Signals that wait for a recipient", "regie_inbox_waiting", "{{role}}"),
    Panel("Until the first signal that waits is gone", "regie_inbox_expires_seconds", "{{role}}", "s"),
    Panel("Calls, slowest 5 %", "regie:rpc_seconds:p95_5m", "{{role}} {{method}}", "s"),
    Panel("Stages, slowest 5 %", "regie:stage_seconds:p95_5m", "{{role}} {{stage}}", "s"),
    Panel("Calls that failed", "regie:rpc_failed:ratio5m", "{{role}} {{method}}", "percentunit"),
)
LOG = (
    Panel("Entries in the log", "max(regie_log_size)", number=True),
    Panel("Newest published checkpoint", "max(regie_checkpoint_age_seconds)", unit="s", number=True),
    Panel("Entries not witnessed yet", "max(regie_witness_lag_entries)", number=True),
    Panel("Processing log: records that wait", "max(regie_ldv_pending)", number=True),
    Panel("Growth", "rate(regie_log_size[5m]) * 60", "{{role}}", "opm", "Entries a minute."),
    Panel("Age of the published checkpoint", "regie_checkpoint_age_seconds", "{{role}}", "s", "An hour is the most."),
    Panel("Entries not witnessed", "regie_witness_lag_entries", "{{witness}}"),
    Panel("Processing log: waiting", "regie_ldv_pending", "{{role}}", "short", "Records are kept until acknowledged."),
    Panel("Roles that answer", 'up{job="regie"}', "{{role}} {{instance}}"),
    Panel("Room on the disk", "regie_disk_free_ratio", "{{role}}", "percentunit"),
    Panel("Spans dropped", "increase(regie_spans_dropped_total[15m])", "{{role}}"),
    Panel("Alerts", 'ALERTS{alertname=~"Regie.*", alertstate="firing"}', "{{alertname}} {{role}} {{purpose}}"),
)
DASHBOARDS = {"regie-exchanges": ("Regie: exchanges", EXCHANGES), "regie-log": ("Regie: log and roles", LOG)}


def dashboard(uid: str, title: str, panels: Sequence[Panel]) -> dict[str, Any]:
    """Return a dashboard as Grafana reads it; the data source is chosen by name on top of it."""
    source = {"name": "source", "label": "Data source", "type": "datasource", "query": "prometheus"}
    return {
        "uid": uid,
        "title": title,
        "tags": ["regie"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [{**source, "current": {"text": "Prometheus", "value": "prometheus"}}]},
        "panels": _placed(panels),
    }


def _placed(panels: Sequence[Panel]) -> list[dict[str, Any]]:
    """Put numbers in one row of small ones, and graphs below, two beside each other."""
    numbers, graphs = ([panel for panel in panels if panel.number is number] for number in (True, False))
    top, placed = 4 if numbers else 0, []
    for at, panel in enumerate(numbers):
        width = COLUMNS // len(numbers)
        placed.append(_panel(panel, {"x": at * width, "y": 0, "w": width, "h": 4}))
    for at, panel in enumerate(graphs):
        position = {"x": at % 2 * WIDTH, "y": top + at // 2 * HEIGHT, "w": WIDTH, "h": HEIGHT}
        placed.append(_panel(panel, position))
    return [{"id": number, **panel} for number, panel in enumerate(placed, start=1)]


def _panel(panel: Panel, position: dict[str, int]) -> dict[str, Any]:
    return {
        "type": "stat" if panel.number else "timeseries",
        "title": panel.title,
        "description": panel.about,
        "datasource": DATASOURCE,
        "gridPos": position,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": "A", "datasource": DATASOURCE, "expr": panel.expression, "legendFormat": panel.legend or "__auto"}
        ],
    }


def texts() -> dict[str, str]:
    """Return the files, by name."""
    made = {f"{uid}.json": dashboard(uid, title, panels) for uid, (title, panels) in DASHBOARDS.items()}
    return {name: json.dumps(content, indent=2) + "\n" for name, content in made.items()}


if __name__ == "__main__":
    for file_name, text in texts().items():
        (FOLDER / file_name).write_text(text, "utf-8")

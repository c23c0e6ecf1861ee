"""The files of deploy/observability as tests read them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support import tools

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "observability"
RULES = sorted((FOLDER / "rules").glob("*.rules.yml"))
DASHBOARDS = sorted((FOLDER / "grafana" / "dashboards").glob("*.json"))
_NAME = re.compile(r"\bregie_[a-z_]+\b")


def promtool(*arguments: str | Path, folder: Path = FOLDER) -> subprocess.CompletedProcess[str]:
    """Run promtool in a folder."""
    return subprocess.run(
        [tools.path("promtool"), *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each panel of each dashboard, with the dashboard's name."""
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text("utf-8"))["panels"]:
            yield path.name, panel


def expressions() -> list[str]:
    """Return what the panels ask Prometheus."""
    return [target["expr"] for _, panel in panels() for target in panel["targets"]]


def series_named() -> set[str]:
    """Return the series of Regie that rules and dashboards name."""
    rules = "\n".join(_without_comments(path) for path in RULES)
    return set(_NAME.findall("\n".join((rules, *expressions()))))


def _without_comments(path: Path) -> str:
    return "\n".join(line for line in path.read_text("utf-8").splitlines() if not line.lstrip().startswith("#"))

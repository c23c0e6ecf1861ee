"""regie.toml and the REGIE_* variables: everything is read, nothing is misspelt, nothing contradicts."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gateway.auditor.settings import audit_settings
from gateway.doctor.finding import Finding, fail, ok, warn
from gateway.home import ROLES, SERVICES, Home, HomeError
from gateway.ldv.settings import LdvSettings
from gateway.settings import Settings, load_settings
from gateway.telemetry.otlp import collector_of
from gateway.viewer.settings import desk_settings, viewer_settings
from gateway.witness.quorum import quorum_of

AREA = "settings"
ANYTHING = frozenset({"*"})
"""Tables whose keys somebody chose, or whose own reader refuses what it does not know."""
KNOWN: Mapping[str, frozenset[str]] = {
    "": frozenset({"demo", "log_verifier_keys", "log_verifier_key", "operators", "addresses", "viewer", "witnesses"})
    | {"ledger", "databases", "ldv", "telemetry", "auditor"},
    "operators": frozenset(ROLES) | {"auditor"},
    "addresses": frozenset(SERVICES) | {"auditor", "metrics"},
    "viewer": ANYTHING,
    "auditor": ANYTHING,
    "addresses.metrics": ANYTHING,
    "ledger": frozenset({"database"}),
    "ldv": ANYTHING,
    "telemetry": frozenset({"otlp"}),
    "witnesses": frozenset({"quorum", "known"}),
}
"""Table -> its settings."""
OUR_VARIABLES = frozenset({"REGIE_HOME", "REGIE_DEBUG", "REGIE_TOOLS"})


def check_settings(home: Home, environment: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """Look at the settings of a home that could be opened."""
    path = home.folder / "regie.toml"
    unknown = list(_unknown(tomllib.loads(path.read_text("utf-8")), ""))
    for name in unknown:
        yield warn(AREA, f"regie.toml has a setting {name} that nothing reads", "correct its name, or take it out")
    contradictions = list(_contradictions(home))
    yield from contradictions
    yield from _variables(environment)
    if not unknown and not contradictions:
        yield ok(AREA, f"{path} is read, and nothing in it is unknown")


def _unknown(table: Mapping[str, Any], name: str) -> Iterator[str]:
    known = KNOWN.get(name, ANYTHING)
    for key, value in table.items():
        full = f"{name}.{key}" if name else key
        if known != ANYTHING and key not in known:
            yield full
        elif isinstance(value, dict):
            yield from _unknown(value, full)


def _contradictions(home: Home) -> Iterator[Finding]:
    readers: list[Callable[[Home], object]] = [quorum_of, LdvSettings.of, _collector]
    if "viewer" in home.addresses:
        readers.append(viewer_settings)
    if "desk" in home.addresses:
        readers.append(desk_settings)
    if "auditor" in home.addresses:
        readers.append(audit_settings)
    for reader in readers:
        try:
            reader(home)
        except HomeError as error:
            yield fail(AREA, str(error), f"correct {home.folder / 'regie.toml'}, then run this again")


def _collector(home: Home) -> None:
    if home.collector is not None:
        collector_of(home.collector)


def _variables(environment: Mapping[str, str]) -> Iterator[Finding]:
    try:
        load_settings()
    except HomeError as error:
        yield fail(AREA, str(error), "unset the variable, or give it a value within its bounds")
    known = OUR_VARIABLES | {f"REGIE_{name}".upper() for name in Settings.model_fields}
    for name in sorted(environment):
        if name.startswith("REGIE_") and name not in known:
            yield warn(AREA, f"nothing reads the environment variable {name}", "correct its name, or unset it")

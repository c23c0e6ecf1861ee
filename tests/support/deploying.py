"""What is deployed, as facts that the files in deploy/ are compared with."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

from gateway.cli.serve import KNOWN
from gateway.directory.founding import KEYS_OF

FOLDER = Path(__file__).resolve().parents[2] / "deploy"
HOMES: dict[str, Any] = runpy.run_path(str(FOLDER / "homes.py"))
PORTS: dict[str, int] = HOMES["PORTS"]
METRICS: int = HOMES["METRICS"]
SERVICES = frozenset((*KNOWN, "desk"))
"""Every role of `regie serve`, and the viewer's second process."""
EDGES = frozenset((asking, asked) for asking in SERVICES for asked in HOMES["ASKS"][asking]) | {("ledger", "postgres")}
OUTSIDE = frozenset({"viewer", "desk", "auditor"})
"""Who asks an identity provider."""
_HOST = re.compile(r"\b[a-z0-9-]+(?:\.[a-z0-9-]+)*\.(?:io|com|org|dev|net|nl)\b(?:/|:\d)", re.IGNORECASE)
_API_GROUPS = ("k8s.io/", "kubernetes.io/")


def role_of(service: str) -> str:
    """Return the role that a service runs."""
    return HOMES["RUNS"].get(service, service)


def keys_of(service: str) -> set[str]:
    """Return the names of the secret files that a service is given."""
    if service == "witness":
        return {"witness"}
    more = {"ledger": {"ldv"}, "viewer": {"oidc"}, "desk": {"oidc", "oidc-desk"}, "auditor": {"oidc"}}
    return {*KEYS_OF[role_of(service)], "tls", *more.get(service, ())}  # type: ignore[index]


def variables(path: Path) -> dict[str, str]:
    """Return the variables of a file as systemd's EnvironmentFile reads it."""
    lines = path.read_text("utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def registry_hosts(text: str) -> list[str]:
    """Return what looks like a host that images or packages come from."""
    return [found for found in _HOST.findall(text) if not found.endswith(_API_GROUPS)]

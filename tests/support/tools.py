"""Programs that come from the system and not from a wheel: tests name those they need.

``make test`` on a machine that has only Python and make leaves such tests out and says how many and what is missing.
Where ``REGIE_TOOLS=required`` is set, as ``.ci/run`` does after installing them, a missing one is a failure.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

TOOLS: dict[str, tuple[tuple[str, ...], str]] = {
    # name -> (places to look, Debian packages)
    "go": (("/usr/lib/go-1.19/bin/go",), "golang-1.19-go golang-golang-x-mod-dev"),
    "postgres15": (("/usr/lib/postgresql/15/bin/postgres",), "postgresql-15"),
    "strace": (("strace",), "strace"),
    "patroni": (("/usr/bin/patroni",), "patroni python3-etcd python3-idna python3-psycopg2"),
    "etcd": (("/usr/bin/etcd",), "etcd-server"),
    "haproxy": (("/usr/sbin/haproxy", "haproxy"), "haproxy"),
    "chromium": (("chromium",), "chromium"),
    "prometheus": (("prometheus",), "prometheus"),
    "promtool": (("promtool",), "prometheus"),
    "systemd-analyze": (("systemd-analyze",), "systemd"),
}


def find(name: str) -> Path | None:
    """Return the path of a tool, or None when this machine does not have it."""
    for place in TOOLS[name][0]:
        if (found := shutil.which(place)) is not None:
            return Path(found)
    return None


def path(name: str) -> Path:
    """Return the path of a tool; raises RuntimeError saying what to install."""
    if (found := find(name)) is None:
        raise RuntimeError(f"{name} is not installed: apt-get install {TOOLS[name][1]}")
    return found


def required() -> bool:
    """Whether a missing tool is a failure."""
    return os.environ.get("REGIE_TOOLS") == "required"

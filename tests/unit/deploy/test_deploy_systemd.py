"""The units: one template for each role, as tight as systemd can check without running them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.support import tools
from tests.support.deploying import FOLDER, SERVICES, role_of

UNITS = {
    path.name.removeprefix("regie-").removesuffix("@.service"): path for path in (FOLDER / "systemd").glob("*.service")
}
MOST_EXPOSED = 20
"""Tenths of systemd's exposure level, which goes from 0 to 10."""
TIGHT = {
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "RestrictNamespaces": "yes",
    "MemoryDenyWriteExecute": "yes",
    "SystemCallArchitectures": "native",
    "UMask": "0077",
    "LimitCORE": "0",
}


def settings(path: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, value in re.findall(r"^([A-Za-z]+)=(.*)$", path.read_text("utf-8"), re.MULTILINE):
        found.setdefault(key, []).append(value)
    return found


def test_every_role_has_a_unit_and_a_user():
    assert set(UNITS) == SERVICES
    users = re.findall(r"^u regie-(\w+) ", (FOLDER / "systemd" / "sysusers.conf").read_text("utf-8"), re.MULTILINE)
    folders = re.findall(
        r"^d /var/lib/regie-(\w+) 0700 regie-\1 regie-\1 -$",
        (FOLDER / "systemd" / "tmpfiles.conf").read_text("utf-8"),
        re.MULTILINE,
    )
    assert set(users) == set(folders) == SERVICES


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_unit_runs_its_role_as_its_own_user_and_writes_only_its_data(name):
    said = settings(UNITS[name])
    home = f"/var/lib/regie-{name}/%i"
    assert said["ExecStart"] == [f"/opt/regie/bin/regie serve {role_of(name)} --home {home}"]
    assert said["User"] == said["Group"] == [f"regie-{name}"]
    assert said["ReadWritePaths"] == [f"{home}/witness" if name == "witness" else f"{home}/orgs/%i/data"]
    assert {key: said[key] for key in TIGHT} == {key: [value] for key, value in TIGHT.items()}
    assert said["SystemCallFilter"] == ["@system-service", "~@privileged @resources"]
    assert said["RestartPreventExitStatus"] == ["2"]


@pytest.mark.needs("systemd-analyze")
def test_systemd_reads_the_units(tmp_path):
    """The program is not on this machine: another takes its place, nothing else is changed."""
    for path in UNITS.values():
        copy = tmp_path / path.name
        copy.write_text(path.read_text("utf-8").replace("/opt/regie/bin/regie", "/bin/true"))
        done = analyze("verify", str(copy))
        assert done.returncode == 0, done.stderr
        assert path.name not in done.stderr, done.stderr  # it only warns of what it does not know


@pytest.mark.needs("systemd-analyze")
def test_systemd_says_what_it_does_not_know(tmp_path):
    text = UNITS["ledger"].read_text("utf-8").replace("/opt/regie/bin/regie", "/bin/true")
    (tmp_path / UNITS["ledger"].name).write_text(text.replace("ProtectClock", "ProtectKlock"))
    assert UNITS["ledger"].name in analyze("verify", str(tmp_path / UNITS["ledger"].name)).stderr


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("name", sorted(SERVICES))
def test_little_of_the_machine_is_exposed(name):
    done = analyze("security", "--offline=true", "--no-pager", f"--threshold={MOST_EXPOSED}", str(UNITS[name]))
    assert done.returncode == 0, done.stdout[-200:]


@pytest.mark.needs("systemd-analyze")
def test_a_looser_unit_is_noticed(tmp_path):
    loose = tmp_path / UNITS["ledger"].name
    loose.write_text(
        re.sub(
            r"^(SystemCallFilter|CapabilityBoundingSet|PrivateUsers)=.*\n",
            "",
            UNITS["ledger"].read_text("utf-8"),
            flags=re.MULTILINE,
        )
    )
    done = analyze("security", "--offline=true", "--no-pager", f"--threshold={MOST_EXPOSED}", str(loose))
    assert done.returncode == 1


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [tools.path("systemd-analyze"), *arguments], capture_output=True, text=True, check=False, timeout=60
    )

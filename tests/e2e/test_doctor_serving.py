"""`regie doctor` on a set-up that runs: well, and with each thing wrong that only a running set-up shows."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from consent_ledger.clock import system_clock
from consent_ledger.log.checkpoint import Checkpoint
from consent_ledger.registry import Registry
from gateway.doctor import ledger
from gateway.doctor.examine import examine
from gateway.doctor.finding import Case, Finding
from gateway.home import Home, Organisation
from gateway.witness.home import found_witness
from tests.support.command import Regie, Server, serve, served
from tests.support.servers import certificate, make_home, registry_of, with_certificate

pytestmark = pytest.mark.timeout(90)
LAMPJE, LEDGER = "00000099000000005001", "00000099000000003000"
OTHERS = ("witness", "ledger", "pseudonyms", "viewer", "auditor")
HOUR_MS = 3_600_000


@dataclass
class Running:
    """A home that is served; its gateway is a process of its own."""

    regie: Regie
    gateway: Server


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    home = make_home(tmp_path_factory.mktemp("doctor") / "home")
    regie = Regie(home.folder)
    with served(regie, *OTHERS):
        found = Running(regie, serve(regie, "gateway"))
        yield found
        found.gateway.kill()


@pytest.fixture
def folder(running, tmp_path) -> Path:
    """Settings and keys of the running home, to be spoilt."""
    home = tmp_path / "copy"
    shutil.copytree(running.regie.home, home, ignore=shutil.ignore_patterns("data"))
    shutil.copytree(running.regie.home / "orgs" / LEDGER / "data", home / "orgs" / LEDGER / "data")
    return home


async def findings_of(folder: Path, clock=system_clock) -> list[Finding]:
    return [finding async for finding in examine(folder, clock=clock)]


def named(found: list[Finding], level: str, area: str, text: str) -> Finding:
    matching = [one for one in found if (one.level, one.area) == (level, area) and text in one.what]
    assert matching, [(one.level, one.area, one.what) for one in found if one.level != "ok"]
    return matching[0]


def test_a_healthy_set_up(running):
    regie = running.regie
    result = regie.ok("doctor", "--json")
    found = [Finding(**one) for one in result.json["findings"]]
    assert [one.what for one in found if one.level == "fail"] == []
    (demo,) = [one for one in found if one.level == "warn"]
    assert "nobody is separated" in demo.what
    areas = {
        "settings",
        "keys",
        "certificates",
        "databases",
        "disk",
        "roles",
        "clocks",
        "directory",
        "log",
        "telemetry",
    }
    assert {one.area for one in found} >= areas
    for role in ("ledger", "pseudonyms", "gateway"):
        assert named(found, "ok", "roles", f"the {role} at").reached


def test_a_role_that_was_stopped(running):
    """All that is wrong is that somebody does not answer: exit code 3."""
    running.gateway.stop()
    try:
        result = running.regie.run("doctor", "--json")
    finally:
        running.gateway = serve(running.regie, "gateway")
    assert result.code == 3
    found = [Finding(**one) for one in result.json["findings"]]
    assert "regie serve gateway" in named(found, "fail", "roles", "is the gateway running?").how
    assert named(found, "fail", "directory", "cannot be fetched").how
    assert not any(one.reached for one in found if one.level == "fail")


@pytest.mark.parametrize(
    ("odd", "text"),
    [({"valid_for": timedelta(days=-1)}, "expired on"), ({"foreign": True}, "not issued by the authority")],
)
async def test_a_certificate_that_the_servers_refuse(running, tmp_path, odd, text):
    """The home of one agency, which asks with its own certificate."""
    home = Home.open(running.regie.home)
    spoilt = with_certificate(home, LAMPJE, certificate(home, LAMPJE, **odd), tmp_path / "spoilt")
    for other in (spoilt.folder / "orgs").iterdir():
        if other.name != LAMPJE:
            shutil.rmtree(other)
    found = await findings_of(spoilt.folder)
    for area in ("certificates", "roles"):
        assert named(found, "fail", area, text).reached
    assert not any(one.area == "databases" and "ledger is in" in one.what for one in found)


async def test_an_authority_that_the_servers_do_not_have(folder):
    other = make_home(folder.parent / "other")
    (folder / "ca" / "ca.pem").write_bytes(other.authority)
    found = await findings_of(folder)
    assert named(found, "fail", "certificates", "not issued by the authority")
    assert named(found, "fail", "roles", "not issued by the authority").how


async def test_another_log_than_the_settings_say(folder):
    other = Home.open(make_home(folder.parent / "other").folder)
    path = folder / "regie.toml"
    text = path.read_text()
    for ours, theirs in zip(
        Home.open(folder).log_verifier_key.split("\n"), other.log_verifier_key.split("\n"), strict=True
    ):
        text = text.replace(ours, theirs)
    path.write_text(text)
    found = await findings_of(folder)
    assert "do not exchange anything" in named(found, "fail", "directory", "does not verify").how
    assert "do not exchange anything" in named(found, "fail", "log", "does not check").how


async def test_a_witness_that_does_not_cosign(folder):
    known = '\n[[witnesses.known]]\nurl = "http://127.0.0.1:19996"\nverifier_keys = {}\n'
    path = folder / "regie.toml"
    (folder.parent / "guard").mkdir()
    keys = Home.open(folder).log_verifier_key.split("\n")
    guard = found_witness(folder.parent / "guard", "guard.example/w1", [keys], os.urandom).verifier_keys()
    path.write_text(path.read_text() + known.format(guard))
    found = await findings_of(folder)
    assert named(found, "warn", "log", "guard.example/w1 did not cosign").how


async def test_a_checkpoint_and_a_clock_three_hours_off(running):
    later = await findings_of(running.regie.home, lambda: system_clock() + 3 * HOUR_MS)
    assert named(later, "fail", "log", "minutes old")
    assert "NTP" in named(later, "fail", "clocks", "behind this machine's").how
    earlier = await findings_of(running.regie.home, lambda: system_clock() - 10_000)
    assert named(earlier, "warn", "clocks", "s ahead of this machine's")


def case_of(home: Home, *, demo: bool) -> Case:
    names = [path.name for path in (home.folder / "orgs").iterdir()]
    organisations = [Organisation(name, home.folder / "orgs" / name) for name in names]
    return Case(replace(home, demo=demo), organisations, system_clock)


def test_who_is_not_registered_as_it_is_here(running, folder, tmp_path):
    home = Home.open(folder)
    registry = registry_of(Home.open(running.regie.home))
    spoilt = with_certificate(home, LAMPJE, certificate(home, LAMPJE), tmp_path / "renewed")
    found = list(ledger.registered(case_of(spoilt, demo=True), registry))
    assert [one.level for one in found] == ["warn"]
    assert "not the one that the directory has" in found[0].what
    stranger = list(ledger.registered(case_of(home, demo=True), Registry()))
    assert {one.level for one in stranger} == {"fail"}
    assert "does not take part" in stranger[0].what
    assert [one.level for one in ledger.separate(case_of(home, demo=False), registry)] == ["ok"]


@pytest.mark.parametrize(
    ("published", "age_ms", "head", "level", "text"),
    [
        (100, 1_000, 100, "ok", "100 entries are signed"),
        (100, 1_000, 140, "ok", "100 entries are signed"),
        (100, 90_000, 140, "warn", "40 entries of the log are not witnessed after 90 s"),
        (100, 3 * HOUR_MS, 100, "fail", "180 minutes old"),
        (100, -120_000, 100, "fail", "120 s in the future"),
    ],
)
def test_how_far_witnesses_may_be_behind(running, published, age_ms, head, level, text):
    now = 1_800_000_000_000
    case = Case(Home.open(running.regie.home), (), lambda: now)
    checkpoint = Checkpoint("log", published, bytes(32))
    (found,) = ledger.freshness(case, checkpoint, {"w": (now - age_ms) // 1000}, head)
    assert (found.level, found.area) == (level, "log")
    assert text in found.what

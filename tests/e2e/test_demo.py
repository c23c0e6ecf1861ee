"""The demo as a newcomer runs it: in a process of its own, from nothing."""

import html
import json
import os
import re
import select
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import httpx2
import pytest

from gateway.exchange.refusals import hour_counts
from gateway.home import Home
from tests.support.command import REGIE, Regie, served

pytestmark = pytest.mark.timeout(150)
SCENES = (
    "AS1a",
    "AS1b",
    "AS1c",
    "AS2a",
    "AS2b",
    "AS3a",
    "AS3b",
    "AS4a",
    "AS4b",
    "AS4c",
    "AS4d",
    "AS4e",
    "AS4f",
    "AS4g",
    "AS4h",
    "AS10",
    "R5",
    "R21",
    "R38",
)
LEDGER = Path("orgs", "00000099000000003000", "data", "ledger.db")
ZONNEVEEN, LAMPJE, WARMBRON = "00000099000000007001", "00000099000000005001", "00000099000000005003"


def test_one_json_object_and_nothing_left_behind(tmp_path):
    temporary = {**os.environ, "TMPDIR": str(tmp_path)}
    begun = time.monotonic()
    done = subprocess.run(
        [*REGIE, "demo", "--exit", "--json"], check=False, capture_output=True, text=True, timeout=140, env=temporary
    )
    took = time.monotonic() - begun
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == 1
    said = json.loads(done.stdout)
    assert list(said) == [
        *("sent", "accepted", "refused", "delivered", "log_size", "log_verified", "proofs_verified", "seconds"),
    ]
    assert said["log_verified"] is True
    assert said["proofs_verified"] == said["delivered"] > 100
    # One signal is accepted and then stopped at delivery (AS4e).
    assert said["delivered"] == said["accepted"] - 1
    assert said["sent"] == said["accepted"] + sum(said["refused"].values())
    reasons = {"NO_CONSENT", "REFUSED", "WITHDRAWN", "PAUSED", "SCOPE_EXCEEDED", "GENERAL_ONLY"}
    reasons |= {"SELF_FIRST_WINDOW", "AWAITING_RESIDENT", "PURPOSE_PROHIBITED"}
    assert set(said["refused"]) == reasons
    assert said["refused"]["PURPOSE_PROHIBITED"] == 4
    assert said["log_size"] > said["sent"] + said["delivered"]
    assert said["seconds"] < took < 120
    assert list(tmp_path.iterdir()) == []


def read_until(process, text, seconds):
    """Return what the process printed up to the line that holds ``text``."""
    seen, deadline = "", time.monotonic() + seconds
    while text not in seen:
        assert time.monotonic() < deadline, f"not said in {seconds} s:\n{seen}"
        if select.select([process.stdout], [], [], 1)[0]:
            more = os.read(process.stdout.fileno(), 65_536).decode()
            assert more, f"the demo ended:\n{seen}"
            seen += more
    return seen


@pytest.fixture(scope="module")
def town():
    """A town that was kept and is served while the tests run, with what was told; Ctrl-C ends it well."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setenv("COLUMNS", "200")
        regie = Regie(Path(folder) / "town")
        with (Path(folder) / "errors").open("w+") as errors:
            process = regie.start("demo", stderr=errors)
            try:
                yield regie, read_until(process, "Every look is in the log afterwards", 120)
                process.send_signal(signal.SIGINT)
                assert process.wait(timeout=30) == 0
            finally:
                process.kill()
                process.wait()
                process.stdout.close()
        # The story ended in the present, so the town can be served with the machine's own clock.
        with served(regie):
            assert ZONNEVEEN in regie.directory()["municipality"]
        regie.ok("log", "verify", str(regie.home / LEDGER))


def test_the_story_is_told(town):
    _, told = town
    for scene in SCENES:
        assert scene in told
    assert "klopt niet" not in told
    assert "Tegengehouden. U heeft hierover nog niets gekozen." in told
    assert "Blocked. Sharing data for this purpose is not allowed." in told
    assert "geen scheiding" in told
    forbidden = r"\b(schuldenaar|wanbetal\w*|probleemgeval|verwijtbaar|risicoburger|doelgroep|middels|indien|reeds)\b"
    assert not re.search(forbidden, told, re.IGNORECASE)


def test_the_commands_it_names_work(town):
    regie, told = town
    assert str(regie.home) in told
    kinds = regie.directory()
    assert ZONNEVEEN in kinds["municipality"]
    assert (len(kinds["energy_supplier"]), len(kinds["municipality"]), len(kinds["tax_office"])) == (3, 2, 1)
    arrears = regie.home / "town" / "arrears-lampje.csv"
    sent = regie.json(
        *("send", str(arrears), "--purpose", "vroegsignalering-energie", "--to", ZONNEVEEN, "--as", LAMPJE)
    )
    assert sent["rows"] == len(arrears.read_text().splitlines()) - 1
    assert sent["accepted"] > 50
    assert sent["probeer_later"] == 0
    # The demo sent the same file twice already: whoever agreed was shared once.
    again = regie.ok("receive", "--as", ZONNEVEEN, "--json").lines
    assert len(again) < 20
    regie.ok("log", "verify", str(regie.home / LEDGER), "--json")


def test_the_pages_it_names_are_served_with_somebody_to_log_in_as(town):
    _, told = town
    pages = re.findall(r"^(http://127\.0\.0\.1:\d+) +\((.+)\)$", told, re.MULTILINE)
    for (origin, names), path in zip(pages, ("/nl/inloggen", "/nl/balie/inloggen"), strict=False):
        page = httpx2.get(origin + path).text
        assert all(html.escape(name) in page for name in names.split(", ")), origin
    assert "Petra" in pages[0][1]
    assert "Noor (balie Zonneveen)" in pages[1][1]


def test_the_auditor_has_a_day_to_look_at(town):
    """Traffic by day, somebody who asked about very many people at night, and what a municipality left lying."""
    regie, _ = town
    since = int(time.time()) // 3600 - 24
    counts = hour_counts(Home.open(regie.home).operator("gateway").data / "gateway.db", since)
    busy = {one.hour for one in counts if one.sender != WARMBRON or one.asked < 100}
    assert len(busy) >= 10
    assert [(one.refused, one.turned_away) for one in counts if one.sender == WARMBRON and one.asked >= 100] == [
        (300, 100)
    ]
    questions = regie.json("question", "list", "--as", ZONNEVEEN)["questions"]
    assert sorted(question["overdue"] for question in questions) == [False, True]
    notices = regie.json("notice", "list", "--as", ZONNEVEEN)["notices"]
    assert [notice["purpose"] for notice in notices] == ["vroegsignalering-energie"]


async def test_the_console_opens_as_the_demo_says(town):
    regie, told = town
    home = Home.open(regie.home)
    console = f"http://{home.addresses['auditor']}"
    assert f"{console}    (Femke" in told
    headers = {"Origin": console, "Sec-Fetch-Site": "same-origin"}
    async with httpx2.AsyncClient(base_url=console, headers=headers, follow_redirects=True, trust_env=False) as http:
        before = await http.get("/nl/audit")
        assert "/nl/audit/inloggen" in str(before.url)
        await http.post("/nl/audit/inloggen", data={"zaak": "2026-001", "hoe": "demo", "wie": "femke"})
        page = await http.get("/nl/audit")
    assert page.status_code == 200
    assert page.url.path == "/nl/audit"
    assert "verboden pogingen" in page.text
    assert "Warmbron Gas en Licht B.V." in page.text


def test_a_town_is_not_made_twice(town):
    regie, _ = town
    result = regie.run("demo", "--exit")
    assert result.code == 2
    assert "serve all" in result.err

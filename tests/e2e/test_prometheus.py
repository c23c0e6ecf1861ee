"""Debian's own Prometheus, with the configuration and rules that are shipped, on a town that is served."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.directory.founding import free_ports
from gateway.home import Home
from tests.support import tools
from tests.support.command import Regie, served
from tests.support.observability import FOLDER, series_named

pytestmark = [pytest.mark.timeout(120), pytest.mark.needs("prometheus")]
LAMPJE, ZONNEVEEN = "00000099000000005001", "00000099000000007001"
VISIBLE_SECONDS = 60
ROWS, PROHIBITED = 12, 3
HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def get(url: str) -> str:
    with HTTP.open(url, timeout=5) as answer:
        return answer.read().decode()


class Prometheus:
    """Its HTTP API."""

    def __init__(self, port: int, process: subprocess.Popen) -> None:
        self._url, self._process = f"http://127.0.0.1:{port}/api/v1", process

    def ask(self, path: str, **query: str):
        said = json.loads(get(f"{self._url}/{path}?{urllib.parse.urlencode(query)}"))
        assert said["status"] == "success"
        return said["data"]

    def values(self, expression: str) -> dict[str, float]:
        """Values by their labels, as one text."""
        found = self.ask("query", query=expression)["result"]
        return {" ".join(value for _, value in sorted(one["metric"].items())): float(one["value"][1]) for one in found}

    def until(self, look, wanted):
        """Poll until ``wanted`` holds of what ``look`` returns; the deadline names what was seen last."""
        deadline, seen = time.monotonic() + VISIBLE_SECONDS, None
        while time.monotonic() < deadline:
            assert self._process.poll() is None, "prometheus ended"
            try:
                if wanted(seen := look()):
                    return seen
            except OSError as error:
                seen = error
            time.sleep(0.2)
        raise AssertionError(f"not seen in {VISIBLE_SECONDS} s; last: {seen}")


def configuration(home: Home, folder: Path) -> Path:
    """What is shipped, with this town's addresses and a faster pulse."""
    text = (FOLDER / "prometheus.yml").read_text("utf-8")
    for role, address in home.metrics.items():
        text, count = re.subn(
            rf'\["[\d.:]+"\](\n\s+labels: \{{role: {role}\}})', lambda found, a=address: f'["{a}"]{found[1]}', text
        )
        assert count == 1, role
    text = text.replace(": 15s", ": 1s").replace("rules/*", f"{FOLDER}/rules/*")
    path = folder / "prometheus.yml"
    path.write_text(text)
    return path


@contextmanager
def prometheus(home: Home, folder: Path) -> Iterator[Prometheus]:
    (port,) = free_ports(1)
    command = [
        str(tools.path("prometheus")),
        f"--config.file={configuration(home, folder)}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield Prometheus(port, process)
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    """A town that is served and scraped, after a known number of signals, some of them prohibited."""
    folder = tmp_path_factory.mktemp("prometheus")
    regie = Regie(folder / "town")
    regie.ok("init", "--demo")
    home = Home.open(regie.home)
    lines = (regie.home / "town" / "arrears-lampje.csv").read_text().splitlines(keepends=True)
    with served(regie), prometheus(home, folder) as watched:
        for purpose, rows in (("vroegsignalering-energie", ROWS), ("handhaving", PROHIBITED)):
            path = folder / f"{purpose}.csv"
            path.write_text("".join(lines[: rows + 1]))
            regie.ok("send", str(path), "--purpose", purpose, "--to", ZONNEVEEN, "--as", LAMPJE)
        yield home, watched


def test_every_role_is_scraped(town):
    home, watched = town

    def up():
        targets = watched.ask("targets")["activeTargets"]
        return {target["labels"]["role"]: target["health"] for target in targets}

    assert set(watched.until(up, lambda seen: set(seen.values()) == {"up"})) == set(home.metrics)


def test_what_happened_is_counted_once_and_about_nobody(town):
    home, watched = town
    told = {f"geen_toestemming {ROWS}", f"doel_verboden {PROHIBITED}"}

    def exchanges():
        found = watched.ask("query", query="sum by (outcome, sender, recipient) (regie_exchanges_total)")["result"]
        assert {(one["metric"]["sender"], one["metric"]["recipient"]) for one in found} <= {(LAMPJE, ZONNEVEEN)}
        return {f"{one['metric']['outcome'].lower()} {one['value'][1]}" for one in found}

    watched.until(exchanges, lambda seen: seen == told)
    reasons = {"NO_CONSENT vroegsignalering-energie": ROWS, "PURPOSE_PROHIBITED handhaving": PROHIBITED}
    decided = "sum by (purpose, reason) (regie_decisions_total)"
    watched.until(
        lambda: watched.values(decided),
        lambda seen: (
            {" ".join(sorted(k.split())): v for k, v in seen.items()}
            == {" ".join(sorted(k.split())): v for k, v in reasons.items()}
        ),
    )
    assert watched.values("max(regie_log_size)")[""] >= ROWS + PROHIBITED
    assert 0 <= watched.values("max(regie_checkpoint_age_seconds)")[""] < 3600
    for address in home.metrics.values():
        text = get(f"http://{address}/metrics")
        rows = (home.folder / "town" / "arrears-lampje.csv").read_text().splitlines()[1 : ROWS + 1]
        for row in rows:
            reference, birth_date, postcode, *_ = row.split(",")
            assert not any(value in text for value in (reference, birth_date, postcode))


def test_rules_are_healthy_and_a_prohibited_attempt_is_told(town):
    _, watched = town

    def rules():
        groups = watched.ask("rules")["groups"]
        return {
            rule["name"]: (rule["health"], rule.get("lastError", "")) for group in groups for rule in group["rules"]
        }

    seen = watched.until(rules, lambda seen: {health for health, _ in seen.values()} == {"ok"})
    assert len(seen) == 17
    firing = 'ALERTS{alertstate="firing"}'
    watched.until(
        lambda: watched.ask("query", query=firing)["result"],
        lambda seen: (
            [(one["metric"]["alertname"], one["metric"]["purpose"]) for one in seen]
            == [("RegieProhibitedAttempt", "handhaving")]
        ),
    )


def test_every_series_that_rules_and_dashboards_name_is_there(town):
    home, _ = town
    published: set[str] = set()
    for address in home.metrics.values():
        for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", get(f"http://{address}/metrics"), re.MULTILINE):
            parts = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
            published |= {name + part for part in parts}
    assert series_named() <= published, sorted(series_named() - published)

"""The processing log of a served town: of the ledger while it runs, of agencies by command; nothing planted in it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path

import httpx2
import pytest

from consent_ledger.processing import PATH
from gateway.home import Home
from gateway.ldv.settings import LdvSettings
from gateway.server import serving
from gateway.town.participants import GATEWAY, LAMPJE, LEDGER, TAX_OFFICE, ZONNEVEEN
from tests.attacks.test_planted_values import day_in_the_life, found_in
from tests.support.command import Regie
from tests.support.ldv import check, read_lines
from tests.support.otlp import OtlpReceiver, Received
from tests.support.servers import make_home

ROLES = ("gateway", "pseudonyms", "ledger", "witness")
EXPECTED = {"uitwisseling-beoordelen": 3, "signaal-vrijgeven": 2, "ontvangst-vastleggen": 2, "uitkomst-vastleggen": 1}
"""Of the day in the life: two signals arrive, a forbidden one does not, and one is reported on."""


def with_ldv(folder: Path, settings: str) -> Home:
    home = make_home(folder)
    with (home.folder / "regie.toml").open("a", encoding="utf-8") as file:
        file.write(f"\n[ldv]\n{settings}\n")
    return Home.open(home.folder)


def names(received: list[Received]) -> Counter[str]:
    return Counter(one.span.name for one in received)


@pytest.mark.timeout(120)
async def test_a_day_is_exported_by_everybody_and_nothing_planted_is_in_it(tmp_path: Path) -> None:
    with OtlpReceiver() as collector:
        home = with_ldv(tmp_path / "home", f'endpoint = "{collector.endpoint}"')
        collector.stop()
        regie = Regie(home.folder)
        async with serving(home, ROLES) as served:
            await served.ready()
            await day_in_the_life(home, tmp_path)
            collector.start()
            await asyncio.to_thread(collector.wait, lambda one: len(one.spans) >= 8)
            register = await published(home)
            status = (await asyncio.to_thread(regie.ok, "ldv", "status", "--json")).json
            everything = tmp_path / "everything.jsonl"
            await asyncio.to_thread(regie.ok, "ldv", "export", str(everything), "--all", "--as", LEDGER.oin)
            files = {}
            for oin in (LAMPJE.oin, TAX_OFFICE.oin, ZONNEVEEN.oin):
                files[oin] = tmp_path / f"{oin}.jsonl"
                await asyncio.to_thread(regie.ok, "ldv", "export", str(files[oin]), "--as", oin)
    prefix = LdvSettings.of(home).register
    assert names(collector.received) == EXPECTED
    assert [one.span for one in read_lines(everything)] == collector.spans, "the same records once more"
    for one in collector.received:
        check(one, register=prefix, processor=GATEWAY.oin)
        assert one.resource == {"service.name": "regie-ledger", "nl.regie.oin": LEDGER.oin}
    kept = {oin: read_lines(path) for oin, path in files.items()}
    assert names(kept[LAMPJE.oin]) == {"signaal-aanbieden": 2}
    assert names(kept[TAX_OFFICE.oin]) == {"signaal-aanbieden": 1}
    assert names(kept[ZONNEVEEN.oin]) == {"signaal-ontvangen": 2, "uitkomst-melden": 1}
    for one in (one for received in kept.values() for one in received):
        check(one, register=prefix, processor=None)
    belongs_together(collector.received, kept[ZONNEVEEN.oin])
    used = {one.attributes["dpl.core.processing_activity_id"] for one in collector.received}
    assert {f"{prefix}{path}" for path in register} >= used
    ledger = next(one for one in status["organisations"] if one["oin"] == LEDGER.oin)["books"][0]
    assert (ledger["exported"], ledger["pending"], ledger["problem"]) == (8, 0, None)
    assert ledger["held"]["exchange_decided"] == 3
    found = [hit for body in collector.bodies for hit in found_in("an export", body)]
    found += [hit for path in files.values() for hit in found_in(path.name, path.read_bytes())]
    assert found == []


def belongs_together(ledger: list[Received], recipient: list[Received]) -> None:
    """What the recipient did is below the ledger's release, in the same trace."""
    released = {one.span.span_id: one.span.trace_id for one in ledger if one.span.name == "signaal-vrijgeven"}
    assert len(released) == 2
    for one in recipient:
        assert released[one.span.parent_span_id] == one.span.trace_id


async def published(home: Home) -> set[str]:
    """The paths of the register, each fetched from the log's own server."""
    async with httpx2.AsyncClient(base_url=f"http://{home.addresses['log']}") as http:
        listed = (await http.get(PATH)).json()["activities"]
        for activity in listed:
            answer = await http.get(activity["path"])
            assert answer.headers["content-type"] == "application/json"
            assert answer.json() == activity
        for wrong in (f"{PATH}/", f"{PATH}/signaal-vrijgeven", f"{PATH}/signaal-vrijgeven/9", f"{PATH}/x/1/2"):
            assert (await http.get(wrong)).status_code == 404
    return {activity["path"] for activity in listed}


def test_commands_without_an_endpoint_say_how_to_export(tmp_path: Path) -> None:
    home = with_ldv(tmp_path / "home", "extension = false")
    regie = Regie(home.folder)
    assert regie.ok("ldv", "status", "--json").json["endpoint"] is None
    refused = regie.run("ldv", "export")
    assert (refused.code, "name a file to export to" in refused.err) == (2, True)
    file = tmp_path / "records.jsonl"
    assert json.loads(regie.ok("ldv", "export", str(file), "--json").out)["exported"] == {"ledger": 0}
    again = regie.run("ldv", "export", str(file))
    assert (again.code, file.stat().st_mode & 0o077) == (2, 0), "no file is written over"
    key = home.operator("ledger").folder / "ldv.key"
    assert key.stat().st_mode & 0o777 == 0o600
    addresses = regie.ok("ldv", "register", "--json").json["activities"]
    assert addresses[0]["uri"] == f"https://{LEDGER.oin}.oin.regie.internal/verwerkingen/uitwisseling-beoordelen/1"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ('endpoint = "ftp://x"', "begins with http:// or https://"),
        ('extension = "no"', "true or false"),
        ('endpont = "http://x/v1/traces"', "endpont"),
    ],
)
def test_settings_that_cannot_be_used_are_named(tmp_path: Path, settings: str, said: str) -> None:
    home = with_ldv(tmp_path / "home", settings)
    refused = Regie(home.folder).run("ldv", "status")
    assert refused.code == 2
    assert said in refused.err

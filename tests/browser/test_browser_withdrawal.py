"""Withdrawn in the browser: the next submission and the next pull are refused, whichever gateway process is asked (R5)."""

import asyncio
import re
import shutil
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from consent_ledger.v1 import events_pb2
from gateway.directory.founding import free_ports
from gateway.home import Home
from tests.support.command import Regie, serve
from tests.support.scenario import BILL, Town, open_agencies, reason, served_town

pytestmark = pytest.mark.timeout(120)


def beside(home: Home, folder) -> Home:
    """The same home, with the gateway at another port: keys and databases are the same ones."""
    folder.mkdir()
    for name in ("ca", "orgs", "witness"):
        (folder / name).symlink_to(home.folder / name)
    text = (home.folder / "regie.toml").read_text("utf-8")
    ours = re.findall(r'^gateway = "127\.0\.0\.1:\d+"$', text, re.MULTILINE)
    assert len(ours) == 2, "for the others, and for metrics"
    for line, port in zip(ours, free_ports(2), strict=True):
        text = text.replace(line, f'gateway = "127.0.0.1:{port}"')
    (folder / "regie.toml").write_text(text, "utf-8")
    shutil.copymode(home.folder, folder)
    return Home.open(folder)


async def stop_in_the_browser(open_window, town: Town, who: str) -> None:
    """Log in, open the one consent there is, and press the one button."""
    origin = town.home.viewer["origin"]
    async with open_window(origin) as window:
        await window.go(f"{origin}/nl/inloggen")
        await window.page.locator("main label", has_text=who.title()).click()
        async with window.page.expect_navigation():
            await window.page.click("main button[type=submit]")
        await window.go(f"{origin}/nl/mijn/toestemmingen")
        await window.page.locator("main a[href*='/mijn/toestemmingen/']:not([href$='nieuw'])").first.click()
        async with window.page.expect_navigation():
            await window.page.click("main button[name=doe][value=stop]")
        assert "gestopt" in (await window.text()).lower()


@pytest.mark.parametrize("pulled_from", ["the gateway that took the signal", "another process"])
async def test_withdrawn_in_the_browser_stops_submissions_and_deliveries_at_every_gateway(
    open_window, tmp_path, pulled_from
):
    async with served_town(tmp_path / "home", visitors=["anna"]) as town:
        anna = town.visitors["anna"]
        second = beside(town.home, tmp_path / "second")
        # In a thread: it is ready once it has asked the ledger, which is served here.
        process = await asyncio.to_thread(serve, Regie(second.folder), "gateway")
        try:
            async with AsyncExitStack() as stack:
                other = replace(town, home=second, agencies=await open_agencies(stack, second, town.clock))
                await town.chooses(anna, BILL, "JA")
                assert await town.report(anna, BILL) == "accepted"
                assert await other.report(anna, BILL, months="3") == "accepted"

                await stop_in_the_browser(open_window, town, "anna")

                assert await town.report(anna, BILL) == "geen_toestemming"
                assert await other.report(anna, BILL) == "geen_toestemming"
                first, then = (town, other) if pulled_from.startswith("the") else (other, town)
                assert await first.collect() == {}
                assert await then.collect() == {}
                exchanges = (await town.record(anna)).exchanges
                assert [reason(one) for one in exchanges] == ["WITHDRAWN", "WITHDRAWN", "ALLOWED", "ALLOWED"]
                stopped = [events_pb2.Reason.Name(one.withheld_reason) for one in exchanges[2:]]
                assert stopped == ["REASON_WITHDRAWN"] * 2
                assert all(one.released_index == 0 for one in exchanges)
        finally:
            process.kill()
    town.check_everything()

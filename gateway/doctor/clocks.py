"""Clocks: what every HTTP answer says about the time at its server, compared with ours."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import httpx2

from gateway.doctor.finding import Case, Finding, fail, ok, warn
from gateway.settings import CLOCK_SKEW_MS

AREA = "clocks"
SECONDS = 5.0
NOTICEABLE_MS = 5_000
_HOW = "let both machines keep the time with NTP (chrony, systemd-timesyncd); what was signed in the future is refused"


async def check_clocks(case: Case, urls: Mapping[str, str]) -> list[Finding]:
    """Compare clocks; ``urls`` names who is asked. Who does not answer is no finding of this area."""
    found = await asyncio.gather(*(_skew(case, url) for url in urls.values()))
    skews = {name: skew for name, skew in zip(urls, found, strict=True) if skew is not None}
    late = [_finding(name, skew) for name, skew in skews.items() if abs(skew) >= NOTICEABLE_MS]
    if late or not skews:
        return late
    return [ok(AREA, f"the clocks of {', '.join(skews)} differ from this machine's by less than 5 s")]


def _finding(name: str, skew: int) -> Finding:
    what = f"the clock of the {name} is {abs(skew) / 1000:.0f} s {'ahead of' if skew > 0 else 'behind'} this machine's"
    return fail(AREA, what, _HOW) if abs(skew) >= CLOCK_SKEW_MS else warn(AREA, what, _HOW)


async def _skew(case: Case, url: str) -> int | None:
    """Return by how many milliseconds a server is ahead, to within a second; None when it does not say."""
    try:
        async with httpx2.AsyncClient(timeout=SECONDS) as http:
            answer = await http.get(url)
        said = parsedate_to_datetime(answer.headers["date"]).timestamp() * 1000
    except (httpx2.HTTPError, KeyError, ValueError):
        return None
    # The header has whole seconds: half of one is the best guess of what it leaves out.
    return round(said + 500 - case.clock())

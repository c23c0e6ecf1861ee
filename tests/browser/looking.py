"""Looking at one page as everybody may see it: what axe, a narrow screen, large text and a keyboard find wrong with it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import axe_playwright_python
from playwright.async_api import Page

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8")
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa"]
RENDERED = ["color-contrast", "target-size", "link-in-text-block", "scrollable-region-focusable", "aria-hidden-focus"]
"""Rules whose answer depends on colours and sizes; all others ask the document alone, which does not change."""
WIDTHS = (1280, 320)
COLOURS: tuple[tuple[str, dict[str, str]], ...] = (
    ("light", {"color_scheme": "light", "forced_colors": "none"}),
    ("dark", {"color_scheme": "dark", "forced_colors": "none"}),
    ("forced", {"color_scheme": "light", "forced_colors": "active"}),
)
PARTS_OF_A_DATE = 5
TOGETHER = 3
"""Windows at a time: more do not make two cores faster."""
_RUN = """(options) => axe.run(document, {resultTypes: ["violations"], ...options}).then(({violations}) =>
  violations.flatMap(({id, nodes}) => nodes.map((node) => `${id}: ${node.target} ${node.any[0]?.message ?? ""}`)))"""
_WIDE = """(() => { const edge = document.documentElement.clientWidth; if (document.documentElement.scrollWidth <= edge) return [];
  const out = [...document.body.querySelectorAll("*")].filter((one) => one.getBoundingClientRect().right > edge + 1);
  return ["scrolls sideways: " + out.slice(-3).map((one) => `${one.tagName} ${one.getAttribute("class") ?? ""}`).join(", ")]; })()"""
"""What makes a page wider than its window: nothing, or one line that names the innermost of it."""
_SCRIPT = re.compile(r"<script\b(?![^>]*application/json)[^>]*>.*?</script>", re.DOTALL)


async def look(page: Page) -> list[str]:
    """What is wrong with the page that is shown, in any colours and at any width; "" when nothing."""
    found = []
    await page.evaluate(AXE)
    for width in WIDTHS:
        await page.set_viewport_size({"width": width, "height": 900})
        for name, media in COLOURS:
            await page.emulate_media(**media)  # type: ignore[arg-type]
            first = width == WIDTHS[0] and name == "light"
            rules = {"type": "tag", "values": WCAG} if first else {"type": "rule", "values": RENDERED}
            found += [f"{name} {width}: {each}" for each in await page.evaluate(_RUN, {"runOnly": rules})]
        found += [f"{width}: {each}" for each in await page.evaluate(_WIDE)]
    return found + await _large(page)


async def _large(page: Page) -> list[str]:
    """Text of twice the size: nothing beside the window, nothing cut off (WCAG 1.4.4)."""
    await page.emulate_media(color_scheme="light", forced_colors="none")
    await page.set_viewport_size({"width": 1280, "height": 900})
    cut = await page.evaluate(
        f"""() => {{ document.documentElement.style.fontSize = "200%"; const found = {_WIDE}.map((each) => "200 %: " + each);
        for (const one of document.querySelectorAll("main *, header *")) {{ const style = getComputedStyle(one);
          if (style.overflow === "hidden" && style.clipPath === "none" && one.scrollHeight > one.clientHeight + 2 && one.clientHeight > 1)
            found.push(`200 %: ${{one.tagName}}.${{one.className}} cuts its text off`); }}
        document.documentElement.style.fontSize = ""; return found; }}"""
    )
    return list(cut)


_STOPS = """() => { const seen = new Set();
  return [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")].filter((one) => {
    if (one.disabled || one.type === "hidden" || !one.checkVisibility({visibilityProperty: true})) return false;
    const group = one.type === "radio" ? `${one.form?.action} ${one.name}` : null;
    if (group && seen.has(group)) return false;
    if (group) seen.add(group);
    return true; }).map((one, at) => { (one.type === "radio"
      ? document.getElementsByName(one.name) : [one]).forEach((each) => { each.dataset.stop = at; }); return at; }).length; }"""
_FOCUSED = """() => { const one = document.activeElement; if (!one || one === document.body) return null;
  const style = getComputedStyle(one); const box = one.getBoundingClientRect();
  return { stop: Number(one.dataset.stop ?? -1), shown: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
    inside: box.width > 0 && box.bottom > 0 && box.top < innerHeight, what: `${one.tagName} ${one.id || one.textContent.trim().slice(0, 30)}` }; }"""


async def by_keyboard(page: Page) -> list[str]:
    """Go through the page with Tab: every control in the order of the page, visibly, and out again at the end."""
    found, stops = [], await page.evaluate(_STOPS)
    await page.evaluate("document.activeElement.blur()")
    for expected in range(stops):
        for _ in range(PARTS_OF_A_DATE):
            await page.keyboard.press("Tab")
            at = await page.evaluate(_FOCUSED)
            if at is None or at["stop"] != expected - 1:
                break  # a date has a stop for each of its parts
        if at is None or at["stop"] != expected:
            found.append(f"Tab {expected + 1} of {stops} goes to {at and at['what']}")
            break
        if not at["shown"]:
            found.append(f"focus cannot be seen on {at['what']}")
        if not at["inside"]:
            found.append(f"{at['what']} has the focus outside the window")
    return found


def without_scripts(html: str) -> str:
    """The page as a browser without JavaScript shows it: axe itself is JavaScript and could not run there."""
    return _SCRIPT.sub("", html).replace("<noscript>", "<div>").replace("</noscript>", "</div>")


async def all_of(paths: Iterable[str], visit: Callable[[str], Awaitable[list[str]]]) -> dict[str, list[str]]:
    """Visit every address, some at a time; returns what was found wrong, by address."""
    gate = asyncio.Semaphore(TOGETHER)

    async def one(path: str) -> tuple[str, list[str]]:
        async with gate:
            return path, await visit(path)

    return {path: found for path, found in await asyncio.gather(*map(one, paths)) if found}

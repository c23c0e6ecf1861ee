"""Reading a page as a visitor does, without a browser: its words, links, fields and buttons."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from typing import NamedTuple


class Tag(NamedTuple):
    name: str
    attributes: dict[str, str]


class Page(HTMLParser):
    """``words`` are those within <main>; ``tags`` are all of it, in order; ``facts`` are (entry, fact, words)."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[Tag] = []
        self.facts: list[tuple[str, str, str]] = []
        self._words: list[str] = []
        self._open: list[Tag] = []
        self.feed(html)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self._words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = Tag(tag, {name: value or "" for name, value in attrs})
        if any(one.name == "main" for one in self._open) or tag == "main":
            self.tags.append(found)
        if tag not in ("input", "meta", "link", "br", "hr"):
            self._open.append(found)

    def handle_endtag(self, tag: str) -> None:
        if any(one.name == tag for one in self._open):
            while self._open.pop().name != tag:
                continue

    def handle_data(self, data: str) -> None:
        names = [one.name for one in self._open]
        if "main" not in names or "script" in names or not data.strip():
            return
        self._words.append(data)
        if fact := self._open[-1].attributes.get("data-fact"):
            entry = next(one.attributes["data-entry"] for one in reversed(self._open) if "data-entry" in one.attributes)
            self.facts.append((entry, fact, " ".join(data.split())))

    def fields(self, **wanted: str) -> list[dict[str, str]]:
        """The inputs with these attributes."""
        return [tag.attributes for tag in self._named("input") if wanted.items() <= tag.attributes.items()]

    def links(self) -> list[str]:
        return [tag.attributes.get("href", "") for tag in self._named("a")]

    def sent(self) -> dict[str, str]:
        """What the forms of the page send besides what the visitor chooses."""
        return {field["name"]: field["value"] for field in self.fields(type="hidden")}

    def _named(self, name: str) -> Iterator[Tag]:
        return (tag for tag in self.tags if tag.name == name)

"""Forms: read within bounds, checked against what was offered, shown again with what has to be corrected."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from starlette.requests import Request

MOST_FIELDS = 200
_TEXT_BYTES = 64 * 1024


@dataclass(slots=True)
class Form:
    """What was sent. Reading a field that is missing or wrong adds to ``errors`` (field -> text id), and gives ""."""

    values: dict[str, list[str]]
    errors: dict[str, str] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """Return a field without the space around it, "" when it is absent; complains about nothing."""
        return self.values.get(name, [""])[0].strip()

    def texts(self, name: str) -> list[str]:
        """Return every value of a field."""
        return self.values.get(name, [])

    def needed(self, name: str, *, most: int, error: str = "layout.fill_in") -> str:
        """Return a field that must be filled in, with at most so many characters."""
        value = self.text(name)
        if not value:
            self.errors[name] = error
        elif len(value) > most:
            self.errors[name] = "layout.too_long"
        return value if name not in self.errors else ""

    def one_of(self, name: str, offered: Collection[str], error: str = "layout.choose_one") -> str:
        """Return the one that was chosen of those offered."""
        value = self.text(name)
        if value not in offered:
            self.errors[name] = error
            return ""
        return value

    def some_of(
        self, name: str, offered: Collection[str], *, least: int = 0, error: str = "layout.choose_one"
    ) -> list[str]:
        """Return those that were chosen of those offered, in the order offered."""
        chosen = set(self.texts(name))
        if not chosen <= set(offered) or len(chosen) < least:
            self.errors[name] = error
            return []
        return [value for value in offered if value in chosen]


async def read_form(request: Request) -> Form:
    """Read a form without files; raises HTTPException 400 or 413 when it is none or too long."""
    async with request.form(max_files=0, max_fields=MOST_FIELDS, max_part_size=_TEXT_BYTES) as data:
        values: dict[str, list[str]] = {}
        for name, value in data.multi_items():
            if isinstance(value, str):
                values.setdefault(name, []).append(value)
    return Form(values)

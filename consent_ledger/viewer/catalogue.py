"""The words on the pages: one gettext catalogue per page module and language, ``texts/{nl,en}/<module>.po``.

A message id is ``<module>.<name>``; both languages have every id (tests/unit/viewer/test_viewer_texts.py). What is
missing raises, so that no page ever shows an id to a resident.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from babel.core import Locale
from babel.dates import format_datetime
from babel.messages.pofile import read_po
from babel.numbers import format_decimal
from markupsafe import Markup

from consent_ledger.dates import day_en, day_nl, local_time

Language = Literal["nl", "en"]
LANGUAGES: tuple[Language, ...] = ("nl", "en")
TEXTS = Path(__file__).parent / "texts"
Forms = tuple[str, ...]
"""A message's text; with a number in it the singular and the plural, which Dutch and English choose alike."""


class TextError(Exception):
    """A catalogue that cannot be used; the text names file and message id."""


@dataclass(frozen=True, slots=True)
class Words:
    """The texts of one language."""

    language: Language
    _messages: dict[str, Forms]
    _locale: Locale = field(init=False)

    def __post_init__(self) -> None:
        """Dates and numbers follow the language: of the Netherlands, and of the United Kingdom (day before month)."""
        object.__setattr__(self, "_locale", Locale.parse("nl_NL" if self.language == "nl" else "en_GB"))

    def __contains__(self, key: str) -> bool:
        """Tell whether there is such a text."""
        return key in self._messages

    def keys(self) -> Iterable[str]:
        """Every message id."""
        return self._messages.keys()

    def forms(self, key: str) -> Forms:
        """Return the text as it stands in the catalogue; raises KeyError."""
        return self._messages[key]

    def text(self, key: str, /, **values: Any) -> str:
        """Return a text with its values filled in; ``n`` chooses singular or plural. Raises KeyError."""
        return self._form(key, values).format(**self._shown(values))

    def markup(self, key: str, /, **values: Any) -> Markup:
        """Return a text that holds HTML of the catalogue (a link within a sentence); values are escaped."""
        return Markup(self._form(key, values)).format(**self._shown(values))  # noqa: S704  (the text is ours)

    def day(self, time_ms: int) -> str:
        """Write a day: 3 maart 2026."""
        return day_nl(time_ms) if self.language == "nl" else day_en(time_ms)

    def moment(self, time_ms: int) -> str:
        """Write a day with its time in the Netherlands: 3 maart 2026 om 14:05."""
        joined = "{} om {}" if self.language == "nl" else "{} at {}"
        return joined.format(self.day(time_ms), format_datetime(local_time(time_ms), "HH:mm", locale=self._locale))

    def number(self, value: float) -> str:
        """Write a number: 1.234 or 1,234."""
        return str(format_decimal(value, locale=self._locale))

    def listed(self, parts: Iterable[str]) -> str:
        """Join words: a, b en c."""
        *first, last = [*parts] or [""]
        joint = " en " if self.language == "nl" else " and "
        return f"{', '.join(first)}{joint}{last}" if first else last

    def _form(self, key: str, values: dict[str, Any]) -> str:
        forms = self._messages[key]
        return forms[-1] if values.get("n") != 1 else forms[0]

    def _shown(self, values: dict[str, Any]) -> dict[str, Any]:
        if isinstance(values.get("n"), int):
            return {**values, "n": self.number(values["n"])}
        return values


@cache
def load_catalogue(folder: Path = TEXTS, *more: Path) -> dict[Language, Words]:
    """Read these folders' catalogues, once; raises TextError for an id outside its module, twice, or without a text."""
    return {
        language: Words(language, _read_language([each / language for each in (folder, *more)]))
        for language in LANGUAGES
    }


def _read_language(folders: Iterable[Path]) -> dict[str, Forms]:
    found: dict[str, Forms] = {}
    for path in (path for folder in folders for path in sorted(folder.glob("*.po"))):
        for key, forms in _read_file(path):
            if key in found:
                raise TextError(f"{path}: {key} occurs twice")
            found[key] = forms
    return found


def _read_file(path: Path) -> Iterable[tuple[str, Forms]]:
    with path.open("rb") as stream:
        catalogue = read_po(stream, charset="utf-8", abort_invalid=True)
    seen = len(re.findall(r'^msgid "(?!"$)', path.read_text("utf-8"), re.MULTILINE))  # the header's id is empty
    if seen != len(catalogue):
        raise TextError(f"{path}: {seen} messages, of which {len(catalogue)} are different: an id occurs twice")
    for message in catalogue:
        if not message.id:
            continue
        key = message.id[0] if isinstance(message.id, (tuple, list)) else message.id
        forms = (message.string,) if isinstance(message.string, str) else tuple(message.string or ())
        if not key.startswith(f"{path.stem}."):
            raise TextError(f"{path}: {key} must begin with {path.stem}.")
        if not (forms and all(forms)):
            raise TextError(f"{path}: {key} has no text")
        yield key, forms

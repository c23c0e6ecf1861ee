"""A strict subset of YAML, as the files in deploy/ are written in: no parser of all of it is locked for every Python.

Block mappings and sequences, plain and quoted scalars on one line, flow lists of scalars, comments, several documents.
Whatever else YAML has (anchors, tags, folded text, flow mappings) raises ValueError: then nobody reads it otherwise.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

_COMMENT = re.compile(r"""^((?:[^"'#]|"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|(?<=\S)#)*?)\s*(?:(?:^|(?<=\s))#.*)?$""")
_KEY = re.compile(r"""^([A-Za-z0-9_./-]+|"[^"]*"):(?: +(.*))?$""")
_REFUSED = ("&", "*", "!", "|", ">", "%", "@", "`", "?")


class Line(NamedTuple):
    indent: int
    text: str


def load_all(path: Path) -> list[Any]:
    """Return the documents of a file; raises ValueError on anything outside the subset."""
    return [_document(part) for part in re.split(r"^---$", path.read_text("utf-8"), flags=re.MULTILINE) if part.strip()]


def load(path: Path) -> Any:
    """Return the one document of a file."""
    (document,) = load_all(path)
    return document


def _document(text: str) -> Any:
    lines = []
    for raw in text.splitlines():
        if "\t" in raw or not (found := _COMMENT.match(raw)):
            raise ValueError(f"not in the subset: {raw!r}")
        if found[1].strip():
            lines.append(Line(len(raw) - len(raw.lstrip(" ")), found[1].strip()))
    value, rest = _block(lines, lines[0].indent)
    if rest:
        raise ValueError(f"expected the end, got {rest[0].text!r}")
    return value


def _block(lines: list[Line], indent: int) -> tuple[Any, list[Line]]:
    return (_sequence if lines[0].text.startswith("- ") else _mapping)(lines, indent)


def _sequence(lines: list[Line], indent: int) -> tuple[list[Any], list[Line]]:
    items: list[Any] = []
    while lines and lines[0].indent == indent:
        text = lines[0].text
        if not text.startswith("- "):
            raise ValueError(f"expected an item, got {text!r}")
        if _KEY.match(text[2:]) or text[2:].startswith("- "):
            item, lines = _block([Line(indent + 2, text[2:]), *lines[1:]], indent + 2)
        else:
            item, lines = _scalar(text[2:]), lines[1:]
        items.append(item)
    return items, _done(lines, indent)


def _mapping(lines: list[Line], indent: int) -> tuple[dict[str, Any], list[Line]]:
    values: dict[str, Any] = {}
    while lines and lines[0].indent == indent:
        if not (found := _KEY.match(lines[0].text)):
            raise ValueError(f"expected a key, got {lines[0].text!r}")
        key, said, lines = found[1].strip('"'), found[2], lines[1:]
        if key in values:
            raise ValueError(f"{key} comes twice")
        if said:
            values[key] = _scalar(said)
        elif lines and lines[0].indent > indent:
            values[key], lines = _block(lines, lines[0].indent)
        else:
            values[key] = None
    return values, _done(lines, indent)


def _done(lines: list[Line], indent: int) -> list[Line]:
    if lines and lines[0].indent > indent:
        raise ValueError(f"expected no deeper line, got {lines[0].text!r}")
    return lines


def _scalar(text: str) -> Any:
    if text.startswith(_REFUSED) or (text[0] == "{" and text != "{}"):
        raise ValueError(f"not in the subset: {text!r}")
    if text[0] in '"[{':
        return json.loads(text)  # a flow list of quoted scalars is JSON
    if text.startswith("'"):
        return text[1:-1].replace("''", "'")
    if text in ("true", "false"):
        return text == "true"
    if ": " in text or text in ("null", "~", "yes", "no", "on", "off"):
        raise ValueError(f"quote it: {text!r}")
    return int(text) if re.fullmatch(r"0|[1-9][0-9]*", text) else text

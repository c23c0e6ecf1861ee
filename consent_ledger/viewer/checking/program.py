"""The program that checks in the browser, as one file: ``check/*.js`` behind the tables that it reads events with.

There is no build step: no name stands twice at the top of the modules (tests/unit/viewer/test_viewer_program.py), so
joining them without their import and export words gives the same program as a browser that loads them one by one.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

from consent_ledger import texts
from consent_ledger.dates import day_en, day_nl
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.viewer.catalogue import LANGUAGES, Language, Words
from consent_ledger.viewer.checking.tables import messages
from consent_ledger.viewer.checking.trust import Trust

FOLDER = Path(__file__).parent.parent / "check"
MODULES = ("bytes", "note", "tree", "protobuf", "record", "facts", "verify", "report")
"""In this order each finds what it needs before it."""
PAGE = (*MODULES, "memory", "page")
STANDALONE = (*MODULES, "standalone")
PAGE_FILE, STANDALONE_FILE = "check.js", "regie-controle.html"
_IMPORT = re.compile(r"^import [^;]*;\n", re.MULTILINE)
_EXPORT = re.compile(r"^export ", re.MULTILINE)
_SOME_DAY = 31_579_200_000
"""1 January 1971: a date that stands in no text otherwise."""
_CATALOGUE = "check."


def programs(trust: Trust, catalogue: dict[Language, Words]) -> dict[str, bytes]:
    """Return the files by name: what pages run, and what people keep and run without us."""
    page = program(PAGE, trust, catalogue)
    return {PAGE_FILE: page.encode(), STANDALONE_FILE: standalone(program(STANDALONE, trust, catalogue)).encode()}


def standalone(script: str) -> str:
    """Return the page that works from a file: it holds its program and style, and may not ask anybody anything."""
    style = (FOLDER / "standalone.css").read_text("utf-8")
    policy = f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'"
    page = (FOLDER / "standalone.html").read_text("utf-8")
    return page.replace("{policy}", policy).replace("{style}", style).replace("{script}", script)


def base64_of(data: bytes) -> str:
    """Return the one base64 that the program reads."""
    return b64encode(data).decode("ascii")


def _hash(content: str) -> str:
    return f"sha256-{base64_of(sha256(content.encode()).digest())}"


def program(modules: tuple[str, ...], trust: Trust, catalogue: dict[Language, Words]) -> str:
    """Return the program of these modules: a JavaScript module that needs nothing else."""
    tables = {"trust": trust.to_json(), "messages": messages(), "words": words(catalogue)}
    # "<" never stands in it as such, so that the text can also stand within a script element of the standalone file.
    data = json.dumps(tables, ensure_ascii=True, sort_keys=True, separators=(",", ":")).replace("<", "\\u003c")
    return "\n".join((f"const PROGRAM = {data};", *(_module(name) for name in modules)))


def words(catalogue: dict[Language, Words]) -> dict[str, dict[str, Any]]:
    """Return the texts that the program says itself, per language, and the sentences it compares pages with."""
    reasons = {pb.Reason.Name(number).removeprefix("REASON_"): number for number in pb.Reason.values() if number}
    found: dict[str, dict[str, Any]] = {}
    for language in LANGUAGES:
        texts_of = catalogue[language]
        keys = [key for key in texts_of.keys() if key.startswith(_CATALOGUE)]  # noqa: SIM118  (no mapping)
        own = {key.removeprefix(_CATALOGUE): _one(texts_of.forms(key)) for key in keys}
        found[language] = {**own, **_values(texts_of), **_sentences(language), "reasons": reasons}
    return found


def _values(texts_of: Words) -> dict[str, str]:
    """Return the words that pages use for the values of an event."""
    return {
        f"{name}.{number}": texts_of.text(f"delen.{name}_{number}")
        for name, kind in (("mode", pb.Mode), ("via", pb.CapturedVia), ("channel", pb.Channel))
        for number in kind.values()
        if number
    }


def _one(forms: tuple[str, ...]) -> str | list[str]:
    return forms[0] if len(forms) == 1 else list(forms)


def _sentences(language: Language) -> dict[str, str]:
    """Return what residents are told (texts.py) with places for date and organisation."""
    day = (day_nl if language == "nl" else day_en)(_SOME_DAY)

    def place(text: Any) -> str:
        return str(getattr(text, language)).replace(day, "{date}")

    found = {}
    for reason in pb.Reason.values():
        if reason:
            found[f"reason.{reason}"] = place(texts.sentence(reason, _SOME_DAY, "{asker}"))
    found[f"reason.{pb.REASON_PAUSED}.open"] = place(texts.sentence(pb.REASON_PAUSED, 0, "{asker}"))
    silent = texts.sentence(pb.REASON_REFUSED, _SOME_DAY, "{asker}", silent=True)
    found[f"reason.{pb.REASON_REFUSED}.silent"] = place(silent)
    found["waiting"] = place(texts.waiting(_SOME_DAY))
    blocked = place(texts.sentence(pb.REASON_NO_CONSENT, 0, "")).partition(" ")[0] + " "
    stopped = place(texts.withheld(pb.REASON_NO_CONSENT, 0, ""))
    found["blocked"] = blocked
    found["withheld"] = stopped.replace(found[f"reason.{pb.REASON_NO_CONSENT}"].removeprefix(blocked), "{why}")
    return found


def _module(name: str) -> str:
    source = (FOLDER / f"{name}.js").read_text("utf-8")
    return _EXPORT.sub("", _IMPORT.sub("", source))

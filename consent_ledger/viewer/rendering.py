"""From a template and values to a page."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jinja2
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from consent_ledger.viewer.catalogue import LANGUAGES, Language
from consent_ledger.viewer.context import address, language_of, session_of, viewer_of
from consent_ledger.viewer.once import new_form
from consent_ledger.viewer.static import Static

TEMPLATES = Path(__file__).parent / "templates"


class Renderer:
    """The templates, and the files that pages refer to."""

    def __init__(self, static: Static, *more: Path) -> None:
        """Read our templates and those of further folders; what a template does not define is an error, never empty."""
        self.static = static
        self._environment = _environment((TEMPLATES, *more))

    def render(self, template: str, values: dict[str, Any]) -> str:
        """Return a page."""
        return self._environment.get_template(template).render(values)


@cache
def _environment(folders: tuple[Path, ...]) -> jinja2.Environment:
    """Return the templates of folders, compiled once in a process however many applications show them."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )


def page(request: Request, template: str, status: int = 200, /, **values: Any) -> Response:
    """Return a page made of a template; ``templates/macros.html`` says what a template can use.

    The template sees, beside ``values``: t, tm (texts), day, moment, number, listed, url (address of a path in the
    page's language), file (address of a static file), here, language, other_languages, resident, notice, demo.
    """
    viewer = viewer_of(request)
    return HTMLResponse(viewer.renderer.render(template, {**_common(request), **values}), status)


def done(request: Request, path: str, key: str, kind: str = "ok", **values: str | int) -> Response:
    """Go to a page, which begins with this text; after a form, so that reloading sends nothing twice."""
    session_of(request).say(kind, key, **values)
    return go(request, path)


def go(request: Request, path: str, **query: str) -> Response:
    """Go to another page of the same language."""
    tail = f"?{urlencode(query)}" if query else ""
    return RedirectResponse(address(language_of(request), path) + tail, 303)


def _common(request: Request) -> dict[str, Any]:
    viewer, language = viewer_of(request), language_of(request)
    session, words = session_of(request), viewer.words[language]
    here = request.url.path.removeprefix(f"/{language}") or "/"
    query = f"?{request.url.query}" if request.url.query and request.method == "GET" else ""
    others: list[tuple[Language, str]] = [(other, address(other, here) + query) for other in LANGUAGES]

    def url(path: str, /, **query: Any) -> str:
        return address(language, path) + (f"?{urlencode(query)}" if query else "")

    return {
        "t": words.text,
        "tm": words.markup,
        "has_text": words.__contains__,
        "day": words.day,
        "moment": words.moment,
        "number": words.number,
        "listed": words.listed,
        "pick": lambda text: getattr(text, language),
        "url": url,
        "file": viewer.renderer.static.url,
        "themed": viewer.renderer.static.themed,
        "here": here,
        "layout": viewer.settings.layout,
        "language": language,
        "languages": others,
        "resident": session.resident,
        "notice": session.take_notice(),
        "settings": viewer.settings,
        "demo": viewer.settings.demo,
        "now_ms": viewer.clock(),
        "new_form": new_form,
        "Markup": Markup,
    }

"""Pages of the console: the viewer's rendering with the console's menu, and who looks for which case."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from consent_ledger.viewer.context import session_of
from consent_ledger.viewer.rendering import page

AUDIT = "/audit"
PERSON, CASE = "auditor", "zaak"


class Menu(NamedTuple):
    """A page's place in the menu; ``key`` is the id of its text."""

    order: int
    path: str
    key: str


def person_of(request: Request) -> str:
    """Return the number of who is logged in; "" for nobody."""
    return session_of(request).memory.get(PERSON, "")


def case_of(request: Request) -> str:
    """Return the case that is open; "" for none."""
    return session_of(request).memory.get(CASE, "")


def show(request: Request, template: str, status: int = 200, /, **values: Any) -> Response:
    """Return a page of the console (``consent_ledger.viewer.rendering.page`` says what a template sees)."""
    return page(request, template, status, **{"menu": menu(), "person": person_of(request), **values})


@cache
def modules() -> tuple[ModuleType, ...]:
    """Return the modules of ``pages``, by name; imported here, since they import this one."""
    package = importlib.import_module("gateway.auditor.pages")
    names = sorted(info.name for info in pkgutil.iter_modules(package.__path__))
    return tuple(importlib.import_module(f"{package.__name__}.{name}") for name in names)


@cache
def menu() -> tuple[Menu, ...]:
    """Return the menu: what modules of ``pages`` call ``menu``, in their order."""
    return tuple(sorted(module.menu for module in modules() if hasattr(module, "menu")))

"""The demo login: residents of the made-up town, to choose from. It proves nothing, so it starts in a demo only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consent_ledger.purpose import Text
from consent_ledger.viewer.forms import Form, read_form
from consent_ledger.viewer.login.entering import Visitor, enter
from consent_ledger.viewer.port import Person
from consent_ledger.viewer.rendering import page
from consent_ledger.viewer.settings import SettingsError, ViewerSettings


@dataclass(frozen=True, slots=True)
class DemoPerson:
    """Somebody to log in as: ``key`` names them in the form, ``story`` says what there is to see.

    ``represents``: they look for this person and not for themselves.
    """

    key: str
    name: str
    story: Text
    person: Person = field(repr=False)
    represents: bool = False


class DemoLogin:
    """A choice of people."""

    def __init__(self, people: Sequence[DemoPerson]) -> None:
        """Offer these."""
        self._people = {person.key: person for person in people}

    def routes(self, settings: ViewerSettings) -> list[Route]:
        """Return the routes; raises SettingsError outside a demo."""
        if not settings.demo:
            raise SettingsError("the demo login proves nothing about anybody: it starts only in a home marked demo")
        return [
            Route("/inloggen", self._show, name="login"),
            Route("/inloggen", self._enter, methods=["POST"], name="login_demo"),
            Route("/uitgelogd", self._left, name="left"),
        ]

    async def _show(self, request: Request) -> Response:
        then, away = request.query_params.get("naar", ""), "weg" in request.query_params
        return self._page(request, Form({"naar": [then]}), away=away)

    async def _enter(self, request: Request) -> Response:
        form = await read_form(request)
        key = form.one_of("wie", self._people, "login.choose_person")
        if form.errors:
            return self._page(request, form)
        chosen = self._people[key]
        visitor = Visitor(chosen.person, f"demo {chosen.key}", represents=chosen.represents)
        return await enter(request, visitor, form.text("naar"))

    def _page(self, request: Request, form: Form, *, away: bool = False) -> Response:
        status = 422 if form.errors else 200
        return page(request, "login_demo.html", status, form=form, people=list(self._people.values()), away=away)

    async def _left(self, request: Request) -> Response:
        return page(request, "left.html", service_logout="", ended="einde" in request.query_params)

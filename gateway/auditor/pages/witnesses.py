"""A7: the witnesses, and a box to paste any checkpoint into: is it of this log, older, newer, or a fork?"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consent_ledger.errors import RegieError
from consent_ledger.log.errors import VerificationError
from consent_ledger.viewer.forms import Form, read_form
from gateway.auditor.checkpoints import Compared, Known, Standing, compare
from gateway.auditor.console import Console, console_of
from gateway.auditor.loghead import log_keys, newest_checkpoint, trusted_checkpoint
from gateway.auditor.showing import Menu
from gateway.auditor.showing import show as page
from gateway.auditor.witnessed import Witnessing, witnessing
from gateway.witness.quorum import quorum_of, witnesses_of

PATH = "/audit/getuigen"
menu = Menu(70, PATH, "audit_witness.title")
_LONGEST = 60_000
_TEXT = "checkpoint"
_KIND = {Standing.SAME: "ok", Standing.OLDER: "ok", Standing.NEWER: "ok", Standing.FORK: "storing"}
"""How a standing is shown; the others want attention."""


async def show(request: Request) -> Response:
    """Show the witnesses, and an empty box."""
    return await _page(request, Form({}))


async def check(request: Request) -> Response:
    """Compare what was pasted."""
    form = await read_form(request)
    text = form.needed(_TEXT, most=_LONGEST)
    if form.errors:
        return await _page(request, form, 422)
    console = console_of(request)
    trusted = await trusted_checkpoint(console)
    if trusted is None:
        return await _page(request, form, unproven="nothing_followed")
    try:
        known = Known(trusted, await newest_checkpoint(console), log_keys(console), quorum_of(console.home))
        compared = await compare(text, known, console.log)
    except VerificationError as error:
        return await _page(request, form, unproven="unproven", why=str(error))
    return await _page(request, form, compared=compared, trusted=trusted)


async def _page(request: Request, form: Form, status: int = 200, /, **found: Any) -> Response:
    console = console_of(request)
    state = await _witnessing(console)
    compared: Compared | None = found.get("compared")
    values = {
        "state": state,
        "head": await trusted_checkpoint(console),
        "form": form,
        "text": form.text(_TEXT),
        "compared": compared,
        "kind": _KIND.get(compared.standing, "let_op") if compared else "",
        "trusted": None,
        "unproven": "",
        "why": "",
        **found,
    }
    return page(request, "audit_witness.html", status, **values)


async def _witnessing(console: Console) -> Witnessing | None:
    """Return how the witnesses stand; None while the ledger does not say what it publishes."""
    try:
        published = await console.log.checkpoint(published=True)
    except RegieError:
        return None
    addresses = witnesses_of(console.home)
    return await witnessing(published, quorum_of(console.home), addresses, log_keys(console), console.clock)


routes = [
    Route(PATH, show, name="audit_witness"),
    Route(PATH, check, methods=["POST"], name="audit_witness_check"),
]

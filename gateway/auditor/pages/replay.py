"""A8: every decision judged again, what came out otherwise with both rule traces, and what recipients say they got."""

from __future__ import annotations

from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consent_ledger.errors import RegieError
from consent_ledger.v1 import events_pb2
from consent_ledger.viewer.forms import Form, read_form
from consent_ledger.viewer.rendering import done, go
from gateway.auditor import reading
from gateway.auditor.console import EXPORT, console_of, looked
from gateway.auditor.naming import naming_of
from gateway.auditor.reports import MOST_BYTES, open_report
from gateway.auditor.reportshape import require_replay
from gateway.auditor.runs import AlreadyRunningError, Check, Run
from gateway.auditor.showing import Menu, show

PATH = "/audit/naspelen"
menu = Menu(80, PATH, "audit_replay.menu")
_FILE = "verslag"
_LONGEST = 15


async def replays(request: Request) -> Response:
    """Show the runs, and a form for another."""
    return await _page(request, Form({}))


@looked("replay_start", act=events_pb2.AUDIT_ACT_REPLAY)
async def start(request: Request) -> Response:
    """Start a replay of the whole log or of a part of it."""
    form = await read_form(request)
    first, last = _leaf(form, "van"), _leaf(form, "tot")
    if not form.errors and last is not None and last <= (first or 0):
        form.errors["tot"] = "audit_replay.order"
    if form.errors:
        return await _page(request, form, 422)
    within = None if first is None and last is None else range(first or 0, last if last is not None else 2**62)
    try:
        run = console_of(request).runs.start(Check.REPLAY, within)
    except AlreadyRunningError:
        return done(request, PATH, "audit_run.busy", kind="let_op")
    return go(request, f"{PATH}/{run.number}")


async def one(request: Request) -> Response:
    """Show a run: how far it is, or what it found."""
    run = _run(request)
    return show(request, "audit_replayed.html", run=run, report=run.report, signer="", names=naming_of(request))


@looked("replay_report", act=EXPORT)
async def report(request: Request) -> Response:
    """Hand out the signed report of a run."""
    run = _run(request)
    data = console_of(request).runs.file(run.number)
    if data is None:
        raise HTTPException(404)
    name = f"regie-{run.check.value}-{run.number}.json"
    return Response(data, media_type="application/json", headers=_attachment(name))


async def upload(request: Request) -> Response:
    """Show a signed report that was made elsewhere, once its signature is found to be right."""
    text, form = await _uploaded(request)
    if form.errors:
        return await _page(request, form, 422)
    try:
        found, signer, _ = open_report(text, console_of(request).registry())
        require_replay(found)
    except RegieError as error:
        form.errors[_FILE] = f"audit_replay.file_{error.reason.lower()}"
        return await _page(request, form, 422)
    names = naming_of(request)
    return show(request, "audit_replayed.html", run=None, report=found, signer=names.party(signer), names=names)


async def _page(request: Request, form: Form, status: int = 200) -> Response:
    console = console_of(request)
    return show(
        request,
        "audit_replay.html",
        status,
        form=form,
        runs=[run for run in console.runs.all if run.check is Check.REPLAY],
        running=console.runs.current,
        latest=console.runs.latest(Check.REPLAY),
        here_too=console.runs.place is not None,
        received=await console.ask(reading.received),
        names=naming_of(request),
    )


def _leaf(form: Form, name: str) -> int | None:
    value = form.text(name)
    if not value:
        return None
    if not (value.isascii() and value.isdigit() and len(value) <= _LONGEST):
        form.errors[name] = "audit_replay.no_number"
        return None
    return int(value)


def _run(request: Request) -> Run:
    run = console_of(request).runs.get(request.path_params["number"])
    if run is None:
        raise HTTPException(404)
    return run


async def _uploaded(request: Request) -> tuple[str, Form]:
    """Return the text of the file that was sent."""
    form = Form({})
    async with request.form(max_files=1, max_fields=10) as data:
        file: Any = data.get(_FILE)
        if not isinstance(file, UploadFile) or not file.size:
            form.errors[_FILE] = "audit_replay.no_file"
        elif file.size > MOST_BYTES:
            form.errors[_FILE] = "audit_replay.file_field_invalid"
        else:
            return (await file.read()).decode("utf-8", errors="replace"), form
    return "", form


def _attachment(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}


routes = [
    Route(PATH, replays, name="audit_replay"),
    Route(PATH, start, methods=["POST"], name="audit_replay_start"),
    Route(f"{PATH}/verslag", upload, methods=["POST"], name="audit_replay_upload"),
    Route(f"{PATH}/{{number:int}}", one, name="audit_replay_run"),
    Route(f"{PATH}/{{number:int}}/verslag", report, name="audit_replay_report"),
]

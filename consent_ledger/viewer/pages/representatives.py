"""Somebody who helps (R38): asked by the resident, with own login, limited, visible, and stopped by either of them."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consent_ledger.errors import RegieError
from consent_ledger.v1 import consents_pb2, events_pb2
from consent_ledger.viewer.acting import record_change
from consent_ledger.viewer.capture import capture_of
from consent_ledger.viewer.context import (
    address,
    language_of,
    portal_of,
    resident_of,
    session_of,
    viewer_of,
    words_of,
)
from consent_ledger.viewer.forms import Form, read_form
from consent_ledger.viewer.once import change_id
from consent_ledger.viewer.parties import choosable
from consent_ledger.viewer.rendering import done, go, page
from consent_ledger.viewer.routing import needs

PATH = "/mijn/machtigingen"
MONTHS = (3, 6, 12)
RELATIONS = tuple(number for number in events_pb2.Relation.values() if number)
MANDATES = tuple(number for number in events_pb2.Mandate.values() if number)


async def show(request: Request) -> Response:
    """Show who helps, who helped, and what each may."""
    found = (await portal_of(request).others(resident_of(request).rows)).representatives
    now = viewer_of(request).clock()
    holding = [each for each in found if not each.ended_ms and now < each.valid_until_ms]
    own = resident_of(request).by
    if resident_of(request).role == "representative":
        holding = [each for each in holding if each.reference.hex() == own]
    over = [each for each in found if each not in holding] if resident_of(request).role == "self" else []
    titles = {each.id: each.title for each in (await portal_of(request).registry()).purposes}
    return page(request, "representatives.html", holding=holding, over=over, titles=titles)


@needs("own")
async def new(request: Request) -> Response:
    """Ask who is going to help, and with what."""
    return await _show_new(request, Form({}))


@needs("own")
async def invite(request: Request) -> Response:
    """Make the invitation, and show its code once."""
    form = await read_form(request)
    relation = form.one_of("relatie", [str(number) for number in RELATIONS])
    mandate = form.one_of("mag", [str(number) for number in MANDATES])
    months = form.one_of("maanden", [str(number) for number in MONTHS])
    purposes = form.some_of("waarover", [each.id for each in await _purposes(request)])
    if form.errors:
        return await _show_new(request, form)
    invitation = await portal_of(request).invite(
        resident_of(request).rows,
        capture_of(request),
        mandate=events_pb2.Mandate.Value(events_pb2.Mandate.Name(int(mandate))),  # type: ignore[arg-type]  # offered
        relation=events_pb2.Relation.Value(events_pb2.Relation.Name(int(relation))),  # type: ignore[arg-type]  # offered
        months=int(months),
        purposes=purposes,
        change_id=change_id(request),
    )
    # Shown in the answer itself, not after a redirect: so it is nowhere but on this screen.
    where = viewer_of(request).settings.origin + address(language_of(request), "/inloggen")
    return page(request, "representative_code.html", code=_spaced(invitation.code), where=where)


@needs("look")
async def end(request: Request) -> Response:
    """Stop it: the resident any, a helper only their own."""
    resident = resident_of(request)
    try:
        reference = bytes.fromhex(request.path_params["reference"])
    except ValueError:
        raise HTTPException(404) from None
    if resident.role != "self" and resident.by != reference.hex():
        raise HTTPException(403)
    try:
        await record_change(request, "", consents_pb2.EndRepresentative(reference=reference))
    except RegieError as error:
        if error.reason != "BEYOND_MANDATE":
            raise
        raise HTTPException(404) from None
    if resident.role == "representative":
        session_of(request).log_out()
        return go(request, "/uitgelogd")
    return done(request, PATH, "representatives.stopped")


async def _purposes(request: Request) -> list[events_pb2.Purpose]:
    registry, rows = await portal_of(request).registry(), resident_of(request).purposes
    return [each.to_proto() for each in choosable(registry) if each.id in rows]


async def _show_new(request: Request, form: Form) -> Response:
    language = words_of(request).language
    purposes = [(each.id, getattr(each.title, language)) for each in await _purposes(request)]
    return page(
        request,
        "representative_new.html",
        422 if form.errors else 200,
        form=form,
        purposes=purposes,
        relations=RELATIONS,
        mandates=MANDATES,
        months=MONTHS,
    )


def _spaced(code: str) -> str:
    """Write a code in groups of four, which people can read out."""
    return " ".join(code[at : at + 4] for at in range(0, len(code), 4)) if code.isalnum() else code


routes = [
    Route(PATH, show, name="representatives"),
    Route(PATH + "/nieuw", new, name="representative_new"),
    Route(PATH + "/nieuw", invite, methods=["POST"], name="representative_invite"),
    Route(PATH + "/{reference}/stop", end, methods=["POST"], name="representative_end"),
]

"""The register of processing activities, for people: what is done with data about residents, why, and for how long."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consent_ledger.processing import PATH, REGISTER, Activity, find
from consent_ledger.viewer.rendering import page


def newest() -> list[Activity]:
    """Return the newest version of every activity, in the order in which a message meets them."""
    return list({activity.id: activity for activity in REGISTER}.values())


async def activities(request: Request) -> Response:
    """List what is done with data."""
    return page(request, "processing.html", activities=newest())


async def activity(request: Request) -> Response:
    """Show one version of one activity: what records of the processing log refer to."""
    found = find(request.path_params["activity"], request.path_params["version"])
    if found is None:
        raise HTTPException(404)
    return page(request, "processing_one.html", one=found, replaced=found not in newest())


routes = [
    Route(PATH, activities, name="processing"),
    Route(f"{PATH}/{{activity}}/{{version}}", activity, name="processing_one"),
]

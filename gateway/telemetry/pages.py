"""`/metrics` and `/healthz` of one role, for whoever watches over it: an address of the operator's own network."""

from __future__ import annotations

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.telemetry.metrics import Metrics

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Health = Callable[[], str]
"""Returns "ok" while the role serves; else in a word why not."""


def telemetry_app(metrics: Metrics, health: Health) -> Starlette:
    """Return the application."""

    async def show_metrics(_request: Request) -> Response:
        return Response(await run_in_threadpool(metrics.text), media_type=CONTENT_TYPE)

    async def show_health(_request: Request) -> Response:
        said = health()
        return JSONResponse({"status": said}, 200 if said == "ok" else 503)

    return Starlette(routes=[Route("/metrics", show_metrics), Route("/healthz", show_health)])

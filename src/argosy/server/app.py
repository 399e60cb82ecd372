"""The server's web application: what all rooms share, and the rooms."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from anyio.to_thread import run_sync
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from argosy.server.database import Database
from argosy.server.metrics import CountRequests, Metrics
from argosy.server.room import Room

log = logging.getLogger(__name__)

_HOME = """\
Argosy server

GET /updates         channels, groups, machines and their updates: a page for browsers
GET /api/v1/overview the same as JSON
POST /v1/update/     where machines ask for updates (Omaha)
GET /new?size=3      a fresh discovery URL for an etcd cluster of three members
GET /healthz         whether the server works
GET /metrics         numbers for Prometheus
"""


def create_app(database: Database, rooms: Sequence[Room], metrics: Metrics) -> Starlette:
    """The application. Rooms come first to last: the first route that fits answers."""

    async def home(request: Request) -> Response:
        if "text/html" in request.headers.get("accept", ""):
            return RedirectResponse("/updates", 303, {"Vary": "Accept"})
        return PlainTextResponse(_HOME, headers={"Vary": "Accept"})

    async def robots(_request: Request) -> Response:
        return PlainTextResponse("User-agent: *\nDisallow: /\n")

    async def health(_request: Request) -> Response:
        await run_sync(database.check)  # A failure ends in `_database_failed`.
        return PlainTextResponse("OK")

    async def numbers(_request: Request) -> Response:
        for room in rooms:
            await room.measure()
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    app = Starlette(
        routes=[
            Route("/", home),
            Route("/robots.txt", robots),
            Route("/health", health),
            Route("/healthz", health),
            Route("/metrics", numbers),
            *(route for room in rooms for route in room.routes()),
        ],
        middleware=[Middleware(CountRequests, metrics=metrics)],
        exception_handlers={SQLAlchemyError: _database_failed},
    )
    app.router.redirect_slashes = False
    return app


async def _database_failed(_request: Request, error: Exception) -> Response:
    cause = getattr(error, "orig", None) or error
    log.error("the database failed: %s", cause)
    return PlainTextResponse(
        "the database cannot be used now; the server's log says why\n", 503, headers={"Retry-After": "5"}
    )

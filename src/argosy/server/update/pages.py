"""The web page's addresses, below `/updates`. It only shows; changes are the command line's and the API's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from argosy.base.errors import ArgosyError, InputError
from argosy.server.access import Access
from argosy.server.room import exact_route
from argosy.server.update.model import NotFoundError
from argosy.server.update.page import ROOT, render_failure, render_machine, render_machines, render_overview
from argosy.server.update.query import app_of, machine_of, machines_of, state_of
from argosy.server.update.service import UpdateService

_STATIC = Path(__file__).parent / "static"
_FILES = {"page.css": "text/css", "page.js": "text/javascript"}
_MACHINES_A_PAGE = 200
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

Render = Callable[[Request], Awaitable[str]]


class Pages:
    """The addresses."""

    def __init__(self, service: UpdateService, access: Access) -> None:
        self._service = service
        self._access = access

    def routes(self) -> Sequence[BaseRoute]:
        """All of them."""
        return [
            *(exact_route(Route(f"{ROOT}/{name}", _file(name), methods=["GET"])) for name in _FILES),
            self._route("", self._overview),
            self._route("/machines", self._machines),
            self._route("/machines/{machine:path}", self._machine),
        ]

    def _route(self, path: str, render: Render) -> Route:
        async def answer(request: Request) -> Response:
            if not self._access.may_read(request):
                return _login()
            try:
                return _html(await render(request))
            except (NotFoundError, InputError) as error:
                return _failure(error)

        return exact_route(Route(ROOT + path, answer, methods=["GET"]))

    async def _overview(self, request: Request) -> str:
        app = app_of(request)
        overview = await self._service.overview(app)
        return render_overview(overview, self._service.packages(app), self._service.applications(), app)

    async def _machines(self, request: Request) -> str:
        page = await machines_of(self._service, request, _MACHINES_A_PAGE)
        group = request.query_params.get("group")
        return render_machines(page, group, state_of(request), app_of(request), datetime.now(UTC))

    async def _machine(self, request: Request) -> str:
        detail = await machine_of(self._service, request)
        return render_machine(detail, app_of(request), datetime.now(UTC))


def _file(name: str) -> Callable[[Request], Awaitable[Response]]:
    async def answer(_request: Request) -> Response:
        headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
        return FileResponse(_STATIC / name, headers=headers, media_type=_FILES[name])

    return answer


def _html(text: str, status: int = 200) -> Response:
    return Response(text, status, _HEADERS, media_type="text/html")


def _failure(error: ArgosyError) -> Response:
    return _html(render_failure(str(error), error.hint), 404 if isinstance(error, NotFoundError) else 400)


def _login() -> Response:
    return PlainTextResponse(
        "From here the page needs the server's token, as the password; any user name will do.\n",
        401,
        {**_HEADERS, "WWW-Authenticate": 'Basic realm="Argosy", charset="UTF-8"'},
    )

"""The update service as a room of the server: the addresses that machines use, and all the others."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from argosy.base.errors import InputError
from argosy.formats.omaha.request import LIMIT_BYTES, decode_request
from argosy.formats.omaha.response import encode_response
from argosy.server.access import Access
from argosy.server.asked import asked_address
from argosy.server.metrics import Metrics
from argosy.server.update.api import RestApi
from argosy.server.update.desk import PACKAGES, Caller
from argosy.server.update.numbers import Numbers
from argosy.server.update.pages import Pages
from argosy.server.update.service import UpdateService

_FOREVER = "public, max-age=31536000, immutable"
_PIECE_BYTES = 1 << 18


class Updates:
    """The room. `url` is where machines find payloads; None: at the address that each of them asked."""

    def __init__(self, service: UpdateService, access: Access, metrics: Metrics, url: str | None) -> None:
        self._service = service
        self._omaha = _Omaha(service, url)
        self._others = (RestApi(service, access), Pages(service, access))
        self._numbers = Numbers(service, metrics)

    def routes(self) -> Sequence[BaseRoute]:
        """Omaha at the address of CoreOS's servers and at the shorter one of Nebraska's clients."""
        paths = ("/v1/update/", "/v1/update", "/update/", "/update")
        return [
            *(Route(path, self._omaha, methods=["POST"]) for path in paths),
            Route(PACKAGES + "/{sha256}/{name}", self._package, methods=["GET"]),
            *(route for other in self._others for route in other.routes()),
        ]

    async def measure(self) -> None:
        """Count machines."""
        await self._numbers.measure()

    def stop(self) -> None:
        """No request here waits for anything."""

    async def _package(self, request: Request) -> Response:
        found = self._service.package_file(request.path_params["sha256"])
        if found is None or found[0].name != request.path_params["name"] or not found[1].is_file():
            return PlainTextResponse("404 no such package\n", 404)
        package, path = found
        headers = {"ETag": f'"{package.sha256}"', "Cache-Control": _FOREVER}
        return _Payload(path, headers=headers, media_type="application/octet-stream")


class _Payload(FileResponse):
    chunk_size = _PIECE_BYTES


class _Omaha:
    """The endpoint of every machine's every check: without Starlette's conveniences, which cost as much."""

    def __init__(self, service: UpdateService, url: str | None) -> None:
        self._service = service
        self._url = url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await _body(receive)
            if body is None:
                return  # The client has gone.
            answer = await self._answer(scope, body)
        except InputError as error:
            await PlainTextResponse(f"{error}\n", 400)(scope, receive, send)
            return
        headers = [(b"content-type", b"text/xml"), (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    async def _answer(self, scope: Scope, body: bytes) -> bytes:
        host = next((value for name, value in scope["headers"] if name == b"host"), b"")
        asked = self._url or asked_address(scope["scheme"], host.decode("latin-1"))
        if asked is None:
            raise InputError("the Host header holds no host name")
        client = scope["client"]
        request = decode_request(body)
        return encode_response(
            await self._service.desk.answer(request, Caller(client[0] if client else "", asked))
        )


async def _body(receive: Receive) -> bytes | None:
    """The request's body; None if the client has gone. Raises `InputError` if it is too large."""
    body: bytes = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > LIMIT_BYTES:
            raise InputError(f"the request has more than {LIMIT_BYTES} bytes")
        if not message.get("more_body", False):
            return body

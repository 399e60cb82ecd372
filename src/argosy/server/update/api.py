"""The REST interface under `/api/v1`: JSON to calls of the service, and what they raise to plain failures.

Whoever may look may GET; everything else needs the token.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from argosy.base.decode import decode_json, encode_json
from argosy.base.errors import ArgosyError, InputError
from argosy.formats import updateapi as api
from argosy.formats.payload import PayloadError
from argosy.server.access import Access
from argosy.server.room import exact_route
from argosy.server.update.model import ConflictError, FullError, NotFoundError
from argosy.server.update.query import EVENTS, app_of, count_of, machine_of, machines_of
from argosy.server.update.service import UpdateService

log = logging.getLogger(__name__)

T = TypeVar("T")
Call = Callable[[Request], Awaitable[Any]]

_MACHINES_A_PAGE = 1000
_MACHINES_OF_A_ROLLOUT = 200
_MAX_BODY_BYTES = 64 << 10
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_READ = frozenset({"GET"})
# The first that fits: they are classes of `ArgosyError`, most special first.
_STATUS: tuple[tuple[type[ArgosyError], int, str], ...] = (
    (NotFoundError, 404, "not-found"),
    (ConflictError, 409, "conflict"),
    (FullError, 507, "full"),
    (InputError, 400, "invalid"),
)


class RestApi:
    """The addresses."""

    def __init__(self, service: UpdateService, access: Access) -> None:
        self._service = service
        self._access = access

    def routes(self) -> Sequence[BaseRoute]:
        """All of them; what is below `/api/v1` and none of them is a 404 in JSON."""
        calls: dict[tuple[str, str], Call] = {
            ("GET", "/access"): self._see_access,
            ("GET", "/applications"): self._applications,
            ("GET", "/overview"): self._overview,
            ("GET", "/packages"): self._packages,
            ("POST", "/packages"): self._upload,
            ("GET", "/packages/{sha256}"): self._package,
            ("GET", "/channels"): self._channels,
            ("GET", "/channels/{name}"): self._channel,
            ("PUT", "/channels/{name}"): self._make_channel,
            ("PATCH", "/channels/{name}"): self._change_channel,
            ("POST", "/channels/{name}/release"): self._release,
            ("POST", "/channels/{name}/rollback"): self._rollback,
            ("GET", "/groups"): self._groups,
            ("GET", "/groups/{name}"): self._group,
            ("PUT", "/groups/{name}"): self._make_group,
            ("PATCH", "/groups/{name}"): self._change_group,
            ("GET", "/groups/{name}/rollout"): self._rollout,
            ("GET", "/machines"): self._machines,
            ("GET", "/machines/{machine:path}"): self._machine,
            ("PATCH", "/machines/{machine:path}"): self._change_machine,
            ("GET", "/events"): self._events,
        }
        return [
            *(self._route(method, path, call) for (method, path), call in calls.items()),
            Route(
                api.ROOT + "/{rest:path}", self._unknown, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]
            ),
        ]

    def _route(self, method: str, path: str, call: Call) -> Route:
        async def answer(request: Request) -> Response:
            refused = self._refusal(request)
            if refused:
                return refused
            try:
                return _json(await call(request))
            except ArgosyError as error:
                return _failed(request, error)
            except ClientDisconnect:
                return Response(status_code=400)  # Nobody reads it.

        return exact_route(Route(api.ROOT + path, answer, methods=[method]))

    def _refusal(self, request: Request) -> Response | None:
        """None if the request is allowed."""
        writes = request.method not in _READ
        if self._access.may_write(request) if writes else self._access.may_read(request):
            return None
        shown = "authorization" in request.headers
        failure = api.Failure(
            "wrong-token" if shown else "no-token",
            "the server does not know this token" if shown else "this needs the server's token",
            "the server's --token-file holds it; send it as `Authorization: Bearer TOKEN`",
        )
        return _json(failure, 401, {"WWW-Authenticate": 'Bearer realm="argosy"'})

    async def _unknown(self, request: Request) -> Response:
        failure = api.Failure("no-such-address", f"there is no {request.method} {request.url.path} here")
        return self._refusal(request) or _json(failure, 404)

    async def _see_access(self, request: Request) -> api.Access:
        return api.Access(read=True, write=self._access.may_write(request))

    async def _applications(self, _request: Request) -> tuple[str, ...]:
        return self._service.applications()

    async def _overview(self, request: Request) -> api.Overview:
        return await self._service.overview(app_of(request))

    async def _packages(self, request: Request) -> tuple[api.Package, ...]:
        return self._service.packages(app_of(request))

    async def _package(self, request: Request) -> api.Package:
        wanted = request.path_params["sha256"]
        for package in self._service.packages(app_of(request)):
            if package.sha256 == wanted:
                return package
        raise NotFoundError(f"there is no package {wanted}")

    async def _upload(self, request: Request) -> api.Package:
        chunks = request.stream()
        try:
            return await self._take(request, chunks)
        except ArgosyError:
            # Let the operator send the rest: most clients hear a refusal only when they have sent all.
            async for _ in chunks:
                pass
            raise

    async def _take(self, request: Request, chunks: AsyncIterator[bytes]) -> api.Package:
        version = request.query_params.get("stock")
        if version is None:
            return await self._service.upload(chunks, length=_content_length(request))
        name = request.query_params.get("name", "update.gz")
        arch = request.query_params.get("arch", "")
        return await self._service.upload_stock(
            chunks, app=app_of(request), version=version, name=name, arch=arch
        )

    async def _channels(self, request: Request) -> tuple[api.Channel, ...]:
        return self._service.channels(app_of(request))

    async def _channel(self, request: Request) -> api.Channel:
        return self._service.channel(_name(request), app_of(request))

    async def _make_channel(self, request: Request) -> api.Channel:
        change = await _body(request, api.ChannelChange)
        return await self._service.change_channel(_new_name(request), change, app_of(request))

    async def _change_channel(self, request: Request) -> api.Channel:
        self._service.channel(_name(request), app_of(request))
        return await self._make_channel(request)

    async def _release(self, request: Request) -> api.Channel:
        release = await _body(request, api.Release)
        name, app = _name(request), app_of(request)
        if release.sha256 and not release.promote:
            return await self._service.publish(name, release.sha256, app)
        if release.promote and not release.sha256:
            return await self._service.promote(release.promote, name, app)
        raise InputError("give either `sha256` or `promote`")

    async def _rollback(self, request: Request) -> api.Channel:
        rollback = await _body(request, api.Rollback)
        return await self._service.rollback(_name(request), rollback.version, app_of(request))

    async def _groups(self, request: Request) -> tuple[api.Group, ...]:
        return await self._service.groups(app_of(request))

    async def _group(self, request: Request) -> api.Group:
        return await self._service.group(_name(request), app_of(request))

    async def _make_group(self, request: Request) -> api.Group:
        change = await _body(request, api.GroupChange)
        return await self._service.change_group(_new_name(request), change, app_of(request))

    async def _change_group(self, request: Request) -> api.Group:
        await self._service.group(_name(request), app_of(request))
        return await self._make_group(request)

    async def _rollout(self, request: Request) -> api.Rollout:
        limit = count_of(request, "limit", _MACHINES_OF_A_ROLLOUT)
        return await self._service.rollout(_name(request), app_of(request), machines=limit)

    async def _machines(self, request: Request) -> api.Machines:
        return await machines_of(self._service, request, count_of(request, "limit", _MACHINES_A_PAGE))

    async def _machine(self, request: Request) -> api.MachineDetail:
        return await machine_of(self._service, request)

    async def _change_machine(self, request: Request) -> api.Machine:
        change = await _body(request, api.MachineChange)
        machine = await self._service.machine(request.path_params["machine"], app_of(request))
        if not isinstance(change.alias, str):
            return machine
        return await self._service.name_machine(machine.id, change.alias, app_of(request))

    async def _events(self, request: Request) -> tuple[api.Event, ...]:
        machine = request.query_params.get("machine")
        limit = count_of(request, "limit", EVENTS)
        return await self._service.events(app_of(request), machine=machine, limit=limit)


def _failed(request: Request, error: ArgosyError) -> Response:
    status, code = 500, "failed"
    if isinstance(error, PayloadError):
        status, code = 422, error.code.value
    for kind, its_status, its_code in _STATUS:
        if isinstance(error, kind):
            status, code = its_status, its_code
            break
    if status == 500:
        log.error("%s %s: %s", request.method, request.url.path, error)
    return _json(api.Failure(code, str(error), error.hint), status)


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(
        encode_json(value) + b"\n", status, {**_HEADERS, **(headers or {})}, media_type="application/json"
    )


async def _body(request: Request, kind: type[T]) -> T:
    """The request's JSON; an empty body is an empty object. Raises `InputError`."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY_BYTES:
            raise InputError(f"the request is larger than {_MAX_BODY_BYTES} bytes")
    return decode_json(bytes(body) or b"{}", kind, source="the request")


def _name(request: Request) -> str:
    name: str = request.path_params["name"]
    return name


def _new_name(request: Request) -> str:
    name = _name(request)
    if not api.is_name(name):
        raise InputError(
            f"{name!r} cannot be a name", hint="up to 64 letters, digits, dots, hyphens and underscores"
        )
    return name


def _content_length(request: Request) -> int | None:
    text = request.headers.get("content-length")
    return int(text) if text else None  # h11 has seen to it that it is a number.

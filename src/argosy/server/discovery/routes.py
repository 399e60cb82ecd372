"""The addresses of discovery: HTTP to requests, decisions to HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Sequence
from typing import TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from prometheus_client import Gauge
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from argosy.base.decode import encode_json
from argosy.formats.discovery import SIZE, Answer, Failure, is_token
from argosy.server.asked import asked_address
from argosy.server.database import Database
from argosy.server.discovery.model import Cluster, Decision, Delete, Event, Get, Limits, Put, Wait
from argosy.server.discovery.page import render
from argosy.server.discovery.protocol import answer_of, refuse
from argosy.server.discovery.request import RefusedError, fields_of, read_request, read_size
from argosy.server.discovery.store import Store
from argosy.server.discovery.waits import Ticket, TooManyWaitsError, Waits
from argosy.server.metrics import Metrics
from argosy.server.room import exact_route

log = logging.getLogger(__name__)

T = TypeVar("T")

_FORM = "application/x-www-form-urlencoded"
_THREADS = 8  # As many as the database's pool has connections, about: more would only wait there.


class TooLargeError(Exception):
    """The body is larger than the limit."""


class Discovery:
    """The room. `url` is what discovery URLs begin with; None: the address that the client asked."""

    def __init__(self, database: Database, limits: Limits, metrics: Metrics, url: str | None) -> None:
        self._store = Store(database, limits)
        self._limits = limits
        self._waits = Waits(limits)
        self._url = url
        self._writing = asyncio.Lock()
        self._threads = CapacityLimiter(_THREADS)
        self._tokens = Gauge("argosy_discovery_tokens", "Clusters known.", registry=metrics.registry)
        self._members = Gauge("argosy_discovery_members", "Members registered.", registry=metrics.registry)
        waits = Gauge("argosy_discovery_waits", "Long polls held now.", registry=metrics.registry)
        waits.set_function(lambda: self._waits.count)

    def routes(self) -> Sequence[BaseRoute]:
        """`/new` and all below a token."""
        anything = ["GET", "PUT", "DELETE"]
        return [
            exact_route(Route("/new", self._new, methods=["GET", "POST", "PUT"])),
            exact_route(Route("/{token}", self._keys, methods=["GET", "PUT"])),
            exact_route(Route("/{token}/", self._keys, methods=["GET", "PUT"])),
            exact_route(Route("/{token}/_config/size", self._size, methods=["GET"])),
            exact_route(Route("/{token}/{member}", self._keys, methods=anything)),
        ]

    async def measure(self) -> None:
        """Count clusters and members."""
        tokens, members = await self._in_thread(self._store.count)
        self._tokens.set(tokens)
        self._members.set(members)

    def stop(self) -> None:
        """End the long polls: members ask again, and find the next server."""
        self._waits.close()

    async def _new(self, request: Request) -> Response:
        try:
            fields = fields_of(request.url.query, await self._form(request))
            size = read_size(fields, self._limits)
        except (RefusedError, ValueError) as error:
            return PlainTextResponse(f"{error}\n", 400)
        except TooLargeError:
            return self._too_large()
        base = self._url or asked_address(request.url.scheme, request.headers.get("host", ""))
        if base is None:
            return PlainTextResponse("the request names no host that a URL could have\n", 400)
        token = secrets.token_hex(16)
        async with self._writing:
            await self._in_thread(lambda: self._store.create(token, size))
        log.info("discovery: cluster %s begun, size %d", _shown(token), size)
        return PlainTextResponse(f"{base}/{token}", headers=_PRIVATE)

    async def _size(self, request: Request) -> Response:
        return await self._answer(request, SIZE)

    async def _keys(self, request: Request) -> Response:
        path = request.path_params.get("member", "")
        if not path and _wants_page(request):
            return await self._page(request.path_params["token"])
        return await self._answer(request, path)

    async def _answer(self, request: Request, path: str) -> Response:
        token = request.path_params["token"]
        if not is_token(token):
            return _not_found()
        try:
            fields = fields_of(request.url.query, await self._form(request))
            asked = read_request(request.method, path, fields, self._limits)
        except RefusedError as error:
            return _json(refuse(error.code, error.cause, 0))
        except TooLargeError:
            return self._too_large()
        if isinstance(asked, Wait):
            return await self._wait(token, asked)
        if isinstance(asked, Get):
            return _json(await self._in_thread(lambda: self._store.answer(token, asked)))
        return _json(await self._change(token, asked))

    async def _change(self, token: str, asked: Put | Delete) -> Decision:
        # One at a time, so that events reach those who wait in the order of their indexes.
        async with self._writing:
            decision = await self._in_thread(lambda: self._store.answer(token, asked))
            if decision.event:
                self._waits.publish(token, decision.event)
        if decision.event:
            log.info("discovery: cluster %s: %s %s", _shown(token), decision.event.action.value, asked.path)
        return decision

    async def _wait(self, token: str, wait: Wait) -> Response:
        """Answer with an event of the past if there is one, else hold the request.

        The ticket is taken before the look back, so that nothing falls between the two.
        """
        with contextlib.ExitStack() as stack:
            try:
                ticket = stack.enter_context(self._waits.ticket(token, wait))
            except TooManyWaitsError:
                return PlainTextResponse("too many waits; try again\n", 503, headers={"Retry-After": "5"})
            index, answer = await self._in_thread(lambda: self._store.look_back(token, wait))
            if answer:
                return _json(answer)
            return _LongPoll(token, ticket, index, self._limits.wait_s, stack.pop_all())

    async def _page(self, token: str) -> Response:
        if not is_token(token):
            return _not_found()
        seen = await self._in_thread(lambda: self._store.look(token))
        return _html(seen.cluster)

    async def _form(self, request: Request) -> bytes:
        """The body if it is a form; another body holds no fields. Raises `TooLargeError`."""
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > self._limits.body_bytes:
                raise TooLargeError
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        return bytes(body) if kind == _FORM else b""

    def _too_large(self) -> Response:
        return PlainTextResponse(f"the body is larger than {self._limits.body_bytes} bytes\n", 413)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await run_sync(work, limiter=self._threads)


class _LongPoll(Response):
    """Sends the headers now, as etcd does, and the event when it happens."""

    media_type = "application/json"

    def __init__(
        self, token: str, ticket: Ticket, index: int, timeout_s: float, stack: contextlib.ExitStack
    ) -> None:
        super().__init__(headers=_headers(index))
        del self.headers["content-length"]
        self._token = token
        self._ticket = ticket
        self._timeout_s = timeout_s
        self._stack = stack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._stack:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            event = await self._event_unless_gone(receive)
            body = _body(answer_of(self._token, event)) if event else b""
            await send({"type": "http.response.body", "body": body})

    async def _event_unless_gone(self, receive: Receive) -> Event | None:
        happens = asyncio.create_task(self._ticket.event(self._timeout_s))
        leaves = asyncio.create_task(_client_leaves(receive))
        try:
            await asyncio.wait({happens, leaves}, return_when=asyncio.FIRST_COMPLETED)
            return happens.result() if happens.done() else None
        finally:
            happens.cancel()
            leaves.cancel()


async def _client_leaves(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


_PRIVATE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_PAGE = {
    **_PRIVATE,
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",  # The address holds the token.
    "Vary": "Accept",
}


def _headers(index: int) -> dict[str, str]:
    return {**_PRIVATE, "X-Etcd-Index": str(index), "Vary": "Accept"}


def _body(body: Answer | Failure) -> bytes:
    return encode_json(body) + b"\n"


def _json(decision: Decision) -> Response:
    return Response(
        _body(decision.body), decision.status, _headers(decision.index), media_type="application/json"
    )


def _html(cluster: Cluster | None) -> Response:
    return Response(render(cluster), 200 if cluster else 404, _PAGE, media_type="text/html")


def _not_found() -> Response:
    return PlainTextResponse("404 page not found\n", 404)


def _wants_page(request: Request) -> bool:
    """Browsers ask for HTML; etcd and scripts do not."""
    return (
        request.method == "GET" and not request.url.query and "text/html" in request.headers.get("accept", "")
    )


def _shown(token: str) -> str:
    """Enough of a token to tell clusters apart in a log, too little to join one."""
    return f"{token[:6]}..."

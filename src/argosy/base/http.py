"""HTTP/1.1 over TCP and unix sockets: a client and a small server, both asyncio streams around h11.

Made for daemons that must stay small: nothing is imported that a plain socket does not need, and TLS only
when an address says `https`. Bodies, headers and waiting times are bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

import h11

from argosy.base.address import Address, TlsFiles, client_context
from argosy.base.errors import ArgosyError

log = logging.getLogger(__name__)

Headers = Sequence[tuple[str, str]]

_READ_BYTES = 65536
_LISTEN_FDS_START = 3
_MAX_IDLE_CONNECTIONS = 4
_MAX_SERVED_BODY_BYTES = 4 << 20
_SERVER_IDLE_S = 120.0


class HttpError(ArgosyError):
    """The other side could not be reached, or what it sent is not HTTP.

    `sent` is False if certainly nothing of the request reached it, so that it may be sent again.
    """

    def __init__(self, message: str, *, sent: bool = True, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.sent = sent


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks: `path` is decoded and without the query; header names are lower-case."""

    method: str
    path: str
    query: Mapping[str, Sequence[str]] = field(default_factory=dict)
    headers: Headers = ()
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """The first header of this (lower-case) name."""
        return _first(self.headers, name)


@dataclass(frozen=True, slots=True)
class Response:
    """What a server answers; header names are lower-case."""

    status: int
    headers: Headers = ()
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """The first header of this (lower-case) name."""
        return _first(self.headers, name)


def _first(headers: Headers, name: str) -> str | None:
    return next((value for key, value in headers if key == name), None)


class _Connection:
    """One connection of a client: bytes in and out of h11's state machine."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.machine = h11.Connection(h11.CLIENT)

    def usable(self) -> bool:
        return not (self.reader.at_eof() or self.writer.is_closing())

    async def send(self, *events: h11.Request | h11.Data | h11.EndOfMessage) -> None:
        for event in events:
            data = self.machine.send(event)
            if data:
                self.writer.write(data)
        await self.writer.drain()

    async def receive(self) -> Any:
        while True:
            event = self.machine.next_event()
            if event is not h11.NEED_DATA:
                return event
            self.machine.receive_data(await self.reader.read(_READ_BYTES))

    def recycle(self) -> bool:
        """Ready this connection for another request; False if it must be closed."""
        if self.machine.our_state is h11.DONE and self.machine.their_state is h11.DONE:
            self.machine.start_next_cycle()
            return self.usable()
        return False

    def close(self) -> None:
        self.writer.transport.abort()


class Stream:
    """An answer whose body arrives piece by piece."""

    def __init__(self, connection: _Connection, status: int, headers: Headers) -> None:
        self.status = status
        self.headers = headers
        self._connection = connection

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            try:
                event = await self._connection.receive()
            except (OSError, h11.ProtocolError) as error:
                raise HttpError(f"the answer broke off: {error}") from error
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return
            else:
                raise HttpError("the answer broke off: the connection was closed")

    def abort(self) -> None:
        """Close the connection under whoever reads; the reader gets `HttpError`."""
        self._connection.close()


class Client:
    """Requests to one server; connections are kept for the next request."""

    def __init__(
        self,
        address: Address,
        *,
        timeout_s: float = 10.0,
        max_body_bytes: int = 256 << 20,
        tls: TlsFiles | None = None,
    ) -> None:
        self.address = address
        self._timeout_s = timeout_s
        self._max_body_bytes = max_body_bytes
        self._tls = tls
        self._idle: list[_Connection] = []

    async def request(
        self,
        method: str,
        target: str,
        *,
        body: bytes = b"",
        headers: Headers = (),
        timeout_s: float | None = None,
    ) -> Response:
        """Ask and wait for the whole answer, whatever its status. Raises `HttpError`."""
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        try:
            async with (
                asyncio.timeout(limit_s),
                self.stream(method, target, body=body, headers=headers) as answer,
            ):
                parts, size = [], 0
                async for part in answer:
                    size += len(part)
                    if size > self._max_body_bytes:
                        raise HttpError(
                            f"{self.address} answered with more than {self._max_body_bytes} bytes"
                        )
                    parts.append(part)
                return Response(answer.status, answer.headers, b"".join(parts))
        except TimeoutError as error:
            raise HttpError(f"{self.address} did not answer within {limit_s:g} s") from error

    @contextlib.asynccontextmanager
    async def stream(
        self,
        method: str,
        target: str,
        *,
        body: bytes = b"",
        headers: Headers = (),
        timeout_s: float | None = None,
    ) -> AsyncIterator[Stream]:
        """Ask, and hand over the answer once its head is there; `timeout_s` bounds the wait for the head."""
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        connection = await self._connection(limit_s)
        try:
            try:
                async with asyncio.timeout(limit_s):
                    head = await self._exchange(connection, method, target, body, headers)
            except TimeoutError as error:
                raise HttpError(f"{self.address} did not answer within {limit_s:g} s") from error
            except (OSError, h11.ProtocolError) as error:
                raise HttpError(f"{self.address}: {error or type(error).__name__}") from error
            yield Stream(connection, head.status_code, _decoded(head.headers))
            self._keep(connection)
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        """Close the kept connections."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    async def _exchange(
        self, connection: _Connection, method: str, target: str, body: bytes, headers: Headers
    ) -> h11.Response:
        fields = [("host", self.address.host), ("content-length", str(len(body))), *headers]
        await connection.send(
            h11.Request(method=method, target=target, headers=fields), h11.Data(data=body), h11.EndOfMessage()
        )
        while True:
            event = await connection.receive()
            if isinstance(event, h11.Response):
                return event
            if not isinstance(event, h11.InformationalResponse):
                raise HttpError(f"{self.address} closed the connection without an answer")

    async def _connection(self, limit_s: float) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable():
                return connection
            connection.close()
        try:
            async with asyncio.timeout(limit_s):
                return await self._connect()
        except TimeoutError as error:
            raise HttpError(f"{self.address} does not accept connections", sent=False) from error
        except OSError as error:
            reason = error.strerror or str(error)
            raise HttpError(f"cannot connect to {self.address}: {reason}", sent=False) from error

    async def _connect(self) -> _Connection:
        if self.address.path is not None:
            reader, writer = await asyncio.open_unix_connection(self.address.path)
        else:
            context = client_context(self._tls or TlsFiles()) if self.address.tls else None
            reader, writer = await asyncio.open_connection(self.address.host, self.address.port, ssl=context)
            _notice_dead_peers(writer.get_extra_info("socket"))
        return _Connection(reader, writer)

    def _keep(self, connection: _Connection) -> None:
        if connection.recycle() and len(self._idle) < _MAX_IDLE_CONNECTIONS:
            self._idle.append(connection)
        else:
            connection.close()


def _notice_dead_peers(channel: socket.socket) -> None:
    """A machine that lost its power sends nothing: probe after 10 s of silence, give up after 25 s."""
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10)
    channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
    channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)


def _decoded(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)


# The server.

Handler = Callable[[Request], Awaitable[Response]]


def activated_sockets() -> list[socket.socket]:
    """The sockets that systemd handed over (sd_listen_fds(3)), in the order of the socket unit."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = int(os.environ.get("LISTEN_FDS", "0"))
    return [socket.socket(fileno=_LISTEN_FDS_START + index) for index in range(count)]


def unix_socket(path: Path, *, mode: int = 0o660) -> socket.socket:
    """A listening unix socket at `path`; one that a former process left there is replaced."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    channel = socket.socket(socket.AF_UNIX)
    channel.bind(str(path))
    path.chmod(mode)
    channel.listen(128)
    return channel


class Server:
    """Answers requests on listening sockets through one handler."""

    def __init__(self, handler: Handler, *, max_body_bytes: int = _MAX_SERVED_BODY_BYTES) -> None:
        self._handler = handler
        self._max_body_bytes = max_body_bytes
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Begin to accept connections."""
        for channel in sockets:
            # For unix sockets too: asyncio's own server for these removes the socket's file in the end (since
            # Python 3.13), which belongs to systemd.
            self._servers.append(await asyncio.start_server(self._serve, sock=channel))

    async def close(self) -> None:
        """Stop accepting; open connections are cut."""
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._converse(reader, writer)
        except (OSError, TimeoutError, h11.ProtocolError) as error:
            log.debug("a client's connection ended: %s", error)
        except asyncio.CancelledError:
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        machine = h11.Connection(h11.SERVER)
        while True:
            try:
                request = await self._read_request(machine, reader, writer)
            except h11.RemoteProtocolError as error:
                if machine.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                    await _answer(
                        machine, writer, Response(error.error_status_hint, body=str(error).encode())
                    )
                return
            if request is None:
                return
            await _answer(machine, writer, await self._handle(request))
            if machine.our_state is not h11.DONE or machine.their_state is not h11.DONE:
                return
            machine.start_next_cycle()

    async def _read_request(
        self, machine: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Request | None:
        head: h11.Request | None = None
        body = bytearray()
        while True:
            event = machine.next_event()
            if event is h11.NEED_DATA:
                if machine.they_are_waiting_for_100_continue:
                    interim = h11.InformationalResponse(status_code=100, headers=[])
                    writer.write(machine.send(interim) or b"")
                async with asyncio.timeout(_SERVER_IDLE_S):
                    machine.receive_data(await reader.read(_READ_BYTES))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > self._max_body_bytes:
                    raise h11.RemoteProtocolError("the body is too large", error_status_hint=413)
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                return _request(head, bytes(body))
            else:
                return None

    async def _handle(self, request: Request) -> Response:
        try:
            return await self._handler(request)
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            return Response(500, (("content-type", "text/plain"),), b"internal error\n")


def _request(head: h11.Request, body: bytes) -> Request:
    path, _, query = head.target.decode("ascii", "replace").partition("?")
    return Request(
        head.method.decode("ascii"),
        unquote(path),
        parse_qs(query, keep_blank_values=True),
        _decoded(head.headers),
        body,
    )


async def _answer(machine: h11.Connection, writer: asyncio.StreamWriter, response: Response) -> None:
    headers = [*response.headers]
    if response.status not in (204, 304):
        headers.append(("content-length", str(len(response.body))))
    events: list[Any] = [h11.Response(status_code=response.status, headers=headers)]
    if response.body and response.status not in (204, 304):
        events.append(h11.Data(data=response.body))
    for event in [*events, h11.EndOfMessage()]:
        writer.write(machine.send(event) or b"")
    await writer.drain()

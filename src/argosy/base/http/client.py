"""The client: requests to one server over connections that are kept."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import h11

from argosy.base.address import Address, TlsFiles, client_context
from argosy.base.http.message import READ_BYTES, Headers, HttpError, Response, text_headers

_MAX_IDLE_CONNECTIONS = 4


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
            self.machine.receive_data(await self.reader.read(READ_BYTES))

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
            yield Stream(connection, head.status_code, text_headers(head.headers))
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

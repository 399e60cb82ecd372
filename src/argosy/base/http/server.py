"""The server: one handler behind listening sockets."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

import h11

from argosy.base.http.message import READ_BYTES, Request, Response, text_headers

log = logging.getLogger(__name__)

_LISTEN_FDS_START = 3
_MAX_BODY_BYTES = 4 << 20
_IDLE_S = 120.0

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

    def __init__(self, handler: Handler, *, max_body_bytes: int = _MAX_BODY_BYTES) -> None:
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
                async with asyncio.timeout(_IDLE_S):
                    machine.receive_data(await reader.read(READ_BYTES))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > self._max_body_bytes:
                    raise h11.RemoteProtocolError("the body is too large", error_status_hint=413)
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                return _request(head, bytes(body), _peer(writer))
            else:
                return None

    async def _handle(self, request: Request) -> Response:
        try:
            return await self._handler(request)
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            return Response(500, (("content-type", "text/plain"),), b"internal error\n")


def _request(head: h11.Request, body: bytes, peer: str) -> Request:
    path, _, query = head.target.decode("ascii", "replace").partition("?")
    return Request(
        head.method.decode("ascii"),
        unquote(path),
        parse_qs(query, keep_blank_values=True),
        text_headers(head.headers),
        body,
        peer,
    )


def _peer(writer: asyncio.StreamWriter) -> str:
    name = writer.get_extra_info("peername")
    # An IPv4 client of a socket for both kinds has its address in IPv6's clothes (RFC 4291, 2.5.5.2).
    return str(name[0]).removeprefix("::ffff:") if isinstance(name, tuple) else ""


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

"""The server process: one socket, one database, all rooms, until it is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from argosy.base.errors import ArgosyError, InputError
from argosy.base.notify import notify
from argosy.base.paths import data_folder
from argosy.server.access import Access
from argosy.server.app import create_app
from argosy.server.database import Database, folder_of, open_database, sqlite_url
from argosy.server.discovery.model import Limits
from argosy.server.discovery.routes import Discovery
from argosy.server.discovery.store import SCHEMA as DISCOVERY_SCHEMA
from argosy.server.metrics import Metrics
from argosy.server.room import Room
from argosy.server.tokenfile import take_token
from argosy.server.update.check import keys_folder
from argosy.server.update.routes import Updates
from argosy.server.update.service import Place, open_service
from argosy.server.update.tables import SCHEMA as UPDATE_SCHEMA

_BACKLOG = 512
_KEEP_ALIVE_S = 65
_END_S = 5  # For what is being answered when the server is told to end; long polls are let go at once.


@dataclass(frozen=True, slots=True)
class Settings:
    """How to serve. `url` is what clients are told; None: the address at which each of them came.

    `token_file` holds the token for changes, and is made if missing; `packages` is the folder of payloads.
    Both are beside the database if they are None. `keys` is the folder of the public keys that payloads are
    checked with; None: where releases' keys are.
    """

    host: str
    port: int
    url: str | None
    database: str | None
    token_file: Path | None = None
    packages: Path | None = None
    keys: Path | None = None


def parse_listen(text: str) -> tuple[str, int]:
    """`ADDRESS:PORT`, `[IPV6]:PORT` or `:PORT` (every address). Port 0: a free one. Raises `InputError`."""
    match = re.fullmatch(r"(?:\[(?P<six>[^\]]*)\]|(?P<four>[^:\[\]]*)):(?P<port>[0-9]{1,5})", text)
    if not match or int(match["port"]) > 65535:
        raise InputError(
            f'cannot listen on "{text}"', hint="write ADDRESS:PORT, for example 127.0.0.1:8087 or [::1]:8087"
        )
    return match["six"] or match["four"] or "", int(match["port"])


def parse_url(text: str) -> str:
    """What discovery URLs begin with, without a slash at its end. Raises `InputError`."""
    if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", text):
        raise InputError(
            f'"{text}" is not the address of a server', hint="for example https://discovery.example.com"
        )
    return text.rstrip("/")


def serve(settings: Settings, announce: Callable[[str, Path], None]) -> None:
    """Serve until SIGTERM or SIGINT; calls `announce` with our address and the token's file once we answer.

    Raises `ArgosyError` if the address is taken or the database cannot be used.
    """
    location = settings.database or sqlite_url(data_folder() / "server.sqlite")
    token_file = settings.token_file or folder_of(location) / "server-token"
    access = Access(take_token(token_file))
    place = Place(settings.packages or folder_of(location) / "packages", settings.keys or keys_folder())
    with (
        contextlib.closing(_listen(settings.host, settings.port)) as listener,
        open_database(location, [DISCOVERY_SCHEMA, UPDATE_SCHEMA]) as database,
    ):
        asyncio.run(_serve(settings, listener, database, place, access, lambda at: announce(at, token_file)))


async def _serve(
    settings: Settings,
    listener: socket.socket,
    database: Database,
    place: Place,
    access: Access,
    announce: Callable[[str], None],
) -> None:
    metrics = Metrics()
    async with open_service(database, place) as updates:
        rooms: list[Room] = [
            Updates(updates, access, metrics, settings.url),  # First: discovery takes any word for a token.
            Discovery(database, Limits(), metrics, settings.url),
        ]
        await _run(create_app(database, rooms, metrics), rooms, listener, announce)


async def _run(
    app: Starlette, rooms: list[Room], listener: socket.socket, announce: Callable[[str], None]
) -> None:
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,  # Paths hold tokens, and tokens are secrets.
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_END_S,
    )

    def ready() -> None:
        notify("READY=1")
        announce(address_of(listener))

    def stop() -> None:
        notify("STOPPING=1")
        for room in rooms:
            room.stop()

    await _Server(config, ready, stop).serve(sockets=[listener])


class _Server(uvicorn.Server):
    """Tells when it is ready, and ends on a signal with exit code 0 instead of by that signal."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None], stop: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready
        self._stop = stop

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._end)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    def _end(self) -> None:
        self.should_exit = True
        self._stop()


def address_of(listener: socket.socket) -> str:
    """The URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        # Connections inherit it. asyncio would set it only on sockets that it made itself, and without it
        # an answer in two writes waits 40 ms for the client's acknowledgement.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except OSError as error:
        raise ArgosyError(
            f"cannot listen on {host or '*'}:{port}: {error.strerror}",
            hint="end what uses it, or give another with --listen ADDRESS:PORT (port 0: a free one)",
        ) from error

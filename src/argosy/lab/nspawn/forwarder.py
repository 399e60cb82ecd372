"""The network of a cluster: a process that holds its network namespace and carries TCP in and out of it.

Run as `python -m argosy.lab.nspawn.forwarder FILE HOST_NAMESPACE_FD`, already inside the cluster's namespace.
It makes the bridge, listens on the host's 127.0.0.1 for every machine's ports, and on the bridge's address
for the ports of the host's servers. `Forwarding.ready_file` gets its pid once all of that stands.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from argosy.base.decode import decode_json
from argosy.base.errors import ArgosyError, describe
from argosy.base.files import replace_file
from argosy.base.log import set_up_logging
from argosy.base.run import run
from argosy.lab.nspawn.namespace import network_namespace

BRIDGE = "br0"
_CHUNK_BYTES = 64 * 1024
_LOOPBACK = "127.0.0.1"

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], Awaitable[Streams]]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Inward:
    """A port of the host's 127.0.0.1 that leads to a port of a machine."""

    host_port: int
    machine_ip: str
    machine_port: int


@dataclass(frozen=True, slots=True)
class Forwarding:
    """What to set up. `gateway` is the bridge's address; its `outward` ports lead to the host's 127.0.0.1."""

    gateway: str
    prefix_length: int
    inward: tuple[Inward, ...]
    outward: tuple[int, ...]
    ready_file: str


def make_bridge(gateway: str, prefix_length: int) -> None:
    """Make the bridge in the namespace in which we are; what is there already is left alone.

    Forwarding is on so that a packet to anywhere else is refused at once, not lost until a timeout.
    """
    if run(["ip", "link", "show", "dev", BRIDGE], check=False).returncode != 0:
        run(["ip", "link", "add", "name", BRIDGE, "type", "bridge"])
    run(["ip", "address", "replace", f"{gateway}/{prefix_length}", "dev", BRIDGE])
    for interface in ("lo", BRIDGE):
        run(["ip", "link", "set", "dev", interface, "up"])
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


async def forward(forwarding: Forwarding, host_namespace: int, ready: Callable[[], None]) -> None:
    """Carry connections until cancelled; calls `ready` when all sockets listen. Raises `ArgosyError`."""
    servers = []
    for inward in forwarding.inward:
        with network_namespace(host_namespace):
            listener = _listen(_LOOPBACK, inward.host_port)
        servers.append(await _serve(listener, _to_machine(inward)))
    for port in forwarding.outward:
        servers.append(await _serve(_listen(forwarding.gateway, port), _to_host(host_namespace, port)))
    ready()
    await asyncio.gather(*(server.serve_forever() for server in servers))


def _listen(address: str, port: int) -> socket.socket:
    try:
        return socket.create_server((address, port), backlog=128)
    except OSError as error:
        raise ArgosyError(
            f"cannot listen on {address}:{port}: {error.strerror}",
            hint=f"`ss -ltnp sport = :{port}` shows who has the port",
        ) from error


async def _serve(listener: socket.socket, connect: Connect) -> asyncio.Server:
    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _carry((reader, writer), connect)

    return await asyncio.start_server(on_connection, sock=listener)


def _to_machine(inward: Inward) -> Connect:
    return lambda: asyncio.open_connection(inward.machine_ip, inward.machine_port)


def _to_host(host_namespace: int, port: int) -> Connect:
    async def connect() -> Streams:
        with network_namespace(host_namespace):
            connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        connection.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(connection, (_LOOPBACK, port))
        except BaseException:
            connection.close()
            raise
        return await asyncio.open_connection(sock=connection)

    return connect


async def _carry(client: Streams, connect: Connect) -> None:
    """Join a client's connection to a new one; if nobody answers that, the client's is closed."""
    try:
        server = await connect()
    except OSError as error:
        log.debug("no connection: %s", error)
        client[1].close()
        return
    try:
        async with asyncio.TaskGroup() as both:
            both.create_task(_copy(client[0], server[1]))
            both.create_task(_copy(server[0], client[1]))
    except* OSError as errors:
        log.debug("connection broke: %s", errors.exceptions[0])
    finally:
        for writer in (client[1], server[1]):
            writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until the reader's end, and pass the end on: the other direction may go on (half-closed)."""
    while data := await reader.read(_CHUNK_BYTES):
        writer.write(data)
        await writer.drain()
    with suppress(OSError):
        writer.write_eof()


def main(argv: list[str]) -> None:
    """The process's own entry."""
    set_up_logging()
    source, host_namespace = Path(argv[1]), int(argv[2])
    forwarding = decode_json(source.read_bytes(), Forwarding, source=str(source))
    make_bridge(forwarding.gateway, forwarding.prefix_length)

    def ready() -> None:
        replace_file(Path(forwarding.ready_file), str(os.getpid()).encode())

    asyncio.run(forward(forwarding, host_namespace, ready))


if __name__ == "__main__":
    try:
        main(sys.argv)
    except ArgosyError as error:
        sys.exit(describe(error, "argosy forwarder"))

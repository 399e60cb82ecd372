"""A learning Ethernet switch for the private networks of virtual machines.

`python -m argosy.lab.qemu.switch FOLDER` connects to every `*.net` socket in the folder, on each of which a
QEMU listens (`-netdev stream,server=on`), and again whenever one appears or comes back. A frame on the stream
is its length (32 bits, big-endian) and its bytes, as in QEMU's net/stream.c.

QEMU listens, not the switch, because QEMU before version 8 does not connect again: so either side may be
restarted at any time.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import Protocol

_LOOK_EVERY_S = 0.25
_FRAME_MAX_BYTES = 1 << 17  # a virtio frame with segmentation offload has at most 64 KiB and headers
_BACKLOG_MAX_BYTES = 1 << 20
_STATIONS_MAX = 4096


class Port(Protocol):
    """Where a frame can be sent."""

    def send(self, frame: bytes) -> None:
        """Send a frame, or drop it, as Ethernet does, if the other side is too slow."""


class Switch:
    """Learns behind which port an address is; what goes to an unknown or a group address goes everywhere."""

    def __init__(self) -> None:
        self._ports: set[Port] = set()
        self._stations: dict[bytes, Port] = {}

    def attach(self, port: Port) -> None:
        self._ports.add(port)

    def detach(self, port: Port) -> None:
        self._ports.discard(port)
        self._stations = {station: at for station, at in self._stations.items() if at is not port}

    def forward(self, frame: bytes, source: Port) -> None:
        """Pass on a frame that came in on `source`. One too short to have addresses is dropped."""
        if len(frame) < 14:
            return
        to, sender = frame[:6], frame[6:12]
        if not _is_group(sender) and (sender in self._stations or len(self._stations) < _STATIONS_MAX):
            self._stations[sender] = source
        known = None if _is_group(to) else self._stations.get(to)
        for port in [known] if known else self._ports:
            if port is not source:
                port.send(frame)


class _StreamPort:
    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    def send(self, frame: bytes) -> None:
        if self._writer.transport.get_write_buffer_size() < _BACKLOG_MAX_BYTES:
            self._writer.write(len(frame).to_bytes(4, "big") + frame)


async def serve(folder: Path) -> None:
    """Connect the machines whose sockets are in `folder`, for as long as the folder exists."""
    switch = Switch()
    links: dict[Path, asyncio.Task[None]] = {}
    while folder.is_dir():
        for path in folder.glob("*.net"):
            if path not in links or links[path].done():
                links[path] = asyncio.create_task(_link(switch, path))
        await asyncio.sleep(_LOOK_EVERY_S)


async def _link(switch: Switch, path: Path) -> None:
    """One machine's cable, until either end goes. A socket on which nobody listens is left for later."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        reader, writer = await asyncio.open_unix_connection(str(path), limit=_FRAME_MAX_BYTES)
        port = _StreamPort(writer)
        switch.attach(port)
        try:
            while True:
                size = int.from_bytes(await reader.readexactly(4), "big")
                if size > _FRAME_MAX_BYTES:
                    return
                switch.forward(await reader.readexactly(size), port)
        finally:
            switch.detach(port)
            writer.close()


def _is_group(address: bytes) -> bool:
    return bool(address[0] & 1)


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))

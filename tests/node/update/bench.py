"""A machine in miniature: a disk image with two slots, an ESP, keys; payloads; servers that misbehave.

Payloads here have many small operations, so that there are many places to stop at.
"""

from __future__ import annotations

import hashlib
import http.server
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from dataclasses import replace as changed
from pathlib import Path
from uuid import UUID

import zstandard

from argosy.base import ed25519
from argosy.formats import gpt
from argosy.formats import payload as p
from argosy.formats.omaha import model as omaha
from argosy.formats.omaha.request import decode_request
from argosy.formats.omaha.response import encode_response
from argosy.formats.payload import Header, KeyName, Manifest, Operation, Part
from argosy.node.slots.store import Places, Slots

OLD, NEW = "4891.0.0", "4892.0.0"
USR_TYPE = UUID("5dfbf5f4-2848-4bac-aa5e-0d9a20b745a6")
SLOT_SECTORS = 256
SECTORS = 4096
CHUNK_BYTES = 3000


def contents(seed: str = "new", usr_bytes: int = 20_000) -> dict[str, bytes]:
    """What a version's parts hold."""
    text = "".join(hashlib.sha256(f"{seed}{n}".encode()).hexdigest() + "....." * 5 for n in range(400))
    return {
        p.VMLINUZ: text[:5000].encode(),
        p.INITRD: text[100:7100].encode(),
        p.BOOT: text[200:500].encode(),
        p.USR: (text.encode() * (usr_bytes // len(text) + 1))[:usr_bytes],
    }


@dataclass
class Key:
    """A key pair in a folder."""

    folder: Path
    name: str = "release"
    pem: bytes = b""
    id: str = ""

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        ed25519.create_key(self.private)
        self.pem = ed25519.public_key(self.private)
        self.id = ed25519.key_id(self.pem)

    @property
    def private(self) -> Path:
        return self.folder / f"{self.name}.key"

    def trust_in(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.name}.pem").write_bytes(self.pem)


def packed(
    parts: dict[str, bytes], version: str, key: Key | None, **values: object
) -> tuple[Manifest, bytes]:
    """A manifest of `parts` and its data. Every second operation is not compressed."""
    data, found = bytearray(), []
    for name, content in parts.items():
        operations = []
        for at in range(0, len(content), CHUNK_BYTES):
            chunk = content[at : at + CHUNK_BYTES]
            plain = (at // CHUNK_BYTES) % 2 == 1
            blob = chunk if plain else zstandard.ZstdCompressor().compress(chunk)
            kind = p.NONE if plain else p.ZSTD
            hashes = (hashlib.sha256(blob).hexdigest(), hashlib.sha256(chunk).hexdigest())
            operations.append(Operation(p.REPLACE, kind, at, len(chunk), len(data), len(blob), *hashes))
            data += blob
        found.append(Part(name, len(content), hashlib.sha256(content).hexdigest(), tuple(operations)))
    keys = (KeyName(key.id, key.name),) if key else ()
    manifest = Manifest(p.APPLICATION_ID, version, "stable", "6.12.1", "0.0.0", keys, tuple(found))
    return changed(manifest, **values), bytes(data)  # type: ignore[arg-type]


def sealed(manifest: Manifest, data: bytes, key: Key | None, *, signed: bytes | None = None) -> bytes:
    """The whole payload; `signed` stands for the signature if it is given."""
    body = p.encode_manifest(manifest)
    blank = (p.signature(key.id, bytes(64)),) if key else ()
    head = p.encode_header(Header(len(body), len(p.encode_signatures(blank)))) + body
    if key is None:
        return head + p.encode_signatures(()) + data
    raw = ed25519.sign(key.private, head) if signed is None else signed
    return head + p.encode_signatures((p.signature(key.id, raw),)) + data


def payload(key: Key, version: str = NEW, parts: dict[str, bytes] | None = None, **values: object) -> bytes:
    """A payload that is sound."""
    return sealed(*packed(parts or contents(), version, key, **values), key)


@dataclass
class Machine:
    """A disk image, an ESP and what the engine keeps, below `folder`. Slot A runs `OLD` and is committed."""

    folder: Path
    slot_sectors: int = SLOT_SECTORS
    running: str = "a"

    def __post_init__(self) -> None:
        for path in (self.esp / "coreos/grub", self.state, self.keys):
            path.mkdir(parents=True, exist_ok=True)
        sectors = max(SECTORS, 2 * self.slot_sectors + 1024)
        good = gpt.UsrAttributes(priority=1, successful=True)
        first = 512
        partitions = []
        for number, label in ((3, "USR-A"), (4, "USR-B")):
            attributes = gpt.with_usr_attributes(0, good) if label == "USR-A" else 0
            partitions.append(
                gpt.Partition(
                    number,
                    USR_TYPE,
                    UUID(int=number),
                    first,
                    first + self.slot_sectors - 1,
                    label,
                    attributes,
                )
            )
            first += self.slot_sectors
        head, tail = gpt.encode(gpt.Gpt(UUID(int=9), sectors, tuple(partitions)))
        with self.disk.open("wb") as file:
            file.truncate(sectors * gpt.SECTOR_BYTES)
            file.write(head)
            file.seek(sectors * gpt.SECTOR_BYTES - len(tail))
            file.write(tail)
        (self.esp / "coreos/vmlinuz-a").write_bytes(b"old kernel")
        self.slots.reconcile(OLD)

    @property
    def disk(self) -> Path:
        return self.folder / "disk.img"

    @property
    def esp(self) -> Path:
        return self.folder / "esp"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def keys(self) -> Path:
        return self.folder / "keys"

    @property
    def conf(self) -> Path:
        return self.folder / "update.conf"

    @property
    def places(self) -> Places:
        return Places(self.disk, self.esp, self.state / "slots.json", self.state / "slots.lock", self.running)

    @property
    def slots(self) -> Slots:
        return Slots(self.places)

    def configure(self, server: str, **values: str) -> None:
        """Write the settings."""
        settings = {
            "GROUP": "stable",
            "SERVER": server,
            "COREOS_RELEASE_VERSION": OLD,
            "COREOS_RELEASE_APPID": p.APPLICATION_ID,
        }
        self.conf.write_text("".join(f"{key}={value}\n" for key, value in (settings | values).items()))

    @property
    def armed(self) -> bool:
        """Slot B boots next."""
        return self.slots.next_boot().slot == "b"

    def installed(self) -> dict[str, bytes | None]:
        """What slot B holds."""
        paths = self.slots.standby_target()
        files = {p.VMLINUZ: paths.kernel, p.INITRD: paths.initrd, p.BOOT: paths.boot}
        found = {name: path.read_bytes() if path.exists() else None for name, path in files.items()}
        with paths.usr.open("rb") as file:
            file.seek(paths.offset_bytes)
            return found | {p.USR: file.read(len(contents()[p.USR]))}

    def partial_files(self) -> list[str]:
        """Names on the ESP that are not a kernel's, an initrd's or a configuration's own."""
        own = re.compile(r"(vmlinuz|initrd)-[ab]|slot-[ab]\.cfg|grubenv")
        return [path.name for path in self.esp.rglob("*") if path.is_file() and not own.fullmatch(path.name)]


# Servers

Handle = Callable[[http.server.BaseHTTPRequestHandler], None]


@dataclass
class Web:
    """A real HTTP server on loopback: `handle` answers; `ranges` are those that were asked for."""

    handle: Handle
    port: int = 0
    asked: int = 0
    ranges: list[str | None] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def web(handle: Handle) -> Iterator[Web]:
    """Serve until the block ends."""
    found = Web(handle)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            found.asked += 1
            found.ranges.append(self.headers["Range"])
            found.handle(self)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *_: object) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    found.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def serves(data: bytes, *, ranges: bool = True) -> Handle:
    """A server that works."""

    def handle(request: http.server.BaseHTTPRequestHandler) -> None:
        match = re.fullmatch(r"bytes=(\d+)-", request.headers["Range"] or "") if ranges else None
        start = int(match[1]) if match else 0
        request.send_response(206 if match else 200)
        if match:
            request.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        request.send_header("Content-Length", str(len(data) - start))
        request.end_headers()
        request.wfile.write(data[start:])

    return handle


def answers(status: int, **headers: str) -> Handle:
    """A server that answers with a status and no body."""

    def handle(request: http.server.BaseHTTPRequestHandler) -> None:
        length = int(request.headers["Content-Length"] or 0)
        request.rfile.read(length)
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return handle


def stops_after(data: bytes, count: int, *, stalls: bool = False) -> Handle:
    """A server that breaks off, or falls silent, after each `count` bytes."""

    def handle(request: http.server.BaseHTTPRequestHandler) -> None:
        match = re.fullmatch(r"bytes=(\d+)-", request.headers["Range"] or "")
        start = int(match[1]) if match else 0
        request.send_response(206 if match else 200)
        if match:
            request.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        request.send_header("Content-Length", str(len(data) - start))
        request.end_headers()
        request.wfile.write(data[start : start + count])
        request.wfile.flush()
        if stalls and start + count < len(data):
            time.sleep(1)
        request.close_connection = True
        request.connection.shutdown(socket.SHUT_RDWR)

    return handle


def hangs_at(data: bytes, limit: int) -> Handle:
    """A server that sends what is before `limit`, and then nothing, but keeps the connection."""

    def handle(request: http.server.BaseHTTPRequestHandler) -> None:
        match = re.fullmatch(r"bytes=(\d+)-", request.headers["Range"] or "")
        start = int(match[1]) if match else 0
        request.send_response(206 if match else 200)
        if match:
            request.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        request.send_header("Content-Length", str(len(data) - start))
        request.end_headers()
        request.wfile.write(data[start:limit])
        request.wfile.flush()
        request.connection.recv(1)  # until the other side goes away
        request.close_connection = True

    return handle


@dataclass
class Service:
    """An update service: answers checks with `answer`, and keeps the events that it hears."""

    answer: omaha.UpdateAnswer = field(default_factory=lambda: omaha.UpdateAnswer(omaha.NO_UPDATE))
    events: list[omaha.Event] = field(default_factory=list)
    requests: list[omaha.Request] = field(default_factory=list)
    broken: Handle | None = None
    name: str = ""
    withdrawn: omaha.Withdrawn | None = None

    @property
    def progress(self) -> list[omaha.Progress]:
        """What it heard of how far updates are."""
        pings = [request.apps[0].ping for request in self.requests]
        return [ping.progress for ping in pings if ping and ping.progress]

    def offer(self, url: str, size_bytes: int, version: str = NEW, floor: str = "", **values: object) -> None:
        """Offer a payload at `url`, which ends in its name."""
        base, _, name = url.rpartition("/")
        package = omaha.Package(name, size_bytes, sha256=f"{version} {size_bytes}")
        action = omaha.Action(sha256=package.sha256, **values)  # type: ignore[arg-type]
        manifest = omaha.Manifest(version, (package,), (action,), floor)
        self.answer = omaha.UpdateAnswer(omaha.OK, (base + "/",), manifest)

    def handle(self, request: http.server.BaseHTTPRequestHandler) -> None:
        if self.broken is not None:
            self.broken(request)
            return
        body = request.rfile.read(int(request.headers["Content-Length"]))
        asked = decode_request(body)
        (app,) = asked.apps
        self.requests.append(asked)
        self.events += app.events
        update = self.answer if app.update_check is not None else None
        withdrawn = self.withdrawn if app.ping and app.ping.progress else None
        found = omaha.ResponseApp(app.app_id, omaha.OK, True, update, len(app.events), withdrawn)
        data = encode_response(omaha.Response((found,), server=self.name))
        request.send_response(200)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)

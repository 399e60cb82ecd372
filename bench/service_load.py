"""A process that asks the update service as many machines would: `python -m bench.service_load ...`.

It holds connections open and has one request under way on each; every answer must be `noupdate`. Prints one
line of JSON: how many answers, in how many seconds, and the latencies' percentiles in milliseconds.
"""

from __future__ import annotations

import json
import random
import selectors
import socket
import sys
import time
from dataclasses import dataclass

from argosy.formats.omaha import model as omaha
from argosy.formats.omaha.request import encode_request
from argosy.formats.payload import APPLICATION_ID

GROUP, VERSION = "stable", "2.0.0"
_DISTINCT = 20_000
_READ_BYTES = 65536
_NO_UPDATE = b'<updatecheck status="noupdate"'


@dataclass(slots=True)
class _Connection:
    socket: socket.socket
    asked_s: float = 0.0
    answer: bytes = b""


def machine_id(number: int) -> str:
    """The id of one of the known machines."""
    return f"{number:032x}"


def main() -> int:
    """Ask for `seconds`, on `connections`, as `machines` that take turns at random."""
    host, port, seconds, connections, machines = sys.argv[1], *(int(word) for word in sys.argv[2:6])
    chosen = random.Random(1).choices(range(machines), k=_DISTINCT)
    requests = [_request(host, port, machine_id(number)) for number in chosen]
    latencies_s, took_s = _ask(host, port, seconds, connections, requests)
    latencies_s.sort()
    result = {
        "checks": len(latencies_s),
        "seconds": took_s,
        "p50_ms": 1000 * latencies_s[len(latencies_s) // 2],
        "p99_ms": 1000 * latencies_s[len(latencies_s) * 99 // 100],
    }
    print(json.dumps(result))
    return 0


def _request(host: str, port: int, machine: str) -> bytes:
    app = omaha.RequestApp(
        APPLICATION_ID,
        VERSION,
        GROUP,
        boot_id="{c948d084-8590-4761-be9e-b0fdd67266a6}",
        machine_id=machine,
        aleph_version=VERSION,
        lang="en-US",
        ping=omaha.Ping(active=1),
        update_check=omaha.UpdateCheck(),
    )
    system = omaha.System(omaha.PLATFORM, "Chateau", f"{VERSION}_x86_64")
    body = encode_request(omaha.Request((app,), system, version="bench", install_source="scheduler"))
    head = f"POST /v1/update/ HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: text/xml\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _ask(
    host: str, port: int, seconds: float, connections: int, requests: list[bytes]
) -> tuple[list[float], float]:
    selector = selectors.DefaultSelector()
    latencies_s: list[float] = []
    turn = 0
    for _ in range(connections):
        connection = _Connection(socket.create_connection((host, port)))
        selector.register(connection.socket, selectors.EVENT_READ, connection)
        _send(connection, requests[turn])
        turn += 1
    began_s = time.perf_counter()
    while (now_s := time.perf_counter()) < began_s + seconds:
        for key, _ in selector.select(1.0):
            ready: _Connection = key.data
            if not _receive(ready):
                continue
            latencies_s.append(time.perf_counter() - ready.asked_s)
            turn += 1
            _send(ready, requests[turn % len(requests)])
    return latencies_s, now_s - began_s


def _send(connection: _Connection, request: bytes) -> None:
    connection.answer = b""
    connection.asked_s = time.perf_counter()
    connection.socket.sendall(request)


def _receive(connection: _Connection) -> bool:
    """Whether the answer is whole now. Raises `RuntimeError` if it is not the expected one."""
    data = connection.socket.recv(_READ_BYTES)
    if not data:
        raise RuntimeError("the server closed a connection")
    connection.answer += data
    if not connection.answer.endswith(b"</response>\n"):
        return False
    if not connection.answer.startswith(b"HTTP/1.1 200") or _NO_UPDATE not in connection.answer:
        raise RuntimeError(connection.answer.decode(errors="replace"))
    return True


if __name__ == "__main__":
    sys.exit(main())

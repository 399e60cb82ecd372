"""The client and the server of base.http, talking to each other over real sockets."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from argosy.base.address import Address, parse_address
from argosy.base.errors import InputError
from argosy.base.http import (
    Client,
    Handler,
    HttpError,
    Request,
    Response,
    Server,
    unix_socket,
)

Talk = Callable[[Client], Awaitable[None]]


def talk(folder: Path, handler: Handler, body: Talk, **options: float) -> None:
    """Run `body` with a client of a server that answers through `handler`."""

    async def both() -> None:
        server = Server(handler, max_body_bytes=1000)
        await server.start([unix_socket(folder / "s")])
        client = Client(Address("localhost", path=str(folder / "s")), **options)  # type: ignore[arg-type]
        try:
            await body(client)
        finally:
            client.close()
            await server.close()

    asyncio.run(both())


async def echo(request: Request) -> Response:
    text = f"{request.method} {request.path} {dict(request.query)} {len(request.body)}"
    return Response(200, (("x-seen", request.header("x-sent") or "-"),), text.encode())


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:2379", Address("127.0.0.1", 2379)),
        ("http://host/", Address("host", 80)),
        ("https://[::1]:8443", Address("::1", 8443, tls=True)),
        ("unix:///run/fleet.sock", Address("localhost", path="/run/fleet.sock")),
    ],
)
def test_addresses(url: str, address: Address) -> None:
    assert parse_address(url) == address
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    "url", ["", "host:80", "ftp://host", "unix://run/x", "http://h/path", "http://h:port"]
)
def test_bad_addresses_are_refused(url: str) -> None:
    with pytest.raises(InputError):
        parse_address(url)


def test_a_request_and_its_answer(tmp_path: Path) -> None:
    async def body(client: Client) -> None:
        answer = await client.request("PUT", "/a%40b?x=1&x=2", body=b"12345", headers=[("x-sent", "v")])
        assert answer.status == 200
        assert answer.body == b"PUT /a@b {'x': ['1', '2']} 5"
        assert answer.header("x-seen") == "v"

    talk(tmp_path, echo, body)


def test_connections_are_kept(tmp_path: Path) -> None:
    async def body(client: Client) -> None:
        await client.request("GET", "/")
        (kept,) = client._idle
        await client.request("GET", "/")
        assert client._idle == [kept]

    talk(tmp_path, echo, body)


def test_a_body_over_the_limit_is_refused(tmp_path: Path) -> None:
    async def body(client: Client) -> None:
        assert (await client.request("PUT", "/", body=b"x" * 1000)).status == 200
        assert (await client.request("PUT", "/", body=b"x" * 1001)).status == 413

    talk(tmp_path, echo, body)


def test_an_answer_over_the_limit_is_refused(tmp_path: Path) -> None:
    async def big(request: Request) -> Response:
        return Response(200, (), b"x" * 11)

    async def body(client: Client) -> None:
        with pytest.raises(HttpError, match="more than 10 bytes"):
            await client.request("GET", "/")

    talk(tmp_path, big, body, max_body_bytes=10)


def test_a_slow_answer_is_given_up(tmp_path: Path) -> None:
    async def slow(request: Request) -> Response:
        await asyncio.sleep(30)
        return Response(200)

    async def body(client: Client) -> None:
        with pytest.raises(HttpError, match="did not answer within"):
            await client.request("GET", "/")

    talk(tmp_path, slow, body, timeout_s=0.1)


def test_the_sockets_file_outlives_the_server(tmp_path: Path) -> None:
    async def body(client: Client) -> None:
        await client.request("GET", "/")

    talk(tmp_path, echo, body)
    assert (tmp_path / "s").is_socket()


def test_nobody_listens(tmp_path: Path) -> None:
    async def body() -> None:
        with pytest.raises(HttpError, match="cannot connect") as caught:
            await Client(Address("localhost", path=str(tmp_path / "none"))).request("GET", "/")
        assert not caught.value.sent

    asyncio.run(body())


def test_a_handlers_defect_is_a_500_and_the_server_lives(tmp_path: Path) -> None:
    async def broken(request: Request) -> Response:
        raise ValueError("defect")

    async def body(client: Client) -> None:
        for _ in range(2):
            assert (await client.request("GET", "/")).status == 500

    talk(tmp_path, broken, body)


def test_not_http_is_refused(tmp_path: Path) -> None:
    async def body(client: Client) -> None:
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
        writer.write(b"no http\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 400")
        writer.close()

    talk(tmp_path, echo, body)


def test_expect_continue_is_answered(tmp_path: Path) -> None:
    async def body(client: Client) -> None:
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
        writer.write(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 100")
        writer.write(b"ab")
        await reader.readline()
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()

    talk(tmp_path, echo, body)


def test_chunks_arrive_as_they_are_sent() -> None:
    async def body() -> None:
        go_on = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
            await go_on.wait()
            writer.write(b"3\r\ntwo\r\n")
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        client = Client(Address(*server.sockets[0].getsockname()[:2]))
        seen = []
        with pytest.raises(HttpError, match="broke off"):
            async with client.stream("GET", "/") as stream:
                async for part in stream:
                    seen.append(part)
                    go_on.set()
        assert seen == [b"one", b"two"]
        server.close()

    asyncio.run(body())


def test_sockets_from_systemd_are_taken_over() -> None:
    """As sd_listen_fds(3) hands them over: descriptor 3, LISTEN_FDS, and LISTEN_PID of the very process."""
    program = (
        "import os, socket;"
        "from argosy.base.http import activated_sockets;"
        "assert activated_sockets() == [];"
        "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1');"
        "print(activated_sockets()[0].getsockname()[1])"
    )
    channel = socket.create_server(("127.0.0.1", 0))
    fileno = channel.fileno()

    def at_three() -> None:
        import os

        os.dup2(fileno, 3)

    done = subprocess.run(
        [sys.executable, "-c", program], preexec_fn=at_three, close_fds=False, capture_output=True, check=True
    )
    assert int(done.stdout) == channel.getsockname()[1]
    channel.close()


@pytest.mark.parametrize(
    ("family", "host", "peer"),
    [
        (socket.AF_INET, "127.0.0.1", "127.0.0.1"),
        # As systemd listens: one socket for both kinds of addresses.
        (socket.AF_INET6, "127.0.0.1", "127.0.0.1"),
        (socket.AF_INET6, "::1", "::1"),
    ],
)
def test_a_handler_knows_who_asks(family: socket.AddressFamily, host: str, peer: str) -> None:
    async def whom(request: Request) -> Response:
        return Response(200, body=request.peer.encode())

    async def both() -> bytes:
        everywhere = "" if family == socket.AF_INET else "::"
        channel = socket.create_server(
            (everywhere, 0), family=family, dualstack_ipv6=family != socket.AF_INET
        )
        server = Server(whom)
        await server.start([channel])
        client = Client(Address(host, channel.getsockname()[1]))
        try:
            return (await client.request("GET", "/")).body
        finally:
            client.close()
            await server.close()

    assert asyncio.run(both()) == peer.encode()


def test_a_unix_socket_has_no_peer(tmp_path: Path) -> None:
    async def whom(request: Request) -> Response:
        return Response(200, body=b"[" + request.peer.encode() + b"]")

    async def body(client: Client) -> None:
        assert (await client.request("GET", "/")).body == b"[]"

    talk(tmp_path, whom, body)

"""Who may look and who may change: every combination of peer, Host, proxy and token."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest
from starlette.requests import Request

from argosy.base.errors import InputError
from argosy.server.access import Access
from argosy.server.tokenfile import read_token, take_token

TOKEN = "correct-horse-battery"


def request(peer: str = "127.0.0.1", host: str = "127.0.0.1:8087", **headers: str) -> Request:
    named = {"host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
    raw = [(name.encode(), value.encode()) for name, value in named.items()]
    return Request({"type": "http", "headers": raw, "client": (peer, 1), "method": "GET", "path": "/"})


def basic(password: str) -> str:
    return "Basic " + b64encode(f"anyone:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("asked", "read", "write"),
    [
        (request(), True, False),
        (request(peer="::1", host="[::1]:8087"), True, False),
        (request(host="localhost"), True, False),
        (request(peer="192.0.2.7"), False, False),
        (request(host="evil.example:8087"), False, False),
        (request(host="10.0.2.2:8087"), False, False),
        (request(host=""), False, False),
        (request(host="[x"), False, False),
        (request(x_forwarded_for="127.0.0.1"), False, False),
        (request(forwarded="for=192.0.2.7"), False, False),
        (request(peer="192.0.2.7", authorization=f"Bearer {TOKEN}"), True, True),
        (request(peer="192.0.2.7", authorization=f"bearer  {TOKEN}"), True, True),
        (request(peer="192.0.2.7", authorization=f"Bearer {TOKEN}x"), False, False),
        (request(peer="192.0.2.7", authorization="Bearer"), False, False),
        (request(peer="192.0.2.7", authorization="Bearer t\xf6ken"), False, False),
        (request(peer="192.0.2.7", authorization=basic(TOKEN)), True, False),
        (request(peer="192.0.2.7", authorization=basic("x")), False, False),
        (request(peer="192.0.2.7", authorization="Basic %%%"), False, False),
        (request(authorization="Bearer wrong"), True, False),
    ],
)
def test_access(asked: Request, read: bool, write: bool) -> None:
    access = Access(TOKEN)
    assert (access.may_read(asked), access.may_write(asked)) == (read, write)


def test_a_token_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "token"
    token = take_token(path)
    assert len(token) >= 32
    assert take_token(path) == read_token(path) == token
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(InputError, match="others can read the token"):
        take_token(path)


@pytest.mark.parametrize("content", [b"", b"short\n", b"two words of some length", b"\xff" * 40])
def test_tokens_that_will_not_do(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(InputError):
        take_token(path)


def test_a_token_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_token(tmp_path / "token")

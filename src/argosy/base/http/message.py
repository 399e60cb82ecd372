"""What both sides of HTTP speak of: requests, responses, and what goes wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from argosy.base.errors import ArgosyError

READ_BYTES = 65536

Headers = Sequence[tuple[str, str]]


class HttpError(ArgosyError):
    """The other side could not be reached, or what it sent is not HTTP.

    `sent` is False if certainly nothing of the request reached it, so that it may be sent again.
    """

    def __init__(self, message: str, *, sent: bool = True, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.sent = sent


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks: `path` is decoded and without the query; header names are lower-case.

    `peer` is the IP address at the other end of the connection, maybe a proxy's; empty on a unix socket.
    """

    method: str
    path: str
    query: Mapping[str, Sequence[str]] = field(default_factory=dict)
    headers: Headers = ()
    body: bytes = b""
    peer: str = ""

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


def text_headers(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Headers as h11 has them, as text."""
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)

"""How the API answers: JSON, and errors in the original's shape."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from argosy.base.decode import encode_json
from argosy.base.http import Response
from argosy.formats.fleet import ErrorBody, ErrorReply

T = TypeVar("T")

JSON = (("content-type", "application/json"), ("server", "fleetd"))
NO_BODY = JSON[1:]


class RefusedError(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, message: str = "") -> None:
        self.status = status
        self.message = message


def json_reply(value: Any) -> Response:
    """A value."""
    return Response(200, JSON, encode_json(value))


def error_reply(status: int, message: str) -> Response:
    """What went wrong."""
    return Response(status, JSON, encode_json(ErrorReply(ErrorBody(status, message))))


def decoded_body(body: bytes, kind: type[T]) -> T:
    """What a client sent. Raises `RefusedError`."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise RefusedError(400, f"unable to decode body: {error}") from error

"""The one way to turn what came from outside (JSON, TOML tables, YAML values) into typed values.

The types are frozen dataclasses or `msgspec.Struct`s; a value of another shape is refused with the place
where it differs, never coerced.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from argosy.base.errors import InputError, Location

T = TypeVar("T")

_PLACE = re.compile(r"^(?P<what>.*?) - at `(?P<path>[^`]*)`$", re.DOTALL)


def decode_json(data: bytes | str, kind: type[T], *, source: str) -> T:
    """Decode JSON `data` as `kind`. `source` names it in the error: a path or an address."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _refused(error, source) from error


def convert(value: Any, kind: type[T], *, source: str) -> T:
    """Check a value that a parser made (dict, list, str...) against `kind`, and return it as `kind`."""
    try:
        return msgspec.convert(value, type=kind, strict=True)
    except msgspec.ValidationError as error:
        raise _refused(error, source) from error


def encode_json(value: Any, *, pretty: bool = False) -> bytes:
    """JSON for a dataclass, Struct or plain value; with `pretty`, for people: indented."""
    data = msgspec.json.encode(value)
    return msgspec.json.format(data, indent=2) + b"\n" if pretty else data


def _refused(error: Exception, source: str) -> InputError:
    match = _PLACE.match(str(error))
    message = f"{match['what']} at {match['path']}" if match else str(error)
    return InputError(message, where=Location(source))

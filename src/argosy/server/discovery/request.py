"""From the parts of an HTTP request to what is asked. Pure.

Fields may stand in the query or in a form in the body; the body's come first, as with etcd. What etcd has
and members never send (expiry, folders, streams) is refused, not ignored.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

from argosy.formats.discovery import CONFIG, Code
from argosy.server.discovery.model import Delete, Get, Limits, Put, Request, Wait

Fields = dict[str, str]

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2}).{0,2}")
_NUMBER = re.compile(r"[0-9]{1,20}")
_LARGEST_INDEX = 2**63 - 1  # what every SQL database holds
_UNSUPPORTED = ("dir", "stream", "refresh", "noValueOnSuccess")
_FORBIDDEN_IN_NAMES = re.compile(r"[\x00-\x1f\x7f/]")


class RefusedError(Exception):
    """The request is wrong in itself; the store need not be asked."""

    def __init__(self, code: Code, cause: str) -> None:
        super().__init__(cause)
        self.code = code
        self.cause = cause


def fields_of(query: str, form: bytes) -> Fields:
    """The fields of a query and of a URL-encoded form. Raises `RefusedError`."""
    try:
        text = form.decode()
    except UnicodeDecodeError as error:
        raise RefusedError(Code.INVALID_FORM, "the form is not UTF-8") from error
    fields: Fields = {}
    for part in (text, query):
        bad = _BAD_ESCAPE.search(part)
        if bad:
            raise RefusedError(Code.INVALID_FORM, f'invalid URL escape "{bad[0]}"')
        for name, value in _pairs(part):
            fields.setdefault(name, value)
    return fields


def read_request(method: str, path: str, fields: Fields, limits: Limits) -> Request:
    """What is asked of `path` by GET, PUT or DELETE. Raises `RefusedError`."""
    previous_index = _index(fields, "prevIndex")
    since = _index(fields, "waitIndex")
    recursive, _, wait, quorum = (_flag(fields, name) for name in ("recursive", "sorted", "wait", "quorum"))
    _refuse_unsupported(fields)
    if method == "GET":
        # etcd lets a quorum read win over a wait.
        return Wait(path, recursive, since) if wait and not quorum else Get(path)
    if wait:
        raise RefusedError(Code.INVALID_FIELD, '"wait" can only be used with GET requests')
    previous_value = fields.get("prevValue")
    if previous_value == "":
        raise RefusedError(Code.PREVIOUS_VALUE_REQUIRED, '"prevValue" cannot be empty')
    if method == "DELETE":
        return Delete(path, previous_value, previous_index)
    exists = _exists(fields)
    _check_name(path, limits)
    return Put(path, _value(fields, limits), exists, previous_value, previous_index)


def read_size(fields: Fields, limits: Limits) -> int:
    """The `size` of a new cluster; 3 if none is given. Raises ValueError with a text for the user."""
    text = fields.get("size", "")
    if not text:
        return 3
    if not re.fullmatch(r"-?[0-9]{1,9}", text):
        raise ValueError(f'size must be a number, not "{text[:40]}"')
    size = int(text)
    if not 1 <= size <= limits.size:
        raise ValueError(f"size must be from 1 to {limits.size}, not {size}")
    return size


def _pairs(text: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=32)
    except UnicodeDecodeError as error:
        raise RefusedError(Code.INVALID_FORM, "a field is not UTF-8") from error
    except ValueError as error:
        raise RefusedError(Code.INVALID_FORM, "more than 32 fields") from error


def _flag(fields: Fields, name: str) -> bool:
    text = fields.get(name)
    if text is None or text in _FALSE:
        return False
    if text in _TRUE:
        return True
    raise RefusedError(Code.INVALID_FIELD, f'invalid value for "{name}"')


def _exists(fields: Fields) -> bool | None:
    text = fields.get("prevExist")
    if text is None:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise RefusedError(Code.INVALID_FIELD, "invalid value for prevExist")


def _index(fields: Fields, name: str) -> int | None:
    """An index, or None if it is absent or 0, which etcd takes for absent."""
    text = fields.get(name)
    if text is None:
        return None
    if not _NUMBER.fullmatch(text) or int(text) > _LARGEST_INDEX:
        raise RefusedError(Code.INDEX_NOT_A_NUMBER, f'invalid value for "{name}"')
    return int(text) or None


def _value(fields: Fields, limits: Limits) -> str:
    value = fields.get("value", "")
    if not value:
        raise RefusedError(Code.VALUE_REQUIRED, '"value" cannot be empty')
    if len(value) > limits.value_length:
        raise RefusedError(Code.INVALID_FIELD, f'"value" is longer than {limits.value_length} characters')
    if "\0" in value:
        raise RefusedError(Code.INVALID_FIELD, '"value" holds a zero byte')
    return value


def _check_name(path: str, limits: Limits) -> None:
    if path in ("", CONFIG):
        return  # Not a member; the answer tells the store's index.
    if path.startswith("_"):
        raise RefusedError(Code.INVALID_FIELD, 'a member\'s name must not begin with "_"')
    if len(path) > limits.name_length:
        raise RefusedError(
            Code.INVALID_FIELD, f"a member's name is longer than {limits.name_length} characters"
        )
    if path in (".", "..") or _FORBIDDEN_IN_NAMES.search(path):
        raise RefusedError(Code.INVALID_FIELD, "a member's name holds what a key must not")


def _refuse_unsupported(fields: Fields) -> None:
    if fields.get("ttl"):
        raise RefusedError(Code.INVALID_FIELD, '"ttl" is not supported: registrations do not expire')
    for name in _UNSUPPORTED:
        if _flag(fields, name):
            raise RefusedError(Code.INVALID_FIELD, f'"{name}" is not supported')

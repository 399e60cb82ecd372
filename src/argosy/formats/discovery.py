"""What etcd members and the discovery service say to each other: JSON of etcd's v2 keys API.

The service keeps one folder of keys a cluster, named by the cluster's token: `_config/size` holds how many
members the cluster starts with, every other key is a member that registered. Source of the format: etcd's
documentation of the v2 API and of its discovery protocol, checked against etcd 3.5 and `etcd-discovery`.
"""

from __future__ import annotations

import re
from enum import Enum

import msgspec

KEY_PREFIX = "/_etcd/registry"
CONFIG = "_config"
SIZE = "_config/size"

_TOKEN = re.compile(r"[0-9a-f]{32}")


class Code(Enum):
    """An error of the v2 API: its number, its HTTP status and its fixed text."""

    KEY_NOT_FOUND = (100, 404, "Key not found")
    COMPARE_FAILED = (101, 412, "Compare failed")
    NOT_A_FILE = (102, 403, "Not a file")
    KEY_EXISTS = (105, 412, "Key already exists")
    VALUE_REQUIRED = (200, 400, "Value is Required in POST form")
    PREVIOUS_VALUE_REQUIRED = (201, 400, "PrevValue is Required in POST form")
    INDEX_NOT_A_NUMBER = (203, 400, "The given index in POST form is not a number")
    INVALID_FIELD = (209, 400, "Invalid field")
    INVALID_FORM = (210, 400, "Invalid POST form")
    HISTORY_CLEARED = (401, 400, "The event in requested index is outdated and cleared")

    def __init__(self, number: int, status: int, text: str) -> None:
        self.number = number
        self.status = status
        self.text = text


class Node(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A key. Indexes count the changes of the whole store, from 1."""

    key: str
    value: str | None = None
    dir: bool = False
    nodes: tuple[Node, ...] = ()
    modified_index: int
    created_index: int


class Answer(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What was read or changed; `prev_node` is what was there before a change."""

    action: str
    node: Node
    prev_node: Node | None = None


class Failure(msgspec.Struct, frozen=True, rename="camel"):
    """Why a request was refused. `index` is the store's index then, 0 if the store was not asked."""

    error_code: int
    message: str
    cause: str
    index: int


def is_token(text: str) -> bool:
    """Whether `text` has the form of a cluster's token: 32 hexadecimal digits in lower case."""
    return _TOKEN.fullmatch(text) is not None


def key_of(token: str, path: str = "") -> str:
    """The key of `path` (a member, `_config`...; empty: the folder itself) in a cluster's folder."""
    return f"{KEY_PREFIX}/{token}/{path}" if path else f"{KEY_PREFIX}/{token}"


def failure(code: Code, cause: str, index: int) -> Failure:
    """The body of a refusal."""
    return Failure(code.number, code.text, cause, index)

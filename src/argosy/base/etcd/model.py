"""What requests to etcd and its answers speak of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from argosy.base.errors import ArgosyError


class EtcdError(ArgosyError):
    """etcd refused a request."""


class UnavailableError(EtcdError):
    """No endpoint answered in time. `sent`: the request may have been carried out nevertheless."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(
            message, hint="is etcd running, and has it a quorum? `etcdctl endpoint health --cluster`"
        )
        self.sent = sent


class LeaseNotFoundError(EtcdError):
    """The lease has expired or was revoked."""


class TokenError(EtcdError):
    """etcd does not know our token (any more): the user has to log in again."""


class CompactedError(EtcdError):
    """The history that a watch asked for is gone; what is at `revision` or later is there."""

    def __init__(self, revision: int) -> None:
        super().__init__(f"etcd's history before revision {revision} is compacted")
        self.revision = revision


class KeyValue(msgspec.Struct, frozen=True, gc=False):
    """A key as etcd stores it. `lease` is 0 without one."""

    key: bytes = b""
    value: bytes = b""
    create_revision: int = 0
    mod_revision: int = 0
    version: int = 0
    lease: int = 0


class Member(msgspec.Struct, frozen=True, gc=False):
    """A member of the cluster. Its name is empty before it has started; a learner has no vote."""

    id: int = msgspec.field(default=0, name="ID")
    name: str = ""
    client_urls: tuple[str, ...] = msgspec.field(default=(), name="clientURLs")
    is_learner: bool = msgspec.field(default=False, name="isLearner")


class Event(msgspec.Struct, frozen=True, gc=False):
    """One change that a watch reports; of a deleted key, `kv` has `key` and `mod_revision` only."""

    kv: KeyValue
    type: Literal["PUT", "DELETE"] = "PUT"


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes in order, up to and including `revision`; no changes right after a watch was made."""

    revision: int
    events: Sequence[Event]


@dataclass(frozen=True, slots=True)
class Found:
    """The answer to a range, and the revision it is valid at."""

    revision: int
    items: Sequence[KeyValue]
    more: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a transaction: whether the comparisons held, and what its ranges found, in order."""

    revision: int
    succeeded: bool
    ranges: Sequence[Sequence[KeyValue]] = ()


@dataclass(frozen=True, slots=True)
class Compare:
    """A condition of a transaction. A key that is not there has 0 for every number.

    `target` is what is compared: "mod" and "create" are revisions, "version" counts the writes of a key,
    "lease" is a lease's id, "value" is bytes. With `end` it must hold for all keys from `key` up to, not
    including, `end`.
    """

    key: str
    target: Literal["mod", "create", "version", "lease", "value"]
    operand: int | bytes
    result: Literal["EQUAL", "GREATER", "LESS", "NOT_EQUAL"] = "EQUAL"
    end: str | None = None


@dataclass(frozen=True, slots=True)
class Put:
    """Write a key, bound to a lease if it is not 0."""

    key: str
    value: bytes
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove a key, or with `end` all keys from `key` up to, not including, `end`."""

    key: str
    end: str | None = None


@dataclass(frozen=True, slots=True)
class Range:
    """Read a key, or with `end` all keys from `key` up to, not including, `end`. `limit` 0 means all."""

    key: str
    end: str | None = None
    limit: int = 0
    keys_only: bool = False


Operation = Put | Delete | Range


def prefix_end(prefix: str) -> str:
    """The end of the range of all keys that begin with `prefix` (which ends in an ASCII character)."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)

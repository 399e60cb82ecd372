"""The reboot lock in etcd: locksmith's keys, and its JSON with what we add to it.

From coreos/locksmith 0.6.2, `lock/semaphore.go` and `lock/etcd.go`: `semaphore` is what is left of `max`,
`holders` are machine ids in order. The original ignores what we add, and drops it when it writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote_plus, unquote_plus

import msgspec

from argosy.base.errors import ArgosyError

PREFIX = "coreos.com/updateengine/rebootlock/"
_GROUPS = f"{PREFIX}groups/"
_NAME = "semaphore"


class SemaphoreError(ArgosyError):
    """What is at a semaphore's key is no semaphore."""


class Holding(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a holder came to its lock; empty where that is not known.

    `since_s` are seconds since 1970 by the holder's clock, `boot` is its boot id then, `member` the id of its
    etcd member in hexadecimal. `daemon` is false for what a person locked, `fleetlock` true for a client of
    FleetLock, of whose boots nobody here knows.
    """

    since_s: int = 0
    boot: str = ""
    member: str = ""
    host: str = ""
    daemon: bool = False
    fleetlock: bool = False


class Semaphore(msgspec.Struct, frozen=True):
    """A group's lock. `semaphore` is below 0 when `max` was lowered under the number of holders.

    `released_s` says when a lock was last given back, in seconds since 1970.
    """

    semaphore: int = 1
    max: int = 1
    holders: tuple[str, ...] | None = None
    holding: Mapping[str, Holding] = {}
    released_s: int = 0

    @property
    def ids(self) -> tuple[str, ...]:
        """The holders; the original writes null for none."""
        return self.holders or ()


def key_of(group: str) -> str:
    """Where a group's semaphore is; the group "" is everybody's."""
    return f"{_GROUPS}{quote_plus(group)}/{_NAME}" if group else PREFIX + _NAME


def group_of(key: str) -> str | None:
    """The group whose semaphore is at `key`; None if none is."""
    if key == PREFIX + _NAME:
        return ""
    escaped, slash, name = key.removeprefix(_GROUPS).partition("/")
    return unquote_plus(escaped) if key.startswith(_GROUPS) and slash and name == _NAME else None


def encode(semaphore: Semaphore) -> bytes:
    """The value at the semaphore's key."""
    return msgspec.json.encode(semaphore)


def decode(value: bytes, *, key: str) -> Semaphore:
    """Raises `SemaphoreError`."""
    try:
        return msgspec.json.decode(value, type=Semaphore)
    except msgspec.DecodeError as error:
        raise SemaphoreError(
            f"what is at {key} in etcd is no semaphore: {error}",
            hint=f"`etcdctl get {key}` shows it; `etcdctl del {key}` starts anew, with nobody holding",
        ) from error

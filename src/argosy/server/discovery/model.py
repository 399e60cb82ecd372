"""The words of discovery: clusters, members, events, and what is asked about them.

Every change of the store gets the next index; an index is never used twice. A path is what follows the
token in a key: empty for the cluster's folder, `_config`, `_config/size`, or a member's name.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from argosy.formats.discovery import Answer, Failure


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may use up."""

    size: int = 100
    """Members that a cluster may start with."""
    registrations: int = 200
    """Names that may be registered under one token; those beyond the cluster's size join no cluster."""
    name_length: int = 128
    value_length: int = 8192
    body_bytes: int = 16384
    waits: int = 500
    """Long polls held at a time, of all clusters together; each takes a connection."""
    waits_per_cluster: int = 200
    history: int = 1000
    """Events kept for each cluster, as many as etcd keeps."""
    wait_s: float = 300
    """After this a long poll ends with an empty answer, as with etcd; the member asks again."""


class Action(Enum):
    """What an event did."""

    CREATE = "create"
    SET = "set"
    UPDATE = "update"
    SWAP = "compareAndSwap"
    DELETE = "delete"
    DELETE_COMPARED = "compareAndDelete"

    @property
    def removes(self) -> bool:
        return self in (Action.DELETE, Action.DELETE_COMPARED)


@dataclass(frozen=True, slots=True)
class Member:
    """One who registered: an etcd member's id, and `name=url` pairs joined by `&`."""

    name: str
    value: str
    created_index: int
    modified_index: int


@dataclass(frozen=True, slots=True)
class Cluster:
    """What is known of one cluster. Members are in no particular order."""

    token: str
    size: int
    created_index: int
    members: tuple[Member, ...] = ()

    def member(self, name: str) -> Member | None:
        return next((member for member in self.members if member.name == name), None)

    def by_age(self) -> tuple[Member, ...]:
        """Members as they came: the first `size` of them are the cluster."""
        return tuple(sorted(self.members, key=lambda member: member.created_index))


@dataclass(frozen=True, slots=True)
class Event:
    """One change. `value` is None if the key was removed; `previous` is what was there before."""

    index: int
    action: Action
    path: str
    value: str | None
    created_index: int
    previous: Member | None = None


@dataclass(frozen=True, slots=True)
class Get:
    path: str


@dataclass(frozen=True, slots=True)
class Wait:
    """A wait for the first event from index `since` on; None: the next that happens."""

    path: str
    recursive: bool
    since: int | None


@dataclass(frozen=True, slots=True)
class Put:
    """`exists`: the key must (True) or must not (False) be there. The other two compare if given."""

    path: str
    value: str
    exists: bool | None = None
    previous_value: str | None = None
    previous_index: int | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    path: str
    previous_value: str | None = None
    previous_index: int | None = None


Request = Get | Wait | Put | Delete


@dataclass(frozen=True, slots=True)
class Decision:
    """The response to a request, and the change to the store that goes with it, if any."""

    status: int
    index: int
    body: Answer | Failure
    event: Event | None = None

"""What the service answers. Pure: a cluster's state, the store's index and a request give a decision.

The rules are those of etcd's v2 store, as far as they can be seen through discovery: `create`, `set`,
`update`, compare-and-swap and delete of one key; reading a folder shows no key that begins with `_`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from argosy.formats.discovery import CONFIG, SIZE, Answer, Code, Node, failure, key_of
from argosy.server.discovery.model import (
    Action,
    Cluster,
    Decision,
    Delete,
    Event,
    Get,
    Limits,
    Member,
    Put,
    Wait,
)


def refuse(code: Code, cause: str, index: int) -> Decision:
    """A decision that changes nothing."""
    return Decision(code.status, index, failure(code, cause, index))


def unknown_token(token: str, index: int) -> Decision:
    """No such token was given out."""
    return refuse(Code.KEY_NOT_FOUND, key_of(token), index)


def creation(size: int, index: int) -> Event:
    """The event by which a cluster begins."""
    return Event(index, Action.CREATE, SIZE, str(size), index)


def decide(cluster: Cluster, index: int, request: Get | Put | Delete, limits: Limits) -> Decision:
    """Answer `request`; `index` is the last index that the store used."""
    match request:
        case Get():
            return _get(cluster, index, request)
        case Put():
            return _put(cluster, index, request, limits)
        case Delete():
            return _delete(cluster, index, request)


def apply(cluster: Cluster, event: Event) -> Cluster:
    """The cluster after `event`."""
    others = tuple(member for member in cluster.members if member.name != event.path)
    if event.path == SIZE or event.value is None:
        return replace(cluster, members=others)
    return replace(
        cluster, members=(*others, Member(event.path, event.value, event.created_index, event.index))
    )


def concerns(event: Event, wait: Wait) -> bool:
    """Whether a wait is for this event."""
    if event.index < (wait.since or 0):
        return False
    if event.path == wait.path:
        return True
    return wait.recursive and (not wait.path or event.path.startswith(f"{wait.path}/"))


def look_back(cluster: Cluster, index: int, history: Sequence[Event], wait: Wait) -> Decision | None:
    """Answer a wait with an event of the past; None: what it is for is still to come.

    `history` is in order; its oldest events may have been forgotten.
    """
    if wait.since is None or wait.since > index:
        return None
    oldest = history[0].index
    if cluster.created_index < oldest and wait.since < oldest:
        cause = f"the requested history has been cleared [{oldest}/{wait.since}]"
        return refuse(Code.HISTORY_CLEARED, cause, index)
    event = next((event for event in history if concerns(event, wait)), None)
    return Decision(200, index, answer_of(cluster.token, event)) if event else None


def answer_of(token: str, event: Event) -> Answer:
    """How an event is told, to the one who caused it and to those who wait."""
    node = Node(
        key=key_of(token, event.path),
        value=event.value,
        modified_index=event.index,
        created_index=event.created_index,
    )
    previous = _member_node(token, event.previous) if event.previous else None
    return Answer(action=event.action.value, node=node, prev_node=previous)


def _get(cluster: Cluster, index: int, request: Get) -> Decision:
    node = _read(cluster, request.path)
    if node is None:
        return refuse(Code.KEY_NOT_FOUND, key_of(cluster.token, request.path), index)
    return Decision(200, index, Answer(action="get", node=node))


def _read(cluster: Cluster, path: str) -> Node | None:
    size = Node(
        key=key_of(cluster.token, SIZE),
        value=str(cluster.size),
        modified_index=cluster.created_index,
        created_index=cluster.created_index,
    )
    if path == SIZE:
        return size
    if path == CONFIG:
        return _folder(cluster, CONFIG, (size,))
    if path:
        member = cluster.member(path)
        return _member_node(cluster.token, member) if member else None
    # By age, whether asked to sort or not: etcd leaves the order open, and this one tells who came first.
    return _folder(cluster, "", tuple(_member_node(cluster.token, member) for member in cluster.by_age()))


def _put(cluster: Cluster, index: int, request: Put, limits: Limits) -> Decision:
    key = key_of(cluster.token, request.path)
    if request.path in ("", CONFIG):
        return refuse(Code.NOT_A_FILE, key, index)
    present = cluster.member(request.path)
    compares = request.previous_index is not None or request.previous_value is not None
    if request.exists is False:
        if present:
            return refuse(Code.KEY_EXISTS, key, index)
        action = Action.CREATE
    elif request.exists or compares:
        if not present:
            return refuse(Code.KEY_NOT_FOUND, key, index)
        difference = _difference(present, request)
        if difference:
            return refuse(Code.COMPARE_FAILED, difference, index)
        action = Action.SWAP if compares else Action.UPDATE
    else:
        action = Action.SET
    if not present and len(cluster.members) >= limits.registrations:
        cause = f"this cluster has its maximum of {limits.registrations} registrations"
        return refuse(Code.INVALID_FIELD, cause, index)
    return _write(cluster, index + 1, request, action, present)


def _write(cluster: Cluster, index: int, request: Put, action: Action, present: Member | None) -> Decision:
    # `set` begins a key anew, the others keep the age of what was there.
    created = present.created_index if present and action is not Action.SET else index
    event = Event(index, action, request.path, request.value, created, present)
    return Decision(200 if present else 201, index, answer_of(cluster.token, event), event)


def _delete(cluster: Cluster, index: int, request: Delete) -> Decision:
    key = key_of(cluster.token, request.path)
    if request.path == CONFIG:
        return refuse(Code.NOT_A_FILE, key, index)
    present = cluster.member(request.path)
    if not present:
        return refuse(Code.KEY_NOT_FOUND, key, index)
    difference = _difference(present, request)
    if difference:
        return refuse(Code.COMPARE_FAILED, difference, index)
    compares = request.previous_index is not None or request.previous_value is not None
    action = Action.DELETE_COMPARED if compares else Action.DELETE
    event = Event(index + 1, action, request.path, None, present.created_index, present)
    return Decision(200, event.index, answer_of(cluster.token, event), event)


def _difference(present: Member, request: Put | Delete) -> str:
    """How the key differs from what the request takes it to be, in etcd's words; empty if it does not."""
    words = []
    if request.previous_value not in (None, present.value):
        words.append(f"[{request.previous_value} != {present.value}]")
    if request.previous_index not in (None, present.modified_index):
        words.append(f"[{request.previous_index} != {present.modified_index}]")
    return " ".join(words)


def _folder(cluster: Cluster, path: str, nodes: tuple[Node, ...]) -> Node:
    return Node(
        key=key_of(cluster.token, path),
        dir=True,
        nodes=nodes,
        modified_index=cluster.created_index,
        created_index=cluster.created_index,
    )


def _member_node(token: str, member: Member) -> Node:
    return Node(
        key=key_of(token, member.name),
        value=member.value,
        modified_index=member.modified_index,
        created_index=member.created_index,
    )

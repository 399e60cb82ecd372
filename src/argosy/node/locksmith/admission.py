"""Whether a client of FleetLock gets the reboot lock: pure, with the semaphore and the rule of our machines.

Its group `default` is everybody's lock; another group is known once it has a semaphore, so that a typing
error is no lock of its own. What it took in this way is all that it can give back: the protocol knows no
passwords, and our machines' locks are not a client's to free.
"""

from __future__ import annotations

from collections.abc import Mapping, Set

from argosy.formats.fleetlock import DEFAULT_GROUP, Client, FleetLockError, Kind, Sighting
from argosy.formats.rebootlock import Holding, Semaphore
from argosy.node.locksmith.model import Cluster, Locks
from argosy.node.locksmith.rule import described, why_not
from argosy.node.locksmith.semaphore import (
    FullError,
    HolderExistsError,
    NoHolderError,
    with_holder,
    without_holder,
)

# A client is heard of when it has an update, and when it starts: every other week, more or less.
REMEMBERED_S = 31 * 86400
NOTED_EVERY_S = 86400


def group_of(client: Client) -> str:
    """The lock's group."""
    return "" if client.group == DEFAULT_GROUP else client.group


def check_group(locks: Locks, client: Client) -> None:
    """Raises `FleetLockError` for a group that has no lock."""
    group = group_of(client)
    if group and group not in locks.semaphores:
        raise FleetLockError(
            Kind.UNKNOWN_GROUP,
            f"there is no group `{group}`: `locksmithctl -group {group} set-max 1` makes it",
        )


def admitted(locks: Locks, cluster: Cluster, client: Client, holding: Holding) -> Semaphore:
    """The semaphore of its group with this client; `cluster.own` is the client's etcd member, or empty.

    Raises `HolderExistsError` if it has the lock already, `FleetLockError` if it must wait.
    """
    check_group(locks, client)
    semaphore = locks.of(group_of(client))
    if client.id in semaphore.ids:
        if _is_clients(semaphore, client.id):
            raise HolderExistsError("holder exists")
        raise _no(f"{client.id} is locked, but not by FleetLock: `locksmithctl unlock` gives that back")
    if semaphore.semaphore > 0 and (refused := why_not(cluster, locks.holders(), client.id)):
        raise _no(refused)
    try:
        return with_holder(semaphore, client.id, holding)
    except FullError as error:
        known = [(holder, semaphore.holding.get(holder, Holding())) for holder in semaphore.ids]
        who = "; ".join(described(holder, each, cluster, holding.since_s) for holder, each in known)
        raise _no(f"the lock is held by {who}" if who else f"{error}: max is {semaphore.max}") from error


def held(locks: Locks, client: Client) -> tuple[str, ...]:
    """The groups whose lock this client gives back: all of them, for it may have changed its group."""
    return tuple(
        group
        for group, semaphore in locks.semaphores.items()
        if client.id in semaphore.ids and _is_clients(semaphore, client.id)
    )


def released(locks: Locks, group: str, client: Client, now_s: int) -> Semaphore:
    """The group's semaphore without this client. Raises `NoHolderError`."""
    if group not in held(locks, client):
        raise NoHolderError("holder does not exist")
    return without_holder(locks.of(group), client.id, now_s)


def machines(sightings: Mapping[str, Sighting], now_s: int, members: Set[str]) -> frozenset[str]:
    """The clients that count as machines beside the etcd members (of these ids)."""
    lately = sightings.keys() - expired(sightings, now_s)
    return frozenset(name for name in lately if sightings[name].member not in members)


def is_news(noted: Sighting | None, member: str, now_s: int) -> bool:
    """Whether what was noted of a client that asks now is to be written anew."""
    return noted is None or noted.member != member or now_s - noted.seen_s >= NOTED_EVERY_S


def expired(sightings: Mapping[str, Sighting], now_s: int) -> tuple[str, ...]:
    """The clients that were not heard of for too long."""
    return tuple(name for name, each in sightings.items() if now_s - each.seen_s >= REMEMBERED_S)


def _is_clients(semaphore: Semaphore, holder: str) -> bool:
    """The original's tools leave out who took a lock, and how."""
    known = semaphore.holding.get(holder)
    return known is None or known.fleetlock


def _no(message: str) -> FleetLockError:
    return FleetLockError(Kind.FAILED_LOCK, message)

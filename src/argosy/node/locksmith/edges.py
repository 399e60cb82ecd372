"""All that locksmithd touches, as it is asked: `service.py` gives it the machine, tests what they like."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from argosy.base.etcd import Etcd
from argosy.node.locksmith.cluster import connect
from argosy.node.locksmith.fleet import Drainer
from argosy.node.locksmith.model import Access, Identity, Settings
from argosy.node.locksmith.runtime import Runtime


class Host(Protocol):
    """This machine, as `bus.Host` shows it."""

    async def wanted(self) -> str: ...
    async def unit_states(self) -> tuple[str, str]: ...
    async def going_down(self) -> bool: ...
    def reboot(self) -> None: ...


class Fleet(Protocol):
    """fleet, as `fleet.FleetApi` shows it."""

    async def machines(self) -> frozenset[str]: ...
    async def idle_units(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class Edges:
    """All that locksmithd touches. `now` is the local time, `up_s` the clock of this boot.

    `in_trial` may raise `ArgosyError` or `OSError`; `chance` is a random number in [0, 1).
    """

    identity: Identity
    read_settings: Callable[[], Settings]
    host: Host
    fleet: Fleet
    drainer: Drainer
    runtime: Runtime
    in_trial: Callable[[], bool]
    users: Callable[[], tuple[str, ...]]
    tell_users: Callable[[str], None]
    now: Callable[[], datetime]
    up_s: Callable[[], float]
    chance: Callable[[], float]
    connect: Callable[[Access], Etcd] = connect

"""What locksmithctl asks and does, apart from printing."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from argosy.base.errors import ArgosyError
from argosy.formats.rebootlock import Holding, Semaphore
from argosy.node.locksmith import cluster
from argosy.node.locksmith.fleet import Drainer
from argosy.node.locksmith.lock import Store
from argosy.node.locksmith.model import Access, Cluster, Identity, Locks
from argosy.node.locksmith.rule import age_s, gone, why_not
from argosy.node.locksmith.semaphore import with_holder, with_max, without_holder

T = TypeVar("T")

_DRAIN_LOOK_S = 1.0


class RefusedError(ArgosyError):
    """The machine must not go down now."""


@dataclass(frozen=True, slots=True)
class HolderStatus:
    """A holder: `age_s` is None if nobody knows; `gone` says why its machine seems to be, or is empty."""

    id: str
    host: str
    age_s: int | None
    gone: str


@dataclass(frozen=True, slots=True)
class LockStatus:
    """What `locksmithctl status --json` prints. `available` is below 0 after max was lowered."""

    group: str
    available: int
    max: int
    holders: tuple[HolderStatus, ...]


def ask(access: Access, question: Callable[[Store, Access], Awaitable[T]]) -> T:
    """Ask one thing of etcd. Raises `ArgosyError`."""

    async def go() -> T:
        etcd = cluster.connect(access)
        try:
            return await question(Store(etcd), access)
        finally:
            etcd.close()

    return asyncio.run(go())


def status(access: Access) -> LockStatus:
    """The group's lock, and who holds it."""

    async def go() -> LockStatus:
        etcd = cluster.connect(access)
        try:
            semaphore = (await Store(etcd).read()).of(access.group)
            view = Cluster()
            if semaphore.ids:
                # Without the members nothing is said about who is gone.
                with contextlib.suppress(ArgosyError):
                    view = await cluster.look(etcd, access, int(time.time()))
            return _status(access.group, semaphore, view)
        finally:
            etcd.close()

    return asyncio.run(go())


def lock(access: Access, holder: str, me: Identity | None) -> None:
    """Take a lock for any holder; `me` is this machine if it is the one. Raises what `with_holder` raises."""

    async def go(store: Store, access: Access) -> None:
        holding = await _holding(access, me)
        await store.change(
            access.group,
            lambda locks: with_holder(locks.of(access.group), holder, holding),
            lambda semaphore: semaphore.holding.get(holder) == holding,
        )

    ask(access, go)


def lock_to_reboot(access: Access, me: Identity) -> None:
    """Take this machine's lock, if it may go down. Raises `RefusedError`, or what `with_holder` raises."""

    async def go() -> None:
        etcd = cluster.connect(access)
        try:
            view = await cluster.look(etcd, access, int(time.time()))
            holding = Holding(int(time.time()), me.boot_id, view.own, me.host)

            def take(locks: Locks) -> Semaphore:
                after = with_holder(locks.of(access.group), me.machine_id, holding)
                if refused := why_not(view, locks.holders(), me.machine_id):
                    raise RefusedError(refused, hint="`systemctl reboot` asks nobody")
                return after

            await Store(etcd).change(
                access.group, take, lambda semaphore: semaphore.holding.get(me.machine_id) == holding
            )
        finally:
            etcd.close()

    asyncio.run(go())


def drain(drainer: Drainer, timeout_s: float, tell: Callable[[str], None]) -> None:
    """Move this machine's units elsewhere, and tell each step once; goes on when `timeout_s` are over."""

    async def go() -> None:
        deadline_s = time.monotonic() + timeout_s
        said = ""
        while True:
            report = await drainer.drain(last=time.monotonic() >= deadline_s)
            if report.reason != said:
                tell(report.reason)
                said = report.reason
            if report.done:
                return
            await asyncio.sleep(_DRAIN_LOOK_S)

    asyncio.run(go())


def call_off(drainer: Drainer) -> None:
    """Have this machine take units again. Raises `ArgosyError`."""
    asyncio.run(drainer.undo())


def unlock(access: Access, holder: str) -> None:
    """Give back a lock. Raises `NoHolderError`."""

    async def go(store: Store, access: Access) -> None:
        await store.change(
            access.group,
            lambda locks: without_holder(locks.of(access.group), holder, int(time.time())),
            lambda semaphore: holder not in semaphore.ids,
        )

    ask(access, go)


def set_max(access: Access, most: int) -> tuple[Semaphore, Semaphore]:
    """Have at most so many holders; the semaphore before and after."""

    async def go(store: Store, access: Access) -> tuple[Semaphore, Semaphore]:
        return await store.change(
            access.group,
            lambda locks: with_max(locks.of(access.group), most),
            lambda semaphore: semaphore.max == most,
        )

    return ask(access, go)


async def _holding(access: Access, me: Identity | None) -> Holding:
    now_s = int(time.time())
    if me is None:
        return Holding(now_s)
    return Holding(now_s, me.boot_id, await cluster.own_member(access), me.host)


def _status(group: str, semaphore: Semaphore, view: Cluster) -> LockStatus:
    now_s = int(time.time())
    holders = []
    for holder in semaphore.ids:
        holding = semaphore.holding.get(holder, Holding())
        holders.append(HolderStatus(holder, holding.host, age_s(holding, now_s), gone(view, holder, holding)))
    return LockStatus(group, semaphore.semaphore, semaphore.max, tuple(holders))

"""The edge: the semaphores in etcd, changed by compare-and-swap."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from argosy.base.etcd import Compare, Etcd, Put, Range, UnavailableError, prefix_end
from argosy.base.loop import Clock, SystemClock
from argosy.formats.rebootlock import PREFIX, Semaphore, decode, encode, group_of, key_of
from argosy.node.locksmith.model import Locks

Change = Callable[[Locks], Semaphore]

_END = prefix_end(PREFIX)
_MOST_UNSURE = 3
# Who has lost a race waits a random part of this, which grows with each loss.
_FIRST_PAUSE_S, _MOST_PAUSE_S = 0.02, 1.0


class Store:
    """All groups' semaphores."""

    def __init__(self, etcd: Etcd, *, clock: Clock | None = None) -> None:
        self._etcd = etcd
        self._clock = clock or SystemClock()

    async def read(self) -> Locks:
        """All semaphores as of now. Raises `EtcdError` or `SemaphoreError`."""
        found = await self._etcd.range(Range(PREFIX, _END))
        semaphores = {}
        for item in found.items:
            key = item.key.decode(errors="replace")
            if (group := group_of(key)) is not None:
                semaphores[group] = decode(item.value, key=key)
        return Locks(semaphores, found.revision)

    async def write(self, locks: Locks, group: str, semaphore: Semaphore) -> bool:
        """Write one semaphore if none has changed since `locks` was read; whether that was so."""
        key = key_of(group)
        unchanged = Compare(PREFIX, "mod", locks.revision + 1, "LESS", end=_END)
        return (await self._etcd.txn([unchanged], [Put(key, encode(semaphore))])).succeeded

    async def change(
        self, group: str, change: Change, arrived: Callable[[Semaphore], bool]
    ) -> tuple[Semaphore, Semaphore]:
        """Change a group's semaphore, again and again while others change them too; before and after.

        What `change` raises ends it. After a write of which nobody knows whether it got through, the
        semaphore is read again, and `arrived` tells by what is there.
        """
        losses, unsure = 0, None
        while True:
            locks = await self.read()
            now = locks.of(group)
            if unsure is not None and arrived(now):
                return unsure
            after = change(locks)
            try:
                if await self.write(locks, group, after):
                    return now, after
            except UnavailableError as error:
                if not error.sent or losses >= _MOST_UNSURE:
                    raise
                unsure = (now, after)
            losses += 1
            most_s = min(_MOST_PAUSE_S, _FIRST_PAUSE_S * 1.5 ** min(losses, 30))
            await self._clock.wait(asyncio.Event(), most_s * self._clock.chance())

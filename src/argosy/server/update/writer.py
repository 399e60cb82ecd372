"""One writer for all requests: what many of them change in the same moment shares one transaction.

What must not be lost is awaited: it is on the disk when `write` returns. That a machine was seen is only
noted, and written within a second or with the next transaction: at most that much is lost by a power cut,
and said again by the machine's next request.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sql
from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from sqlalchemy.exc import SQLAlchemyError

from argosy.server.database import Database
from argosy.server.update import store
from argosy.server.update.model import Limits
from argosy.server.update.store import Change, Sighting

log = logging.getLogger(__name__)

_COUNT_EVERY_S = 60.0
_SIZES_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class _Waiting:
    changes: Sequence[Change]
    done: asyncio.Future[None]


class Writer:
    """Belongs to the event loop that runs it (`running`)."""

    def __init__(self, database: Database, limits: Limits, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._limits = limits
        self._clock = clock
        self._noted: dict[tuple[str, str], Sighting] = {}
        self._waiting: list[_Waiting] = []
        self._wake = asyncio.Event()
        self._thread = CapacityLimiter(1)
        self._machines = 0
        self._counted_s = float("-inf")
        self._sizes_due_s = float("-inf")
        self.sizes: Mapping[tuple[str, str], int] = {}
        """How many machines were seen within a day, by application and group, as of some seconds ago."""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write as long as the block lasts, and what is left at its end."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await self._write_all()

    async def write(self, *changes: Change) -> None:
        """Make changes, together, durable. Raises `SQLAlchemyError`; then none of them is made."""
        waiting = _Waiting(changes, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._wake.set()
        await waiting.done

    def note(self, sighting: Sighting) -> None:
        """Write this soon."""
        key = (sighting.app, sighting.id)
        before = self._noted.get(key)
        if before and sighting.state is None:
            sighting = replace(sighting, state=before.state, reason=before.reason, offered=before.offered)
        self._noted[key] = sighting

    async def room(self) -> None:
        """Wait while too much is noted: the database is slower than the machines."""
        while len(self._noted) >= self._limits.pending:
            await self.write()

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._limits.write_every_s)
            if self._waiting or self._noted:
                # To its end also if we are told to stop: whoever waits for it must hear of it.
                await asyncio.shield(asyncio.ensure_future(self._write_all()))

    async def _write_all(self) -> None:
        self._wake.clear()
        waiting, self._waiting = self._waiting, []
        noted, self._noted = self._noted, {}
        try:
            await run_sync(self._commit, waiting, list(noted.values()), limiter=self._thread)
        except SQLAlchemyError as error:
            log.error("the database failed: %s", getattr(error, "orig", None) or error)
            self._noted = noted | self._noted
            await self._write_each(waiting)
        else:
            for each in waiting:
                if not each.done.done():
                    each.done.set_result(None)

    async def _write_each(self, waiting: Sequence[_Waiting]) -> None:
        """One by one, so that none fails for another's sake."""
        for each in waiting:
            try:
                await run_sync(self._commit, [each], [], limiter=self._thread)
            except SQLAlchemyError as error:
                if not each.done.done():
                    each.done.set_exception(error)
            else:
                if not each.done.done():
                    each.done.set_result(None)

    def _commit(self, waiting: Sequence[_Waiting], noted: Sequence[Sighting]) -> None:
        with self._database.writing() as connection:
            if noted:
                self._count(connection)
                store.see(connection, noted, new=self._machines < self._limits.machines)
                self._machines += len(
                    noted
                )  # Too many until they are counted again: the limit is a rough one.
            for each in waiting:
                for change in each.changes:
                    change(connection)
        with contextlib.suppress(SQLAlchemyError):  # What was to be written is; the next write tells of it.
            self.measure()

    def measure(self) -> None:
        """Know how many machines groups have, unless that is known: to count a million takes time."""
        began_s = time.monotonic()
        if began_s < self._sizes_due_s:
            return
        with self._database.reading() as connection:
            self.sizes = store.group_sizes(connection, self._clock() - self._limits.present_for_s)
        took_s = time.monotonic() - began_s
        self._sizes_due_s = began_s + min(max(100 * took_s, _SIZES_EVERY_S), _COUNT_EVERY_S)

    def _count(self, connection: sql.Connection) -> None:
        """Know about how many machines there are, and forget those that are gone for good."""
        now_s = time.monotonic()
        full = self._machines >= self._limits.machines
        if now_s - self._counted_s > (_COUNT_EVERY_S / 10 if full else _COUNT_EVERY_S):
            store.forget_machines(connection, self._clock() - self._limits.forget_after_s)
            self._machines = store.count_machines(connection)
            self._counted_s = now_s

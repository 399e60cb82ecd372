"""What every daemon of ours does: observe, plan, perform; again when woken, and now and then in any case.

`Loop` repeats a step: woken by events, with a slow tick as a safety net, and with growing, jittered pauses
while the step fails. `run_daemon` runs a daemon's body until SIGTERM and tells systemd how it goes.
Time and chance come in through `Clock`, so that tests decide both.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from argosy.base.errors import ArgosyError
from argosy.base.notify import notify

log = logging.getLogger(__name__)


class Clock(Protocol):
    """Time and chance."""

    def now(self) -> float:
        """Seconds on a clock that only goes forward."""

    async def wait(self, event: asyncio.Event, timeout_s: float) -> bool:
        """Wait for `event`, at most `timeout_s`; whether it is set."""

    def chance(self) -> float:
        """A random number in [0, 1)."""


class SystemClock:
    """The clock of the machine."""

    def now(self) -> float:
        return time.monotonic()

    async def wait(self, event: asyncio.Event, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(max(timeout_s, 0)):
                await event.wait()
        except TimeoutError:
            return False
        return True

    def chance(self) -> float:
        return random.random()


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses between failed attempts: `first_s`, doubled each time up to `most_s`, each cut by up to a half.

    The cut is random, so that a cluster's daemons do not all come back in the same moment.
    """

    first_s: float = 0.5
    most_s: float = 15.0

    def pause_s(self, failures: int, chance: float) -> float:
        """The pause after the `failures`th failure in a row (from 1); `chance` is in [0, 1)."""
        full_s = min(self.most_s, self.first_s * 2.0 ** min(failures - 1, 30))
        return full_s * (1 - chance / 2)


Step = Callable[[], Awaitable[float | None]]


@dataclass(slots=True)
class Loop:
    """Repeats `step`. A step may return the seconds after which it wants to run again, at the latest.

    `gap_s` is the least time between two steps: events that come in a burst are answered by one step.
    An `ArgosyError` or `OSError` from the step is logged when it is new, and the step is tried again after
    a pause; anything else is a defect and ends the loop.
    """

    name: str
    step: Step
    tick_s: float
    gap_s: float = 0.05
    backoff: Backoff = field(default_factory=Backoff)
    clock: Clock = field(default_factory=SystemClock)
    failures: int = 0
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _stopped: asyncio.Event = field(default_factory=asyncio.Event)
    _last_error: str = ""

    def wake(self) -> None:
        """Something happened: run the step soon."""
        self._woken.set()

    def stop(self) -> None:
        """End `run` after the step under way."""
        self._stopped.set()
        self._woken.set()

    async def run(self) -> None:
        """Repeat the step until `stop`."""
        while not self._stopped.is_set():
            self._woken.clear()
            pause_s = await self._attempt()
            if self.failures:
                await self.clock.wait(self._stopped, pause_s)
            else:
                await self.clock.wait(self._woken, pause_s)
                await self.clock.wait(self._stopped, self.gap_s)

    async def _attempt(self) -> float:
        try:
            wanted_s = await self.step()
        except (ArgosyError, OSError) as error:
            self.failures += 1
            self._report(str(error))
            return self.backoff.pause_s(self.failures, self.clock.chance())
        if self.failures:
            log.info("%s: works again after %d failures", self.name, self.failures)
        self.failures, self._last_error = 0, ""
        return self.tick_s if wanted_s is None else min(wanted_s, self.tick_s)

    def _report(self, message: str) -> None:
        level = logging.DEBUG if message == self._last_error else logging.WARNING
        log.log(level, "%s: %s", self.name, message)
        self._last_error = message


async def run_daemon(body: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run `body(stop)` to its end; SIGTERM and SIGINT set `stop`, and systemd's watchdog is kept content.

    The body reports READY itself, when it is.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    watchdog = asyncio.create_task(_feed_watchdog())
    try:
        await body(stop)
    finally:
        watchdog.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watchdog


async def run_until(work: Awaitable[None], *ends: Awaitable[object]) -> None:
    """Run `work` until it or one of `ends` is over, and cancel the others. Raises what the work raised."""
    task = asyncio.ensure_future(work)
    tasks = [task, *(asyncio.ensure_future(end) for end in ends)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
    finally:
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _feed_watchdog() -> None:
    """Tell systemd that the event loop turns, at half the interval it asks for (sd_watchdog_enabled(3))."""
    interval_us = int(os.environ.get("WATCHDOG_USEC", "0"))
    while interval_us:
        notify("WATCHDOG=1")
        await asyncio.sleep(interval_us / 2_000_000)

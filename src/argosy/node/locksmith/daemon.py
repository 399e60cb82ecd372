"""locksmithd's step: observe, plan, perform one action. What comes next is decided from what is seen then."""

from __future__ import annotations

import logging
import re
from dataclasses import replace

from argosy.base.errors import ArgosyError
from argosy.base.notify import notify
from argosy.formats.duration import spoken
from argosy.formats.rebootlock import Holding
from argosy.formats.rebootwhy import State, Why
from argosy.node.locksmith.edges import Edges
from argosy.node.locksmith.model import (
    Decision,
    Drain,
    Lock,
    Observed,
    Reboot,
    Unlock,
    Wait,
    Warn,
)
from argosy.node.locksmith.observe import Observer
from argosy.node.locksmith.plan import plan
from argosy.node.locksmith.semaphore import NoHolderError, with_holder, without_holder

log = logging.getLogger(__name__)

TICK_S = 60.0
_PLANNED_TICK_S = 10.0
_DRAIN_TICK_S = 5.0


class Daemon:
    """Repeats its step for ever; nothing that it keeps in memory matters."""

    def __init__(self, edges: Edges) -> None:
        self._edges = edges
        self._observer = Observer(edges)
        self._said = ""
        self._reported = ""

    def start(self) -> None:
        """Say that we are there."""
        self._edges.runtime.coordinate(None, State.STARTING)

    def ask(self) -> None:
        """A person wants a reboot; remembered until then."""
        self._remember(asked=True)

    def close(self) -> None:
        """Close the connections."""
        self._observer.close()

    async def step(self) -> float | None:
        """One round; returns after how many seconds the next is due. Raises `ArgosyError`."""
        try:
            seen = await self._observer.look()
            decision = plan(seen)
            self._say(decision, seen)
            return await self._perform(decision, seen)
        except ArgosyError as error:
            self._edges.runtime.tell(
                Why(
                    f"locksmithd cannot go on: {error}",
                    State.RUNNING,
                    "",
                    error.hint or "",
                    at_s=self._now_s(),
                )
            )
            raise

    def _say(self, decision: Decision, seen: Observed) -> None:
        self._tell(decision, seen)
        # A sentence whose numbers alone have changed is no news.
        said = re.sub(r"\d+ (s|min|h|days)\b", "", decision.reason)
        if said != self._said:
            log.info("%s", decision.reason)
            self._said = said

    def _tell(self, decision: Decision, seen: Observed) -> None:
        settings = seen.settings
        self._edges.runtime.tell(
            Why(
                answer=decision.reason,
                state=decision.state,
                strategy=settings.strategy if settings else "",
                hint=decision.hint,
                wanted=seen.wanted,
                group=settings.access.group if settings else "",
                holds=bool(seen.locks and seen.locks.held_by(seen.machine_id)),
                windows=tuple(str(window) for window in settings.windows) if settings else (),
                at_s=seen.now_s,
            )
        )
        self._edges.runtime.coordinate(settings.strategy if settings else None, decision.state)
        notify(f"STATUS={decision.reason}")

    async def _perform(self, decision: Decision, seen: Observed) -> float | None:
        await self._forget_preparations(decision, seen)
        match decision.action:
            case Wait(again_s):
                tick_s = _PLANNED_TICK_S * (0.5 + self._edges.chance()) if seen.wanted else TICK_S
                return tick_s if again_s is None else min(again_s + 0.01, tick_s)
            case Lock(group):
                return await self._lock(group, seen)
            case Unlock(group, holder):
                await self._unlock(group, holder)
            case Drain(last):
                return await self._drain(decision, seen, last=last)
            case Warn(in_s):
                self._edges.tell_users(_warning(seen, in_s))
                self._remember(warned_s=seen.up_s)
            case Reboot():
                log.warning("rebooting: %s", decision.reason)
                self._edges.host.reboot()
                self._remember(reboot_sent_s=seen.up_s)
        return 0.0

    async def _lock(self, group: str, seen: Observed) -> float:
        """Only if no semaphore has changed since it was decided: the rule is about all of them."""
        assert seen.locks is not None
        identity = self._edges.identity
        holding = Holding(seen.now_s, identity.boot_id, seen.cluster.own, identity.host, daemon=True)
        semaphore = with_holder(seen.locks.of(group), identity.machine_id, holding)
        if await self._observer.store.write(seen.locks, group, semaphore):
            log.info("took the lock")
            return 0.0
        return self._edges.chance()

    async def _unlock(self, group: str, holder: str) -> None:
        try:
            await self._observer.store.change(
                group,
                lambda locks: without_holder(locks.of(group), holder, self._now_s()),
                lambda semaphore: holder not in semaphore.ids,
            )
        except NoHolderError:
            return
        log.info("gave back the lock of %s", holder)

    async def _drain(self, decision: Decision, seen: Observed, *, last: bool) -> float:
        if seen.memory.drain_began_s is None:
            self._remember(drain_began_s=seen.up_s)
        report = await self._edges.drainer.drain(last=last)
        self._tell(replace(decision, reason=f"{decision.reason}: {report.reason}"), seen)
        if report.reason != self._reported:
            log.info("%s", report.reason)
            self._reported = report.reason
        if not report.done and not last:
            return _DRAIN_TICK_S
        self._remember(drained=True)
        return 0.0

    async def _forget_preparations(self, decision: Decision, seen: Observed) -> None:
        memory = seen.memory
        if decision.under_way or (memory.drain_began_s is None and memory.warned_s is None):
            return
        if seen.going_down:
            return
        try:
            await self._edges.drainer.undo()
        except ArgosyError as error:
            # Nobody has to wait for that: it is tried again, and what is remembered is still so.
            log.info("this machine does not take units again yet: %s", error)
            return
        self._remember(drain_began_s=None, drained=False, warned_s=None, reboot_sent_s=None)

    def _remember(self, **changes: float | bool | None) -> None:
        runtime = self._edges.runtime
        runtime.remember(replace(runtime.memory(), **changes))  # type: ignore[arg-type]

    def _now_s(self) -> int:
        return int(self._edges.now().timestamp())


def _warning(seen: Observed, in_s: float) -> str:
    return (
        f"This machine reboots in {spoken(in_s)}: {seen.wanted}.\r\n"
        "`sudo locksmithctl postpone` puts it off once, by an hour."
    )

"""locksmithd's step: observe, plan, perform one action. What comes next is decided from what is seen then."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from argosy.base.errors import ArgosyError
from argosy.base.etcd import Etcd, UnavailableError
from argosy.base.notify import notify
from argosy.formats.duration import spoken
from argosy.formats.rebootlock import Holding
from argosy.node.locksmith import cluster
from argosy.node.locksmith.fleet import Drainer
from argosy.node.locksmith.lock import Store
from argosy.node.locksmith.model import (
    Access,
    Back,
    Cluster,
    Decision,
    Drain,
    Identity,
    Lock,
    Locks,
    Observed,
    Reboot,
    Settings,
    State,
    Strategy,
    Unlock,
    Wait,
    Warn,
    Why,
)
from argosy.node.locksmith.plan import lacks, plan
from argosy.node.locksmith.runtime import Runtime
from argosy.node.locksmith.semaphore import NoHolderError, with_holder, without_holder

log = logging.getLogger(__name__)

TICK_S = 60.0
_PLANNED_TICK_S = 10.0
_DRAIN_TICK_S = 5.0
_ASKED = "a person asked for it"


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


class Daemon:
    """Repeats its step for ever; nothing that it keeps in memory matters."""

    def __init__(self, edges: Edges) -> None:
        self._edges = edges
        self._access: Access | None = None
        self._etcd: Etcd | None = None
        self._said = ""

    def start(self) -> None:
        """Say that we are there."""
        self._edges.runtime.coordinate(None, State.STARTING)

    def ask(self) -> None:
        """A person wants a reboot; remembered until then."""
        self._remember(asked=True)

    def close(self) -> None:
        """Close the connections."""
        if self._etcd is not None:
            self._etcd.close()

    async def step(self) -> float | None:
        """One round; returns after how many seconds the next is due. Raises `ArgosyError`."""
        try:
            seen = await self._observe()
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

    async def _observe(self) -> Observed:
        edges = self._edges
        settings, problem = self._settings()
        member, fleet = await edges.host.unit_states()
        locks, etcd_problem = await self._locks(settings)
        memory = edges.runtime.memory()
        wanted = await edges.host.wanted() or (_ASKED if memory.asked else "")
        held = bool(locks and locks.held_by(edges.identity.machine_id))
        view = Cluster()
        if settings is not None and locks is not None and (wanted or held):
            view = await self._cluster(settings.access, fleet)
        back = await self._back(member, fleet, view) if held else Back()
        going_down = await edges.host.going_down()
        # The clocks come last: what is decided by them is true when it is done.
        seen = Observed(
            now=edges.now(),
            up_s=edges.up_s(),
            machine_id=edges.identity.machine_id,
            boot_id=edges.identity.boot_id,
            settings=settings,
            settings_problem=problem,
            wanted=wanted,
            going_down=going_down,
            locks=locks,
            etcd_problem=etcd_problem,
            cluster=view,
            member=member,
            back=back,
            users=edges.users(),
            postponed_until_s=edges.runtime.postponed_until_s(),
            memory=memory,
        )
        away = settings is not None and locks is None
        return self._since_when(seen, away=away, well=held and not lacks(seen))

    def _settings(self) -> tuple[Settings | None, str]:
        try:
            return self._edges.read_settings(), ""
        except ArgosyError as error:
            return None, str(error)

    async def _locks(self, settings: Settings | None) -> tuple[Locks | None, str]:
        """The semaphores; None if etcd is away. One that refuses us is not away: who needs it stops."""
        if settings is None:
            return None, ""
        if self._etcd is None or settings.access != self._access:
            self.close()
            self._etcd, self._access = cluster.connect(settings.access), settings.access
        try:
            return await Store(self._etcd).read(), ""
        except UnavailableError as error:
            return None, str(error)
        except ArgosyError as error:
            if settings.strategy in (Strategy.ETCD_LOCK, Strategy.BEST_EFFORT):
                raise
            return None, str(error)

    def _since_when(self, seen: Observed, *, away: bool, well: bool) -> Observed:
        """Remembers since when etcd is away, and since when this machine lacks nothing."""
        before = seen.memory
        away_s = (before.away_since_s or seen.up_s) if away else None
        well_s = (before.well_since_s or seen.up_s) if well else None
        if (away_s, well_s) == (before.away_since_s, before.well_since_s):
            return seen
        self._remember(away_since_s=away_s, well_since_s=well_s)
        return replace(seen, memory=replace(before, away_since_s=away_s, well_since_s=well_s))

    async def _cluster(self, access: Access, fleet: str) -> Cluster:
        assert self._etcd is not None
        members, own = await cluster.look(self._etcd, access)
        try:
            machines = await self._edges.fleet.machines() if fleet != "inactive" else frozenset()
        except ArgosyError as error:
            log.debug("fleet does not say which machines there are: %s", error)
            machines = frozenset()
        return Cluster(members, own, machines)

    async def _back(self, member: str, fleet: str, view: Cluster) -> Back:
        in_trial, problem = False, ""
        try:
            in_trial = self._edges.in_trial()
        except (ArgosyError, OSError) as error:
            problem = str(error)
        if fleet == "inactive":
            return Back(in_trial, problem, member)
        try:
            idle = await self._edges.fleet.idle_units()
        except ArgosyError:
            return Back(in_trial, problem, member, "unregistered")
        here = self._edges.identity.machine_id in view.machines
        return Back(in_trial, problem, member, "registered" if here else "unregistered", idle)

    def _say(self, decision: Decision, seen: Observed) -> None:
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
        # A sentence whose numbers alone have changed is no news.
        said = re.sub(r"\d+ (s|min|h|days)\b", "", decision.reason)
        if said != self._said:
            log.info("%s", decision.reason)
            self._said = said

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
                return await self._drain(seen, last=last)
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
        assert self._etcd is not None and seen.locks is not None
        identity = self._edges.identity
        holding = Holding(seen.now_s, identity.boot_id, seen.cluster.own, identity.host, daemon=True)
        semaphore = with_holder(seen.locks.of(group), identity.machine_id, holding)
        if await Store(self._etcd).write(seen.locks, group, semaphore):
            log.info("took the lock")
            return 0.0
        return self._edges.chance()

    async def _unlock(self, group: str, holder: str) -> None:
        assert self._etcd is not None
        try:
            await Store(self._etcd).change(
                group,
                lambda locks: without_holder(locks.of(group), holder, self._now_s()),
                lambda semaphore: holder not in semaphore.ids,
            )
        except NoHolderError:
            return
        log.info("gave back the lock of %s", holder)

    async def _drain(self, seen: Observed, *, last: bool) -> float:
        if seen.memory.drain_began_s is None:
            self._remember(drain_began_s=seen.up_s)
        report = await self._edges.drainer.drain(last=last)
        if report.reason != self._said:
            log.info("%s", report.reason)
            self._said = report.reason
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
        await self._edges.drainer.undo()
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

"""locksmithd of a machine: observe, plan, perform, as its daemon does it, on the simulated etcd."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.simulation.etcd import AwayError

from argosy.base.loop import Backoff
from argosy.formats.rebootlock import Holding
from argosy.formats.rebootwhy import State, Why
from argosy.node.locksmith.memory import after_look
from argosy.node.locksmith.model import (
    Back,
    Cluster,
    Decision,
    Drain,
    Lock,
    Memory,
    Observed,
    Reboot,
    Unlock,
    Wait,
    Warn,
)
from argosy.node.locksmith.plan import plan
from argosy.node.locksmith.semaphore import with_holder, without_holder

if TYPE_CHECKING:
    from tests.simulation.machine import Machine

_TICK_S = 10.0
# Who waits for others looks when something has changed; this is the safety net.
_SLOW_TICK_S = 600.0
_ENGINE_LOOKS_S = 60.0
_DRAIN_TICK_S = 5.0
_DRAINS_S = (0.0, 30.0)
_POSTPONES_S = 3600.0
_FAILED = Backoff()


class Locksmith:
    """One boot's. `decision` is the last, and so the answer to why."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.decision = Decision(Wait(), "locksmithd has not looked yet", State.STARTING)
        self.settings = machine.world.settings(machine)
        self.memory = Memory()
        self.waits = False
        self._postponed_until_s: float | None = None
        self._drains_until_s: float | None = None
        self._failures = 0
        self._token = 0
        self._due_s = 0.0
        self._saw_full = False
        self._told_s = 0.0

    @property
    def why(self) -> Why:
        """What it writes down for the engine."""
        machine, decision, locks = self.machine, self.decision, self.machine.world.etcd.locks
        return Why(
            decision.reason,
            decision.state,
            self.settings.strategy,
            wanted=machine.engine.wanted,
            holds=machine.name in locks.of(machine.group).ids,
        )

    def wake(self) -> None:
        """Something of this machine has changed."""
        self._again(0.0)

    def others_changed(self) -> None:
        """Something of others has changed: the next tick will see it."""
        if self.waits:
            self.waits = False
            in_s = self.machine.world.agenda.between(0.0, 1.5 * _TICK_S)
            if self.machine.world.agenda.now_s + in_s < self._due_s:
                self.machine.after(in_s, self._glance)

    def _glance(self) -> None:
        """Who saw that no lock is left, and would see that again, need not look: it is still so."""
        etcd = self.machine.world.etcd
        full = etcd.locks.of(self.machine.group).semaphore <= 0
        if self._saw_full and full and etcd.answers(self.machine):
            self.waits = True
        else:
            self._again(0.0)

    def step(self) -> None:
        """One round."""
        self.machine.steps += 1
        seen = self.observe()
        before, self.decision = self.decision, plan(seen)
        decision = self.decision
        self._saw_full = seen.locks is not None and seen.locks.of(self.machine.group).semaphore <= 0
        if seen.wanted and decision.reason != before.reason:
            self._tell_engine(at_once=decision.state != before.state)
        try:
            pause_s = self._perform(decision, seen)
            self._failures = 0
        except AwayError:
            self._failures += 1
            pause_s = _FAILED.pause_s(self._failures, self._chance())
        if self.machine.is_up:
            self._again(pause_s)

    def _tell_engine(self, *, at_once: bool) -> None:
        """It looks every second; that now another machine has the lock is not always news for the service."""
        now_s = self.machine.world.agenda.now_s
        if at_once or now_s - self._told_s >= _ENGINE_LOOKS_S:
            self._told_s = now_s
            self.machine.engine.wake()

    def _again(self, in_s: float) -> None:
        self._token += 1
        token = self._token
        self._due_s = self.machine.world.agenda.now_s + in_s
        self.machine.after(in_s, lambda: self.step() if token == self._token else None)

    def _chance(self) -> float:
        return self.machine.world.agenda.random.random()

    def observe(self) -> Observed:
        """What locksmithd sees."""
        machine, etcd = self.machine, self.machine.world.etcd
        locks = etcd.locks if etcd.answers(machine) else None
        wanted = machine.engine.wanted
        held = bool(locks and locks.held_by(machine.name))
        view = etcd.look(machine) if locks is not None and (wanted or held) else Cluster()
        seen = Observed(
            now=machine.local_time,
            up_s=machine.up_s,
            machine_id=machine.name,
            boot_id=machine.boot_id,
            settings=self.settings,
            wanted=wanted,
            going_down=machine.going_down,
            locks=locks,
            etcd_problem="" if locks else "it has no quorum",
            cluster=view,
            member=self._member(),
            back=self._back(view) if held else Back(),
            users=("core",) if machine.world.somebody_sits_at(machine) else (),
            postponed_until_s=self._postponed_until_s,
            memory=self.memory,
        )
        self.memory = after_look(seen)
        return replace(seen, memory=self.memory)

    def _member(self) -> str:
        if not self.machine.is_member:
            return "inactive"
        return "active" if self.machine.member_runs else "activating"

    def _back(self, view: Cluster) -> Back:
        machine = self.machine
        in_trial = machine.state.in_trial
        if not machine.world.scenario.fleet:
            return Back(in_trial, "", self._member())
        fleet = "registered" if machine.name in view.machines else "unregistered"
        return Back(in_trial, "", self._member(), fleet, machine.idle_units)

    def _perform(self, decision: Decision, seen: Observed) -> float:
        machine, agenda = self.machine, self.machine.world.agenda
        if not decision.under_way and self.memory.drain_began_s is not None and not seen.going_down:
            self._remember(drain_began_s=None, drained=False, warned_s=None, reboot_sent_s=None)
            self._drains_until_s = None
        # Killed after an action, it comes back without having remembered it.
        killed = agenda.happens(machine.world.faults_now().killed)
        match decision.action:
            case Wait(again_s):
                # To others' changes only who wants something listens.
                self.waits = bool(seen.wanted or (seen.locks and seen.locks.held_by(machine.name)))
                return _SLOW_TICK_S if again_s is None else min(again_s + 0.01, _SLOW_TICK_S)
            case Lock(group):
                self._lock(group, seen)
                return agenda.between(0.0, 1.0)
            case Unlock(group, holder):
                self._unlock(group, holder)
            case Drain(last):
                if self._drain(seen, last=last) and not killed:
                    self._remember(drained=True)
                    return 0.0
                return _DRAIN_TICK_S
            case Warn():
                if not killed:
                    self._remember(warned_s=seen.up_s)
                if agenda.happens(0.3):
                    self._postponed_until_s = self._postponed_until_s or seen.up_s + _POSTPONES_S
            case Reboot():
                machine.world.promises.about_to_reboot(machine, seen)
                machine.reboot()
                if not killed:
                    self._remember(reboot_sent_s=seen.up_s)
        return agenda.between(1.0, 15.0) if killed else 0.01

    def _lock(self, group: str, seen: Observed) -> None:
        assert seen.locks is not None
        holding = Holding(seen.now_s, self.machine.boot_id, seen.cluster.own, self.machine.name, daemon=True)
        semaphore = with_holder(seen.locks.of(group), self.machine.name, holding)
        # Between the look and the write others may have written, or the machine may have gone.
        self._later(lambda: self._write(seen, group, semaphore))

    def _later(self, act: Any) -> None:
        self.machine.after(self.machine.world.agenda.between(0.0, 0.2), act)

    def _write(self, seen: Observed, group: str, semaphore: Any) -> None:
        assert seen.locks is not None
        etcd = self.machine.world.etcd
        if etcd.answers(self.machine):
            try:
                if etcd.write(seen.locks, group, semaphore):
                    self.wake()
            except AwayError:
                pass

    def _unlock(self, group: str, holder: str) -> None:
        machine, etcd = self.machine, self.machine.world.etcd
        if not etcd.answers(machine):
            raise AwayError
        locks = etcd.locks
        if holder not in locks.of(group).ids:
            return
        machine.world.promises.about_to_unlock(machine, group, holder)
        etcd.write(locks, group, without_holder(locks.of(group), holder, machine.wall_s))

    def _drain(self, seen: Observed, *, last: bool) -> bool:
        agenda = self.machine.world.agenda
        if self._drains_until_s is None:
            slow = agenda.happens(self.machine.world.faults_now().slow_drain)
            self._drains_until_s = seen.up_s + (1e9 if slow else agenda.between(*_DRAINS_S))
            self._remember(drain_began_s=self.memory.drain_began_s or seen.up_s)
        return last or seen.up_s >= self._drains_until_s

    def _remember(self, **changes: Any) -> None:
        self.memory = replace(self.memory, **changes)

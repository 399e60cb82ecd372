"""What must hold whatever goes wrong, checked by one who sees everything when it could break."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.scenario import NEW

from argosy.node.locksmith.model import Observed, Strategy
from argosy.node.locksmith.windows import open_until

if TYPE_CHECKING:
    from tests.simulation.machine import Machine
    from tests.simulation.world import World

_STEPS_AN_HOUR = 1500
_MASS = "it would be half or more"


class Promises:
    """`most_away` is the largest number of machines that were away with a lock, in all groups together.

    `held_s` says for how long locks were held by machines that gave them back after the reboot.
    """

    def __init__(self, world: World) -> None:
        self.most_away = 0
        self.held_s: list[float] = []
        self._world = world
        self._away: dict[str, set[str]] = {}

    def about_to_reboot(self, machine: Machine, seen: Observed) -> None:
        """The machine reboots now, by locksmith's decision."""
        settings = machine.locksmith.settings
        windows = settings.windows
        self._demand(
            not windows or open_until(windows, machine.local_time) is not None,
            machine,
            "reboots outside its windows",
        )
        self._demand(bool(seen.wanted), machine, "reboots for nothing")
        self._demand(settings.strategy is not Strategy.OFF, machine, "reboots although its strategy is off")
        if settings.strategy is Strategy.REBOOT:
            return
        if not self._world.etcd.answers(machine):
            lax = settings.strategy is Strategy.BEST_EFFORT and not machine.is_member
            self._demand(lax, machine, "reboots without etcd")
            return
        self._with_lock(machine)

    def about_to_unlock(self, machine: Machine, group: str, holder: str) -> None:
        """The machine gives back a lock, its own or a stale one."""
        away = self._away.setdefault(group, set())
        if holder == machine.name:
            holding = self._world.etcd.locks.of(group).holding[holder]
            if holding.boot == machine.boot_id:
                self._demand(not machine.going_down, machine, "gives its lock back and goes down")
            else:
                self._demand(not machine.lacks, machine, f"gives its lock back, and lacks {machine.lacks}")
                self.held_s.append(machine.wall_s - holding.since_s)
            away.discard(holder)
            return
        after_s = machine.locksmith.settings.stale_after_s
        self._demand(after_s is not None, machine, f"takes the lock from {holder}")
        other = self._world.machine(holder)
        gone_s = self._world.agenda.now_s - other.went_at_s
        self._demand(
            not other.is_up and gone_s >= (after_s or 0.0),
            machine,
            f"takes the lock from {holder}, which went {gone_s:.0f} s ago",
        )
        away.discard(holder)

    def in_the_end(self) -> None:
        """Whoever still waits has a reason that is true; and nobody was busy with waiting."""
        troubled = {each.name for each in self._world.machines if self._is_troubled(each)}
        for machine in self._world.machines:
            hours = max(1.0, self._world.agenda.now_s / 3600)
            self._demand(machine.steps < _STEPS_AN_HOUR * hours, machine, "spins")
            if machine.is_up and machine.version != NEW and not self._is_troubled(machine):
                self._true(machine, troubled)

    def _with_lock(self, machine: Machine) -> None:
        world, name = self._world, machine.name
        semaphore = world.etcd.locks.of(machine.group)
        holding = semaphore.holding.get(name)
        mine = holding is not None and holding.boot == machine.boot_id and name in semaphore.ids
        self._demand(mine, machine, "reboots without the lock")
        away = self._away.setdefault(machine.group, set())
        away.add(name)
        self._demand(
            len(away) <= semaphore.max, machine, f"is one of {sorted(away)}, with max {semaphore.max}"
        )
        self.most_away = max(self.most_away, sum(map(len, self._away.values())))
        self._quorum(machine)
        self._half(machine)

    def _quorum(self, machine: Machine) -> None:
        etcd = self._world.etcd
        others = sum(member.member_runs for member in etcd.members if member is not machine)
        if machine.is_member and len(etcd.members) > 1:
            self._demand(others >= etcd.quorum, machine, "takes etcd's quorum away")

    def _half(self, machine: Machine) -> None:
        """Of all machines, fewer than half may be away with a lock, or have a member that is down."""
        world = self._world
        holders = world.etcd.locks.holders().keys()
        down = {each.name for each in world.etcd.members if not each.is_up} | holders | {machine.name}
        few = len(down) == 1 or 2 * len(down) < len(world.machines)
        self._demand(few, machine, f"is one of {len(down)} machines that are away")

    def _is_troubled(self, machine: Machine) -> bool:
        """It is down or unwell, or has found that the version fails on it, or is set not to reboot."""
        fell_back = bool(machine.records.failures)
        off = machine.locksmith.settings.strategy is Strategy.OFF and bool(machine.engine.wanted)
        return bool(machine.lacks) or fell_back or off

    def _true(self, machine: Machine, troubled: set[str]) -> None:
        reason, windows = machine.reason, machine.locksmith.settings.windows
        names_one = any(name in reason for name in troubled)
        etcd_is_away = "etcd" in reason and not self._world.etcd.answers(machine)
        many = _MASS in reason and len(troubled) > 1
        closed = bool(windows) and open_until(windows, machine.local_time) is None
        none_to_spare = machine.is_member and len(self._world.etcd.members) == 2
        self._demand(
            names_one or etcd_is_away or many or none_to_spare or closed,
            machine,
            f"waits for no true reason: {reason!r}",
        )

    def _demand(self, kept: bool, machine: Machine, what: str) -> None:
        if not kept:
            at_s = self._world.agenda.now_s
            raise AssertionError(f"after {at_s:.0f} s, {machine.name} {what}\n{self._world.scenario}")

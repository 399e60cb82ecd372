"""etcd, as locksmith sees it: members that need a quorum, and the semaphores, changed by compare-and-swap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from argosy.formats.rebootlock import Semaphore
from argosy.node.locksmith.model import Cluster, Locks, Member
from argosy.node.locksmith.semaphore import with_max

if TYPE_CHECKING:
    from tests.simulation.agenda import Agenda
    from tests.simulation.machine import Machine


class AwayError(Exception):
    """It did not answer. What was asked of it may have been done."""


def group_name(number: int) -> str:
    """The name of the group of locks with this number: the first is everybody's."""
    return f"group-{number}" if number else ""


class Etcd:
    """`changed` is called when something may have become better for those who wait."""

    def __init__(
        self, agenda: Agenda, locks: Sequence[int], lost: float, changed: Callable[[], None]
    ) -> None:
        semaphores = {group_name(n): with_max(Semaphore(), most) for n, most in enumerate(locks)}
        self.locks = Locks(semaphores, 1)
        self.outage = False
        self.lost = lost
        self.members: list[Machine] = []
        self._agenda = agenda
        self._changed = changed
        self._known: set[str] = set()
        self._view: tuple[tuple[Member, ...], frozenset[str]] | None = None

    @property
    def quorum(self) -> int:
        """How many members it takes."""
        return len(self.members) // 2 + 1

    def has_quorum(self) -> bool:
        """Whether enough members run, and can speak with each other."""
        return not self.outage and sum(member.member_runs for member in self.members) >= self.quorum

    def answers(self, machine: Machine) -> bool:
        """Whether this machine can use it: through its own member if it has one."""
        return self.has_quorum() and (machine.member_runs or not machine.is_member)

    def look(self, machine: Machine) -> Cluster:
        """The members' health, and the machines that fleet hears of."""
        if self._view is None:
            well = self.has_quorum()
            members = tuple(Member(each.name, each.name, well and each.member_runs) for each in self.members)
            self._view = members, frozenset(self._known)
        members, known = self._view
        return Cluster(members, machine.name if machine.is_member else "", known)

    def write(self, locks: Locks, group: str, semaphore: Semaphore) -> bool:
        """Write a group's semaphore if none has changed since `locks` was read. Raises `AwayError`."""
        if not self._agenda.happens(self.lost):
            return self._write(locks, group, semaphore)
        if self._agenda.happens(0.5):
            self._write(locks, group, semaphore)
        raise AwayError

    def members_changed(self) -> None:
        """A member, or all of etcd, came or went."""
        self._view = None
        self._changed()

    def fleet_hears_of(self, machine: Machine, *, yes: bool) -> None:
        """fleet's list of machines changes: its keys in etcd run out by themselves."""
        self._view = None
        if yes:
            self._known.add(machine.name)
        else:
            self._known.discard(machine.name)

    def _write(self, locks: Locks, group: str, semaphore: Semaphore) -> bool:
        if locks.revision != self.locks.revision:
            return False
        fewer = len(semaphore.ids) < len(locks.of(group).ids)
        self.locks = Locks({**locks.semaphores, group: semaphore}, locks.revision + 1)
        if fewer:
            self._changed()
        return True

"""Machines that reboot in turn, each with its own locksmithd, with a real etcd; and what must always hold."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.etcd import Cluster as EtcdCluster
from tests.node.locksmith.machine import Machine, machine, one_step

from argosy.base.errors import ArgosyError
from argosy.base.etcd import Etcd
from argosy.node.locksmith.lock import Store
from argosy.node.locksmith.model import Locks
from argosy.node.locksmith.windows import open_until

_SETTLED_S = 11.0
_DOWN_ROUNDS = 2


class KilledError(BaseException):
    """A locksmithd was killed. Nothing of ours catches it, as nothing catches SIGKILL."""


@dataclass
class Rollout:
    """`most` machines may be down at once. Those of `broken` do not come back by themselves."""

    etcd: EtcdCluster
    machines: Sequence[Machine]
    most: int = 1
    broken: set[str] = field(default_factory=set)
    down: dict[str, int] = field(default_factory=dict)
    most_down: int = 0

    @classmethod
    def of(cls, etcd: EtcdCluster, folder: Path, count: int, **settings: object) -> Rollout:
        """Machines that all want to reboot."""
        return cls(etcd, [machine(folder, etcd, number, **settings) for number in range(count)])

    async def round(self) -> None:
        """Every machine that is up does one step, all at the same time; then some come back."""
        up = [each for each in self.machines if each.name not in self.down]
        await asyncio.gather(*(self.step(each) for each in up))
        self.come_back()

    async def step(self, machine: Machine) -> None:
        """One step of a locksmithd, which may be killed. Whatever it raises but `ArgosyError` is a defect."""
        before = machine.reboots
        with contextlib.suppress(KilledError, ArgosyError):
            await one_step(machine)
        machine.up_s += _SETTLED_S
        if machine.reboots > before:
            self._went_down(machine)

    def _went_down(self, machine: Machine) -> None:
        windows = machine.settings.windows
        assert not windows or open_until(windows, machine.now), f"{machine.name} left its window"
        self.down[machine.name] = _DOWN_ROUNDS
        self.most_down = max(self.most_down, len(self.down))
        assert len(self.down) <= self.most, f"{', '.join(self.down)} are down at once"

    def come_back(self) -> None:
        """A round is over for those that are down, too."""
        for each in self.machines:
            self._come_back(each)

    def _come_back(self, machine: Machine) -> None:
        if machine.name not in self.down or machine.name in self.broken:
            return
        self.down[machine.name] -= 1
        if not self.down[machine.name]:
            del self.down[machine.name]
            machine.come_back()

    async def run(self, rounds: int) -> None:
        """Until all have rebooted and given back their locks; no longer than `rounds`."""
        for _ in range(rounds):
            await self.round()
            if await self.is_over():
                return
        raise AssertionError({each.name: each.why().answer for each in self.machines})

    async def is_over(self) -> bool:
        """Whether everybody is back, and nobody holds a lock."""
        back = not self.down and all(each.boot > 1 for each in self.machines)
        return back and not (await locks(self.etcd)).holders()


async def locks(etcd: EtcdCluster) -> Locks:
    """All semaphores."""
    client = Etcd([member.endpoint for member in etcd.members if member.pid])
    try:
        return await Store(client).read()
    finally:
        client.close()

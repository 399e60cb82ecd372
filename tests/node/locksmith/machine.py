"""A machine with a member of a real etcd, and with a locksmithd that is killed after each action."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.etcd import Cluster as EtcdCluster

from argosy.base.errors import ArgosyError
from argosy.base.etcd import Etcd
from argosy.formats.rebootlock import Semaphore
from argosy.formats.rebootwhy import Why
from argosy.node.locksmith.daemon import Daemon
from argosy.node.locksmith.edges import Edges
from argosy.node.locksmith.lock import Store
from argosy.node.locksmith.model import Access, Drained, Identity, Settings, Strategy
from argosy.node.locksmith.runtime import Runtime

WANTED = "version 2 is installed"


@dataclass
class Machine:
    """A machine with a member of the real etcd. What is not etcd or a file is this object's."""

    folder: Path
    name: str
    settings: Settings
    boot: int = 1
    up_s: float = 1000.0
    now: datetime = datetime(2026, 11, 22, 4, 30, tzinfo=UTC)
    wanted_now: str = WANTED
    member: str = "active"
    trial: bool = False
    users: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()
    fleet: str = "inactive"
    told: list[str] = field(default_factory=list)
    reboots: int = 0
    drains: int = 0
    undone: int = 0
    drained: Drained = field(default_factory=lambda: Drained(True, "no fleet unit runs here"))
    fleet_answers: bool = True

    # The host

    async def wanted(self) -> str:
        return self.wanted_now

    async def unit_states(self) -> tuple[str, str]:
        return self.member, self.fleet

    async def going_down(self) -> bool:
        return False

    def reboot(self) -> None:
        self.reboots += 1

    # fleet

    async def machines(self) -> frozenset[str]:
        return frozenset({self.name})

    async def idle_units(self) -> tuple[str, ...]:
        return self.idle

    async def drain(self, *, last: bool) -> Drained:
        self.drains += 1
        return replace(self.drained, done=self.drained.done or last)

    async def undo(self) -> None:
        if not self.fleet_answers:
            raise ArgosyError("fleet answered 503")
        self.undone += 1

    def runtime(self) -> Runtime:
        return Runtime(self.folder / f"{self.name}-{self.boot}", self.folder / f"{self.name}.conf")

    def why(self) -> Why:
        found = self.runtime().why()
        assert found is not None
        return found

    def edges(self) -> Edges:
        return Edges(
            identity=Identity(self.name, f"{self.name}-{self.boot}", self.name),
            read_settings=lambda: self.settings,
            host=self,
            fleet=self,
            drainer=self,
            runtime=self.runtime(),
            in_trial=lambda: self.trial,
            users=lambda: self.users,
            tell_users=self.told.append,
            now=lambda: self.now,
            up_s=lambda: self.up_s,
            chance=lambda: 0.5,
        )

    def daemon(self) -> Daemon:
        return Daemon(self.edges())

    def come_back(self) -> None:
        """The reboot is over, with the new version."""
        self.boot += 1
        self.wanted_now = ""
        self.up_s = 20.0
        self.now += timedelta(minutes=1)


async def one_step(machine: Machine) -> float | None:
    """A locksmithd that is killed after one action."""
    daemon = machine.daemon()
    try:
        return await daemon.step()
    finally:
        daemon.close()


async def steps(machine: Machine, count: int) -> None:
    for _ in range(count):
        await one_step(machine)


def machine(folder: Path, etcd: EtcdCluster, number: int = 0, **settings: object) -> Machine:
    access = Access((etcd.members[number].endpoint,))
    wanted = replace(Settings(Strategy.ETCD_LOCK, access), **settings)  # type: ignore[arg-type]
    return Machine(folder, f"core-0{number + 1}", wanted)


async def semaphore(etcd: EtcdCluster) -> Semaphore:
    client = Etcd([member.endpoint for member in etcd.members if member.pid])
    try:
        return (await Store(client).read()).of("")
    finally:
        client.close()


async def eventually_says(machine: Machine, words: str) -> None:
    for _ in range(60):
        await one_step(machine)
        if words in machine.why().answer:
            return
        await asyncio.sleep(0.2)
    raise AssertionError(f"it does not say {words}, but: {machine.why().answer}")

"""What goes wrong while machines reboot in turn, each fault alone, against real etcd.

What must hold: never more machines are down than the rule allows, nobody is stuck for ever, and no reboot is
outside a window. tests/lab/test_nspawn_locksmith.py shows the same on whole machines, with faults in a row.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.etcd import Cluster as EtcdCluster
from tests.etcd import Member
from tests.node.locksmith.machine import Machine, eventually_says, machine
from tests.node.locksmith.rollout import KilledError, Rollout, locks
from tests.node.locksmith.test_lock import ctl

from argosy.base.etcd import Compare, Etcd, Operation, Outcome
from argosy.base.etcd import Member as EtcdMember
from argosy.base.run import run
from argosy.formats.rebootlock import PREFIX
from argosy.formats.rebootwhy import Why
from argosy.node.locksmith.daemon import Daemon
from argosy.node.locksmith.model import Access, Drained, Memory
from argosy.node.locksmith.runtime import Runtime
from argosy.node.locksmith.windows import parse_windows


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    with EtcdCluster(tmp_path_factory.mktemp("three"), size=3) as cluster:
        yield cluster


@pytest.fixture
def fresh(three: EtcdCluster) -> EtcdCluster:
    """Three members, all well, and no locks."""
    for member in three.members:
        if not member.pid:
            member.start()
    three.wait_healthy()
    asyncio.run(forget_locks(three))
    return three


async def forget_locks(etcd: EtcdCluster) -> None:
    client = Etcd(etcd.endpoints)
    await client.delete(PREFIX, PREFIX + "\xff")
    client.close()


# kill -9, at each step


@dataclass
class Fuse:
    """Kills before the nth time that anything is touched."""

    at: int
    burnt: int = 0
    where: str = ""

    def burn(self, what: str) -> None:
        self.burnt += 1
        if self.burnt == self.at:
            self.where = what
            raise KilledError(what)


class FusedEtcd(Etcd):
    """Killed before a request to etcd, or when it is done but its answer was not seen."""

    def __init__(self, endpoints: Sequence[str], fuse: Fuse) -> None:
        super().__init__(endpoints)
        self._fuse = fuse

    async def members(self) -> Sequence[EtcdMember]:
        self._fuse.burn("ask for the members")
        return await super().members()

    async def txn(
        self, compare: Sequence[Compare], then: Sequence[Operation], otherwise: Sequence[Operation] = ()
    ) -> Outcome:
        self._fuse.burn("before the lock is written")
        outcome = await super().txn(compare, then, otherwise)
        self._fuse.burn("after the lock is written")
        return outcome


class FusedRuntime(Runtime):
    """Killed before and after each file."""

    def __init__(self, of: Runtime, coordinator: Path, fuse: Fuse) -> None:
        super().__init__(of.folder, coordinator)
        self._fuse = fuse

    def remember(self, memory: Memory) -> None:
        self._fuse.burn(f"before it remembers {memory}")
        super().remember(memory)
        self._fuse.burn(f"after it remembers {memory}")

    def tell(self, why: Why) -> None:
        self._fuse.burn(f"before it says: {why.answer}")
        super().tell(why)


@dataclass
class Killed(Machine):
    """A machine whose locksmithd is killed once, by its fuse."""

    fuse: Fuse = None  # type: ignore[assignment]

    def reboot(self) -> None:
        self.fuse.burn("before the reboot is asked for")
        super().reboot()
        self.fuse.burn("after the reboot was asked for")

    async def drain(self, *, last: bool) -> Drained:
        self.fuse.burn("before units move")
        report = await super().drain(last=last)
        self.fuse.burn("after units moved")
        return report

    def daemon(self) -> Daemon:
        edges = self.edges()
        runtime = FusedRuntime(edges.runtime, self.folder / f"{self.name}.conf", self.fuse)
        return Daemon(
            replace(edges, runtime=runtime, connect=lambda access: FusedEtcd(access.endpoints, self.fuse))
        )


async def life(etcd: EtcdCluster, folder: Path, at: int) -> Fuse:
    """Two machines reboot in turn; the first one's locksmithd is killed before its `at`th touch."""
    await forget_locks(etcd)
    fuse = Fuse(at)
    first = Killed(**vars(machine(folder, etcd, 0)), fuse=fuse)
    rollout = Rollout(etcd, [first, machine(folder, etcd, 1)])
    for _ in range(30):
        for each in rollout.machines:  # one after another, so that each life is the same up to its kill
            if each.name not in rollout.down:
                await rollout.step(each)
        rollout.come_back()
        if await rollout.is_over():
            break
    why = {each.name: each.why().answer for each in rollout.machines}
    assert await rollout.is_over(), f"killed {fuse.where}: {why}"
    assert [each.reboots for each in rollout.machines] == [1, 1], f"killed {fuse.where}"
    return fuse


def test_kill_at_each_step(fresh: EtcdCluster, tmp_path: Path) -> None:
    """Each time that anything is read, written or asked for, on two machines that take turns."""

    async def go() -> list[str]:
        most = (await life(fresh, tmp_path / "none", 0)).burnt
        fuses = [await life(fresh, tmp_path / str(at), at) for at in range(1, most + 1)]
        return [fuse.where for fuse in fuses]

    places = asyncio.run(go())
    assert all(places)
    for word in (
        "lock is written",
        "remembers",
        "units move",
        "reboot was asked for",
        "it says: the machine is back",
    ):
        assert any(word in place for place in places), word


# etcd's faults


def test_etcds_leader_is_killed_while_a_machine_holds_the_lock(fresh: EtcdCluster, tmp_path: Path) -> None:
    async def go() -> None:
        rollout = Rollout.of(fresh, tmp_path, 3)
        endpoints = tuple(fresh.endpoints)
        for each in rollout.machines:
            each.settings = replace(each.settings, access=Access(endpoints))
        await until(rollout, lambda: bool(rollout.down))
        leader(fresh).kill()
        for _ in range(4):
            await rollout.round()
        # A member is missing: nobody can be spared, until it is back.
        assert sum(each.reboots for each in rollout.machines) == 1
        next(member for member in fresh.members if not member.pid).start()
        fresh.wait_healthy()
        await finish(rollout)

    asyncio.run(go())


def test_quorum_is_lost_while_a_machine_is_down_and_comes_back(fresh: EtcdCluster, tmp_path: Path) -> None:
    async def go() -> None:
        rollout = Rollout.of(fresh, tmp_path, 3)
        await until(rollout, lambda: bool(rollout.down))
        for member in fresh.members[1:]:
            member.kill()
        await rollout.round()
        await rollout.round()
        assert not rollout.down
        waiting = [each for each in rollout.machines if each.wanted_now]
        assert [each.reboots for each in waiting] == [0, 0]
        assert all("no reboot without the lock" in each.why().answer for each in waiting)
        for member in fresh.members[1:]:
            member.start()
        fresh.wait_healthy()
        # The lock that was held is still there: it goes back only now.
        assert len((await locks(fresh)).holders()) == 1
        await finish(rollout)

    asyncio.run(go())


async def until(rollout: Rollout, holds: Callable[[], bool]) -> None:
    for _ in range(30):
        await rollout.round()
        if holds():
            return
    raise AssertionError({each.name: each.why().answer for each in rollout.machines})


async def finish(rollout: Rollout) -> None:
    """Members that have just started are not healthy at once."""
    for _ in range(60):
        await rollout.round()
        if await rollout.is_over():
            return
        await asyncio.sleep(0.1)
    raise AssertionError({each.name: each.why().answer for each in rollout.machines})


def leader(etcd: EtcdCluster) -> Member:
    """The member that leads."""
    done = run([*etcd.etcdctl(), "endpoint", "status", "-w", "json"])
    statuses = json.loads(done.stdout)
    (endpoint,) = (
        each["Endpoint"]
        for each in statuses
        if each["Status"]["leader"] == each["Status"]["header"]["member_id"]
    )
    return next(member for member in etcd.members if member.endpoint == endpoint)


# A machine that never returns


async def one_is_gone(etcd: EtcdCluster, rollout: Rollout) -> tuple[str, list[Machine]]:
    """Goes on until a machine is down, and its etcd member with it; who is left waits for it, and says so."""
    await until(rollout, lambda: bool(rollout.down))
    (gone,) = rollout.broken = set(rollout.down)
    etcd.members[int(gone[-1]) - 1].kill()
    others = [each for each in rollout.machines if each.name != gone]
    for each in others:
        await eventually_says(each, f"the lock is held by {gone}")
        await eventually_says(each, "its etcd member does not answer")
    rollout.most = 2  # the one that is gone, and one that reboots
    return gone, others


def test_a_machine_that_never_returns_stops_the_others_until_a_person_says_so(tmp_path: Path) -> None:
    async def go(etcd: EtcdCluster) -> None:
        rollout = Rollout.of(etcd, tmp_path, 3)
        gone, others = await one_is_gone(etcd, rollout)
        for _ in range(5):
            await rollout.round()
        assert [each.reboots for each in others] == [0, 0]
        assert "`locksmithctl unlock ID` frees" in others[0].why().hint
        await asyncio.to_thread(ctl, etcd, "unlock", gone)
        await until(rollout, lambda: all(each.boot > 1 for each in others))
        # It comes back after all, days later: the lock is not its own any more, and nothing is missing.
        etcd.members[int(gone[-1]) - 1].start()
        etcd.wait_healthy()
        rollout.broken.clear()
        await finish(rollout)
        assert [each.reboots for each in rollout.machines] == [1, 1, 1]

    with EtcdCluster(tmp_path, size=5) as etcd:
        asyncio.run(go(etcd))


def test_a_machine_that_never_returns_is_given_up_by_policy(tmp_path: Path) -> None:
    async def go(etcd: EtcdCluster) -> None:
        rollout = Rollout.of(etcd, tmp_path, 3, stale_after_s=60.0)
        gone, others = await one_is_gone(etcd, rollout)
        await until(rollout, lambda: all(each.boot > 1 for each in others))
        assert gone in rollout.down
        assert not (await locks(etcd)).held_by(gone)

    with EtcdCluster(tmp_path, size=5) as etcd:
        asyncio.run(go(etcd))


def test_one_of_three_that_is_gone_keeps_the_others_up(fresh: EtcdCluster, tmp_path: Path) -> None:
    """No policy and no person makes etcd lose its quorum."""

    async def go() -> None:
        rollout = Rollout.of(fresh, tmp_path, 3, stale_after_s=60.0)
        gone, others = await one_is_gone(fresh, rollout)
        await until(rollout, lambda: all("cannot be spared" in each.why().answer for each in others))
        assert not (await locks(fresh)).holders()
        assert [each.reboots for each in others] == [0, 0]
        fresh.members[int(gone[-1]) - 1].start()
        fresh.wait_healthy()
        rollout.broken.clear()
        await finish(rollout)

    asyncio.run(go())


# Groups, and clocks


def test_two_groups_at_once_are_together_never_too_many(fresh: EtcdCluster, tmp_path: Path) -> None:
    """Each group's max is high. All ask at the same moment, for the one place that there is."""

    async def go() -> None:
        rollout = Rollout.of(fresh, tmp_path, 3)
        for group, each in zip("aba", rollout.machines, strict=True):
            access = replace(each.settings.access, group=group)
            each.settings = replace(each.settings, access=access)
        for group in "ab":
            assert ctl(fresh, "-group", group, "set-max", "5").returncode == 0
        for _ in range(60):
            await rollout.round()
            assert len((await locks(fresh)).holders()) <= 1
            if await rollout.is_over():
                return
        raise AssertionError({each.name: each.why().answer for each in rollout.machines})

    asyncio.run(go())


@pytest.mark.parametrize("seed", range(2))
def test_clocks_that_jump_across_a_windows_edges(fresh: EtcdCluster, tmp_path: Path, seed: int) -> None:
    """`Rollout` asserts that nobody goes down outside of its window, whatever was begun inside."""
    chance = random.Random(seed)
    edges = [timedelta(hours=hour, seconds=second) for hour in (4, 5) for second in (-1, 0, 1, 1800)]

    async def go() -> None:
        rollout = Rollout.of(fresh, tmp_path, 3, windows=parse_windows("04:00", "1h"))
        for _ in range(30):
            for each in rollout.machines:
                midnight = each.now.replace(hour=0, minute=0, second=0)
                each.now = midnight + chance.choice(edges) + timedelta(days=chance.randint(-1, 1))
            await rollout.round()
        for each in rollout.machines:
            each.now = each.now.replace(hour=4, minute=30)
        await rollout.run(60)
        assert [each.reboots for each in rollout.machines] == [1, 1, 1]

    asyncio.run(go())

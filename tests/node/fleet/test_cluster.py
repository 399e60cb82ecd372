"""Three machines in one process against real etcd: the whole of fleetd but systemd, which lives in memory.

Leases here live five seconds, the shortest that is allowed.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

from tests.etcd import Cluster
from tests.node.fleet.memory import MemorySystemd

from argosy.base.etcd import Etcd
from argosy.base.loop import SystemClock
from argosy.formats.fleet import UnitTarget
from argosy.formats.unit import Option, parse_unit
from argosy.node.fleet.config import Config
from argosy.node.fleet.daemon import Daemon
from argosy.node.fleet.registry import Registry

TTL_S = 5
PREFIX = "/_coreos.com/fleet/"
SERVICE = "[Service]\nExecStart=/bin/sleep inf\n"
ONE_A_MACHINE = SERVICE + "[X-Fleet]\nConflicts=hello@*.service\n"


def options(text: str) -> list[Option]:
    return list(parse_unit(text, source="test").options)


class Node:
    """A machine: its systemd and its /run stay when fleetd ends."""

    def __init__(self, name: str, etcd: Cluster, folder: Path) -> None:
        self.name = name
        self.machine_id = name * 16
        self.boot = 1
        self.systemd = MemorySystemd()
        self._etcd = etcd
        self._folder = folder / name
        self.daemon: Daemon | None = None
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        config = Config(
            etcd_servers=tuple(self._etcd.endpoints),
            etcd_request_timeout_s=1.0,
            agent_ttl_s=TTL_S,
            engine_reconcile_interval_s=0.2,
            units_directory=self._folder / "units",
        )
        self.daemon = Daemon(
            config,
            self.machine_id,
            "172.17.8.1",
            self.systemd,
            SystemClock(),
            boot=f"{self.name}-{self.boot}",
        )
        self.systemd.on_change = self.daemon.unit_changed
        self._stop = asyncio.Event()
        self._task = asyncio.create_task(self.daemon.run(self._stop))

    async def kill(self) -> None:
        """fleetd ends at once; nothing is said to anybody."""
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._task = None

    async def power_off(self) -> None:
        """The whole machine ends at once."""
        await self.kill()
        self.lose_run()

    def lose_run(self) -> None:
        """What only lives until the next boot is gone."""
        self.boot += 1
        self.systemd.reboot()
        for path in sorted(self._folder.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()

    async def stop(self, *, leave: bool) -> None:
        """fleetd ends in order."""
        assert self._task is not None and self.daemon is not None
        self._stop.set()
        await self._task
        if leave:
            await self.daemon.leave()
        await self.daemon.close()
        self._task = None

    @property
    def alive(self) -> bool:
        return self._task is not None


class World:
    """Nodes, and the registry as a client would use it."""

    def __init__(self, nodes: Sequence[Node], registry: Registry) -> None:
        self.nodes = nodes
        self.registry = registry

    async def submit(self, name: str, text: str = SERVICE, target: UnitTarget = UnitTarget.LAUNCHED) -> None:
        await self.registry.submit(name, options(text), target, is_global="Global=true" in text)

    def running(self) -> dict[str, list[str]]:
        """Where each unit runs."""
        found: dict[str, list[str]] = {}
        for node in self.nodes:
            for unit in node.systemd.running():
                found.setdefault(unit, []).append(node.name)
        return found

    def runs_once(self, *units: str) -> bool:
        """Whether each of the units, and no other, runs on exactly one machine."""
        running = self.running()
        return running.keys() == set(units) and all(len(nodes) == 1 for nodes in running.values())

    def starts(self) -> int:
        """How often anything was started."""
        return sum(1 for node in self.nodes for action, _ in node.systemd.log if action == "start")

    async def refused(self, unit: str) -> bool:
        """Whether the cluster knows that systemd refuses a unit."""
        return any(state.refusal for state in await self.registry.states_of(unit))

    async def states(self) -> dict[tuple[str, str], str]:
        keys = await self.registry.state_keys()
        return {
            (state.name, state.machine_id[:2]): state.active_state
            for state in await self.registry.states(keys)
        }


async def until(condition: Callable[[], object], timeout_s: float = 20.0) -> float:
    """Wait until `condition` holds; returns the seconds that took."""
    start_s = time.monotonic()
    while True:
        value = condition()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return time.monotonic() - start_s
        assert time.monotonic() - start_s < timeout_s, "it did not happen in time"
        await asyncio.sleep(0.05)


async def stays(condition: Callable[[], bool], for_s: float) -> None:
    """`condition` holds all the time."""
    end_s = time.monotonic() + for_s
    while time.monotonic() < end_s:
        assert condition()
        await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def world(etcd: Cluster, folder: Path, count: int = 3) -> AsyncIterator[World]:
    nodes = [Node(f"m{index}", etcd, folder) for index in range(count)]
    client = Etcd(etcd.endpoints, timeout_s=2)
    try:
        for node in nodes:
            node.start()
        found = World(nodes, Registry(client, PREFIX))
        await until(
            lambda: all(node.daemon and len(node.daemon.mirror.view.machines) == count for node in nodes)
        )
        yield found
    finally:
        for node in nodes:
            if node.alive:
                await node.kill()
        client.close()


def play(etcd: Cluster, folder: Path, story: Callable[[World], Awaitable[None]], count: int = 3) -> None:
    async def go() -> None:
        async with asyncio.timeout(150), world(etcd, folder, count) as found:
            await story(found)

    asyncio.run(go())


HELLOS = ("hello@1.service", "hello@2.service", "hello@3.service")


def test_three_of_a_kind_run_one_a_machine(etcd: Cluster, tmp_path: Path) -> None:
    async def story(world: World) -> None:
        for name in HELLOS:
            await world.submit(name, ONE_A_MACHINE)
        took_s = await until(lambda: world.runs_once(*HELLOS))
        print(f"three units ran after {took_s:.2f} s")
        assert {nodes[0] for nodes in world.running().values()} == {"m0", "m1", "m2"}
        await until(lambda: _all_active(world, 3))
        entities = await world.registry.units(HELLOS)
        assert {(entity.desired_state, entity.current_state) for entity in entities} == {
            ("launched", "launched")
        }

    play(etcd, tmp_path, story)


async def _all_active(world: World, count: int) -> bool:
    states = await world.states()
    return len(states) == count and set(states.values()) == {"active"}


def test_the_life_of_a_unit(etcd: Cluster, tmp_path: Path) -> None:
    async def story(world: World) -> None:
        async def current() -> str:
            unit = await world.registry.unit("slow.service")
            return unit.current_state if unit else "gone"

        async def reaches(state: str) -> bool:
            return await current() == state

        await world.submit("slow.service", target=UnitTarget.INACTIVE)
        assert await current() == "inactive"
        await world.registry.set_target("slow.service", UnitTarget.LOADED)
        await until(lambda: reaches("loaded"))
        assert world.running() == {}
        await world.registry.set_target("slow.service", UnitTarget.LAUNCHED)
        await until(lambda: reaches("launched"))
        (node,) = (node for node in world.nodes if node.systemd.running())
        # It counts as launched until it has really stopped.
        await world.registry.set_target("slow.service", UnitTarget.LOADED)
        await until(lambda: not world.running())
        await asyncio.sleep(0.3)
        assert await current() == "launched"
        node.systemd.finish()
        await until(lambda: reaches("loaded"))
        # Started again, and given new content: stopped, replaced, started, on the same machine.
        await world.registry.set_target("slow.service", UnitTarget.LAUNCHED)
        await until(lambda: world.runs_once("slow.service"))
        node.systemd.log.clear()
        await world.submit("slow.service", SERVICE + "Environment=A=1\n")
        await until(lambda: ("stop", "slow.service") in node.systemd.log)
        node.systemd.finish()
        await until(lambda: world.runs_once("slow.service"))
        assert [action for action, _ in node.systemd.log] == ["stop", "disable", "link", "start"]
        await until(lambda: reaches("launched"))
        await world.registry.destroy("slow.service")
        await until(lambda: not world.running())
        node.systemd.finish()
        await until(lambda: not _files(node))
        assert await current() == "gone"
        await until(lambda: _no_states(world))
        # The contents that nobody has any more are forgotten too.
        keys = world.registry.keys.folder("unit")
        await until(lambda: _empty(world, keys))

    play(etcd, tmp_path, story)


async def _no_states(world: World) -> bool:
    return not await world.states()


async def _empty(world: World, keys: tuple[str, str]) -> bool:
    from argosy.base.etcd import Range

    return not (await world.registry.etcd.range(Range(*keys))).items


def _files(node: Node) -> list[Path]:
    return list((node._folder / "units").iterdir())


def test_a_killed_machines_units_move_after_its_lease(etcd: Cluster, tmp_path: Path) -> None:
    async def story(world: World) -> None:
        names = [f"free{index}.service" for index in range(6)]
        for name in names:
            await world.submit(name)
        for name in HELLOS:
            await world.submit(name, ONE_A_MACHINE)
        await until(lambda: world.runs_once(*names, *HELLOS))
        await asyncio.sleep(TTL_S + 1)
        lost = set(world.nodes[1].systemd.running())
        stay = {unit: nodes for unit, nodes in world.running().items() if nodes != ["m1"]}
        await world.nodes[1].power_off()
        movable = [*names, *(unit for unit in HELLOS if unit not in lost)]
        took_s = await until(lambda: world.runs_once(*movable))
        print(f"{len(lost)} units lost; the others' machines ran them after {took_s:.1f} s")
        assert took_s < TTL_S * 3
        assert all(world.running()[unit] == nodes for unit, nodes in stay.items())
        # The machine comes back, empty: the unit that conflicts everywhere else runs there again.
        world.nodes[1].start()
        await until(lambda: world.runs_once(*names, *HELLOS))

    play(etcd, tmp_path, story)


def test_a_restarted_daemon_restarts_nothing(etcd: Cluster, tmp_path: Path) -> None:
    async def story(world: World) -> None:
        for name in HELLOS:
            await world.submit(name, ONE_A_MACHINE)
        await world.submit("job.service")
        await until(lambda: world.runs_once(*HELLOS, "job.service"))
        (where,) = (node for node in world.nodes if "job.service" in node.systemd.running())
        where.systemd.end("job.service", "inactive")
        await until(lambda: _is(world, "job.service", "inactive"))
        before = world.starts()
        for node in world.nodes:
            await node.stop(leave=False)
            node.start()
            await until(lambda node=node: node.daemon.membership.lease)  # type: ignore[misc, union-attr]
        await stays(lambda: world.runs_once(*HELLOS), 1.5)
        for node in world.nodes:
            await node.kill()
            node.start()
        await stays(lambda: world.runs_once(*HELLOS), TTL_S + 1)
        assert world.starts() == before
        assert (await world.states())["job.service", where.name] == "inactive"

    play(etcd, tmp_path, story)


async def _is(world: World, unit: str, state: str) -> bool:
    return state in {active for (name, _), active in (await world.states()).items() if name == unit}


def test_a_rebooted_machine_starts_what_is_scheduled_to_it(etcd: Cluster, tmp_path: Path) -> None:
    async def story(world: World) -> None:
        for name in HELLOS:
            await world.submit(name, ONE_A_MACHINE)
        await until(lambda: world.runs_once(*HELLOS))
        before = world.running()
        for node in world.nodes:
            await node.power_off()
        assert world.running() == {}
        for node in world.nodes:
            node.start()
        await until(lambda: world.running() == before)

    play(etcd, tmp_path, story)


def test_leaving_stops_the_units_and_then_they_move_at_once(etcd: Cluster, tmp_path: Path) -> None:
    async def story(world: World) -> None:
        names = [f"u{index}.service" for index in range(6)]
        for name in names:
            await world.submit(name)
        await until(lambda: world.runs_once(*names))
        await asyncio.sleep(TTL_S + 1)
        watched: list[bool] = []

        async def never_twice() -> None:
            while True:
                watched.append(all(len(nodes) == 1 for nodes in world.running().values()))
                await asyncio.sleep(0.005)

        watch = asyncio.create_task(never_twice())
        start_s = time.monotonic()
        await world.nodes[0].stop(leave=True)
        await until(lambda: world.runs_once(*names))
        took_s = time.monotonic() - start_s
        watch.cancel()
        print(f"left, and all units ran elsewhere, after {took_s:.2f} s")
        assert took_s < TTL_S
        assert all(watched)
        assert not world.nodes[0].systemd.running()
        assert not _files(world.nodes[0])

    play(etcd, tmp_path, story)


def test_an_etcd_that_stands_still_moves_and_stops_nothing(etcd: Cluster, tmp_path: Path) -> None:
    """The original's worst failure: after it, units ran twice and ended up on one machine."""

    async def story(world: World) -> None:
        names = [f"u{index}.service" for index in range(12)]
        for name in names:
            await world.submit(name)
        await until(lambda: world.runs_once(*names))
        await asyncio.sleep(TTL_S + 1)
        before, starts = world.running(), world.starts()
        etcd.members[0].signal(signal.SIGSTOP)
        try:
            await stays(lambda: world.running() == before, TTL_S * 2.5)
            # One fleetd is slow to come back, so that its machine is missed for a while.
            await world.nodes[2].kill()
        finally:
            etcd.members[0].signal(signal.SIGCONT)
        await stays(lambda: world.running() == before, TTL_S * 0.8)
        world.nodes[2].start()
        await stays(lambda: world.running() == before, TTL_S * 2)
        assert world.starts() == starts
        # And it still works: a machine that really fails is replaced.
        await world.submit("new.service")
        await until(lambda: world.runs_once(*names, "new.service"))
        await world.nodes[2].power_off()
        await until(lambda: world.runs_once(*names, "new.service"), TTL_S * 5)

    play(etcd, tmp_path, story)


def test_an_etcd_that_restarts_moves_and_stops_nothing(etcd: Cluster, tmp_path: Path) -> None:
    async def story(world: World) -> None:
        for name in HELLOS:
            await world.submit(name, ONE_A_MACHINE)
        await until(lambda: world.runs_once(*HELLOS))
        before, starts = world.running(), world.starts()
        for pause_s in (0.0, TTL_S * 1.5):
            etcd.members[0].kill()
            await stays(lambda: world.running() == before, pause_s)
            etcd.members[0].start()
            await asyncio.to_thread(etcd.wait_healthy)
            await stays(lambda: world.running() == before, TTL_S)
        assert world.starts() == starts
        await world.registry.destroy(HELLOS[0])
        await until(lambda: world.runs_once(*HELLOS[1:]))

    play(etcd, tmp_path, story)


def test_the_engine_that_leads_is_killed(etcd: Cluster, tmp_path: Path) -> None:
    async def story(world: World) -> None:
        leaders = [node for node in world.nodes if node.daemon and node.daemon.leadership.term]
        assert len(leaders) == 1
        await leaders[0].kill()
        await world.submit("u.service")
        took_s = await until(lambda: "u.service" in world.running())
        print(f"another engine scheduled after {took_s:.1f} s")
        assert (
            len([node for node in world.nodes if node.alive and node.daemon and node.daemon.leadership.term])
            == 1
        )

    play(etcd, tmp_path, story)


def test_an_engine_that_only_believes_to_lead_writes_nothing(etcd: Cluster, tmp_path: Path) -> None:
    async def story(world: World) -> None:
        (leader,) = (node for node in world.nodes if node.daemon and node.daemon.leadership.term)
        (false,) = (
            (node for node in world.nodes[:2] if node is not leader)
            if leader in world.nodes[:2]
            else (world.nodes[0],)
        )
        assert false.daemon is not None and leader.daemon is not None
        false.daemon.leadership.term = leader.daemon.leadership.term - 1
        names = [f"u{index}.service" for index in range(20)]
        for name in names:
            await world.submit(name)
        await until(lambda: world.runs_once(*names))
        places = world.running()
        await stays(lambda: world.running() == places, 1.0)
        assert all(
            sum(action == ("start", name) for node in world.nodes for action in node.systemd.log) == 1
            for name in names
        )

    play(etcd, tmp_path, story)


def test_global_units_run_everywhere_and_metadata_limits_them(etcd: Cluster, tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.submit("log.service", SERVICE + "[X-Fleet]\nGlobal=true\n")
        await until(lambda: sorted(world.running().get("log.service", [])) == ["m0", "m1", "m2"])
        await world.submit("ssd.service", SERVICE + "[X-Fleet]\nGlobal=true\nMachineMetadata=disk=ssd\n")
        await world.registry.set_metadata([("m1" * 16, "disk", "ssd")])
        await until(lambda: world.running().get("ssd.service") == ["m1"])
        await world.registry.set_metadata([("m1" * 16, "disk", "")])
        await until(lambda: "ssd.service" not in world.running())
        await world.registry.destroy("log.service")
        await until(lambda: world.running() == {})

    play(etcd, tmp_path, story)


def test_a_unit_that_systemd_refuses_does_not_hold_up_others(etcd: Cluster, tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.nodes[0].systemd.broken.add("a.service")
        await world.submit("a.service")
        await world.submit("b.service")
        await until(lambda: "b.service" in world.running())
        assert "a.service" not in world.running()
        world.nodes[0].systemd.broken.clear()
        await until(lambda: world.runs_once("a.service", "b.service"))

    play(etcd, tmp_path, story, count=1)


def test_a_quiet_cluster_writes_nothing(etcd: Cluster, tmp_path: Path) -> None:
    """The original wrote 15 times a second with 22 units. Here only leases are renewed, which is no write."""

    async def story(world: World) -> None:
        names = [f"u{index}.service" for index in range(22)]
        for name in names:
            await world.submit(name)
        await until(lambda: world.runs_once(*names))
        await until(lambda: _all_active(world, 22))
        await asyncio.sleep(1)
        before = await world.registry.etcd.put("/mark", b"")
        await asyncio.sleep(TTL_S)
        assert (await world.registry.etcd.put("/mark", b"")) == before + 1

    play(etcd, tmp_path, story)


def test_fleetd_starts_before_etcd(etcd: Cluster, tmp_path: Path) -> None:
    async def go() -> None:
        etcd.members[0].kill()
        node = Node("m0", etcd, tmp_path)
        node.start()
        await asyncio.sleep(1)
        assert node.daemon is not None and not node.daemon.membership.lease
        etcd.members[0].start()
        await until(lambda: node.daemon is not None and node.daemon.membership.lease)
        await node.stop(leave=True)

    asyncio.run(go())

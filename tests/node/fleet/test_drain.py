"""Drains against real etcd: what runs goes on running, whoever dies in the middle."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from tests.etcd import Cluster
from tests.node.fleet.test_cluster import SERVICE, TTL_S, Node, World, play, until

from argosy.formats.cordon import CordonEntity, MachineStanding, MoveRecord, Standing, Step
from argosy.node.fleet.drains import Drains
from argosy.node.fleet.jobs import SETTLE_S

TWO = SERVICE + "[X-Fleet]\nConflicts=two@*.service\n"
BOTH = ("two@1.service", "two@2.service")


def drains(node: Node) -> Drains:
    """What this machine's API rests on."""
    assert node.daemon is not None
    daemon = node.daemon
    return Drains(daemon.engine._registry, daemon.mirror, daemon.membership.may_evict)


async def drain(node: Node, by: str = "locksmith", asked: Node | None = None) -> None:
    """Drain a machine for its present boot."""
    wanted = CordonEntity(by, True, "a test", f"{node.name}-{node.boot}")
    assert await drains(asked or node).cordon(node.machine_id, by, wanted)


async def standing(node: Node, asked: Node | None = None) -> MachineStanding:
    (found,) = await drains(asked or node).standings(node.machine_id)
    return found


async def is_drained(node: Node, asked: Node | None = None) -> bool:
    return (await standing(node, asked)).standing is Standing.DRAINED


async def moves(world: World) -> dict[str, str]:
    """To which machine each unit moves, as etcd has it."""
    from argosy.base.decode import decode_json
    from argosy.base.etcd import Range

    folder = world.registry.keys.folder("move")
    found = (await world.registry.etcd.range(Range(*folder))).items
    return {
        item.key.decode().removeprefix(folder[0]): decode_json(
            item.value, MoveRecord, source="etcd"
        ).machine_id[:2]
        for item in found
    }


def place(world: World, unit: str) -> Node:
    """The machine on which the unit runs."""
    (name,) = world.running()[unit]
    return next(node for node in world.nodes if node.name == name)


def leader(world: World) -> Node:
    (found,) = (node for node in world.nodes if node.alive and node.daemon and node.daemon.leadership.term)
    return found


@contextlib.asynccontextmanager
async def always(world: World, units: tuple[str, ...]) -> AsyncIterator[None]:
    """All the time, each of these runs somewhere."""
    missed: list[str] = []

    async def watch() -> None:
        while True:
            missed.extend(unit for unit in units if unit not in world.running())
            await asyncio.sleep(0.005)

    task = asyncio.create_task(watch())
    try:
        yield
    finally:
        task.cancel()
    assert not missed, f"{len(missed)} looks, among them {missed[0]}"


async def reboot(node: Node) -> None:
    """In order: fleetd stops the units and leaves, /run is lost, and all comes back."""
    await node.stop(leave=True)
    node.lose_run()
    node.start()
    await until(lambda: node.daemon and node.daemon.membership.lease)


def test_two_of_a_kind_keep_running_while_three_machines_reboot_in_turn(
    etcd: Cluster, tmp_path: Path
) -> None:
    async def story(world: World) -> None:
        for name in BOTH:
            await world.submit(name, TWO)
        await world.submit("everywhere.service", SERVICE + "[X-Fleet]\nGlobal=true\n")
        await until(lambda: world.running().keys() == {*BOTH, "everywhere.service"})
        async with always(world, BOTH):
            for node in world.nodes:
                await drain(node)
                took_s = await until(lambda node=node: is_drained(node))  # type: ignore[misc]
                print(f"{node.name} was drained after {took_s:.1f} s")
                # What runs everywhere is no matter of drains.
                assert node.systemd.running() == {"everywhere.service"}
                await reboot(node)
                assert (await standing(node)).standing is Standing.OPEN
                await until(lambda node=node: "everywhere.service" in node.systemd.running())  # type: ignore[misc]
        assert await moves(world) == {}
        # The cordons of boots that have ended are forgotten.
        await until(lambda: _no_cordons(world))

    play(etcd, tmp_path, story)


def _no_cordons(world: World) -> bool:
    views = [node.daemon.mirror.view for node in world.nodes if node.daemon]
    return not any(cordons for view in views for cordons in view.cordons.values())


def test_the_steps_of_a_move_and_the_engine_dies_in_each(etcd: Cluster, tmp_path: Path) -> None:
    """The copy takes as long as the test wants: before each step goes on, the engine that leads is killed."""

    async def story(world: World) -> None:
        unit = "lazy.service"
        await world.submit(unit)
        await _started(world, unit)
        source = place(world, unit)
        async with always(world, (unit,)):
            await drain(source)
            target = await _target(world, unit)
            await asyncio.sleep(SETTLE_S + 1)
            assert "fleet_units_moving 1\n" in source.daemon.metrics()  # type: ignore[union-attr]
            assert "fleet_machines_closed 1\n" in source.daemon.metrics()  # type: ignore[union-attr]
            # It does not run there yet.
            (left,) = (await standing(source)).leaving
            assert (left.step, left.machine_id) == (Step.MOVES, target.machine_id)
            await _kill_leader(world)
            assert source.systemd.running() == {unit}
            target.systemd.finish()
            await asyncio.sleep(1)
            assert source.systemd.running() == target.systemd.running() == {unit}
            await _kill_leader(world)
            took_s = await until(lambda: world.running() == {unit: [target.name]})
            print(f"it had moved {took_s:.1f} s after the second engine died")
            await until(lambda: is_drained(source))
        assert await moves(world) == {}

    play(etcd, tmp_path, story)


async def _target(world: World, unit: str) -> Node:
    """The machine to which the unit is about to move, once it is starting there."""
    await until(lambda: moves(world))
    name = (await moves(world))[unit]
    (target,) = (node for node in world.nodes if node.name == name)
    await until(lambda: ("start", unit) in target.systemd.log)
    return target


async def _started(world: World, unit: str) -> None:
    """It is started somewhere, and its start is completed."""
    await until(lambda: any(("start", unit) in node.systemd.log for node in world.nodes))
    for node in world.nodes:
        node.systemd.finish()
    await until(lambda: _is_active(world, unit))


async def _is_active(world: World, unit: str) -> bool:
    return "active" in [state.active_state for state in await world.registry.states_of(unit)]


async def _kill_leader(world: World) -> None:
    """Its fleetd ends without a word and is started again, as systemd does; its units go on."""
    node = leader(world)
    await node.kill()
    node.start()
    await until(lambda: any(each.daemon and each.daemon.leadership.term for each in world.nodes))


def test_the_new_machine_dies_during_a_move(etcd: Cluster, tmp_path: Path) -> None:
    async def story(world: World) -> None:
        unit = "lazy.service"
        await world.submit(unit)
        await _started(world, unit)
        source = place(world, unit)
        await asyncio.sleep(TTL_S + 1)
        async with always(world, (unit,)):
            await drain(source)
            await until(lambda: moves(world))
            (first,) = (await moves(world)).values()
            lost = next(node for node in world.nodes if node.name == first)
            await lost.power_off()
            (third,) = (node for node in world.nodes if node not in (source, lost))

            async def goes_to_the_third() -> bool:
                return await moves(world) == {unit: third.name}

            await until(goes_to_the_third, TTL_S * 5)
            await until(lambda: ("start", unit) in third.systemd.log)
            third.systemd.finish()
            await until(lambda: world.running() == {unit: [third.name]})

    play(etcd, tmp_path, story)


def test_the_old_machine_dies_during_a_move(etcd: Cluster, tmp_path: Path) -> None:
    async def story(world: World) -> None:
        unit = "lazy.service"
        await world.submit(unit)
        await _started(world, unit)
        source = place(world, unit)
        await asyncio.sleep(TTL_S + 1)
        await drain(source)
        target = await _target(world, unit)
        await source.power_off()
        target.systemd.finish()
        await until(lambda: _is_placed(world, unit, target), TTL_S * 5)
        # It was started once, on the machine that it had been given.
        assert world.running() == {unit: [target.name]}
        assert [action for action, _ in target.systemd.log].count("start") == 1

    play(etcd, tmp_path, story)


async def _is_placed(world: World, unit: str, node: Node) -> bool:
    found = await world.registry.unit(unit)
    return found is not None and found.machine_id == node.machine_id


def test_a_drain_that_is_called_off(etcd: Cluster, tmp_path: Path) -> None:
    async def story(world: World) -> None:
        unit = "lazy.service"
        await world.submit(unit)
        await _started(world, unit)
        source = place(world, unit)
        async with always(world, (unit,)):
            await drain(source)
            target = await _target(world, unit)
            assert await drains(world.nodes[0]).uncordon(source.machine_id, "locksmith")
            await until(lambda: ("disable", unit) in target.systemd.log)
            assert await moves(world) == {}
        assert ("stop", unit) not in source.systemd.log

    play(etcd, tmp_path, story)


def test_etcd_restarts_during_a_drain(etcd: Cluster, tmp_path: Path) -> None:
    async def story(world: World) -> None:
        unit = "lazy.service"
        await world.submit(unit)
        await _started(world, unit)
        source = place(world, unit)
        async with always(world, (unit,)):
            await drain(source)
            target = await _target(world, unit)
            etcd.members[0].kill()
            target.systemd.finish()
            await asyncio.sleep(TTL_S * 1.5)
            etcd.members[0].start()
            await asyncio.to_thread(etcd.wait_healthy)
            await until(lambda: world.running() == {unit: [target.name]}, 60)

    play(etcd, tmp_path, story)


def test_a_machine_that_comes_back_takes_units_again_unless_a_person_said_otherwise(
    etcd: Cluster, tmp_path: Path
) -> None:
    async def story(world: World) -> None:
        one, other = world.nodes
        await drains(other).cordon(other.machine_id, "person", CordonEntity(reason="a new disk"))
        await drain(one, asked=other)
        await world.submit("a.service")
        await asyncio.sleep(1)
        assert world.running() == {}
        told = await other.daemon.engine.explain("a.service")  # type: ignore[union-attr]
        assert told is not None
        assert sorted(verdict.reason for verdict in told.machines) == [
            "it takes no new units: cordoned for person (a new disk)",
            "it takes no new units: draining for locksmith (a test)",
        ]
        # Nobody undoes anything: the boot that the drain was for is over.
        await reboot(one)
        await reboot(other)
        await until(lambda: world.running() == {"a.service": [one.name]})
        found = await standing(other, asked=one)
        assert (found.standing, [cordon.by for cordon in found.cordons]) == (Standing.CORDONED, ["person"])

    play(etcd, tmp_path, story, count=2)


def test_a_quiet_drained_machine_costs_no_writes(etcd: Cluster, tmp_path: Path) -> None:
    async def story(world: World) -> None:
        for name in (*BOTH, "two@3.service"):
            await world.submit(name, TWO)
        await until(lambda: world.runs_once(*BOTH, "two@3.service"))
        node = world.nodes[0]
        await drain(node)
        (stays,) = (await standing(node)).leaving
        assert stays.step is Step.STAYS
        assert "it conflicts with two@" in stays.reason
        before = await world.registry.etcd.put("/mark", b"")
        await drain(node)
        await asyncio.sleep(3)
        assert (await world.registry.etcd.put("/mark", b"")) == before + 1

    play(etcd, tmp_path, story)

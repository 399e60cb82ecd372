"""The engine's writes against real etcd: what has changed meanwhile makes them fail, never wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tests.etcd import Cluster

from argosy.base.etcd import Etcd
from argosy.base.loop import SystemClock
from argosy.formats.fleet import MachineRecord, UnitTarget
from argosy.formats.unit import Option, unit_hash
from argosy.node.fleet.engine import Engine, Leadership
from argosy.node.fleet.membership import Membership
from argosy.node.fleet.mirror import Mirror
from argosy.node.fleet.model import Place
from argosy.node.fleet.registry import Registry

OPTIONS = [Option("Service", "ExecStart", "/bin/true")]
OTHER = [Option("Service", "ExecStart", "/bin/false")]


class Parts:
    """An engine that leads, a machine, and a mirror that is read only when told to."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.mirror = Mirror(registry.etcd, registry.keys)
        record = MachineRecord("1.1.1.1")
        clock = SystemClock()
        self.membership = Membership(registry.etcd, registry.keys, "m1", record, ttl_s=30, clock=clock)
        self.leadership = Leadership(registry, "m1", ttl_s=10)
        self.engine = Engine(registry, self.mirror, self.membership, self.leadership, clock=clock)

    async def look(self) -> None:
        """Read all, without following the changes."""
        following = asyncio.create_task(self.mirror.follow())
        known = self.mirror.view.revision
        while self.mirror.view.revision in (0, known):
            await asyncio.sleep(0.01)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)

    async def place(self, name: str) -> str:
        unit = await self.registry.unit(name)
        return unit.machine_id if unit else "gone"


def with_parts(etcd: Cluster, story: Callable[[Parts], Awaitable[None]]) -> None:
    async def go() -> None:
        parts = Parts(Registry(Etcd(etcd.endpoints), "/_coreos.com/fleet/"))
        await parts.membership.keep()
        await parts.leadership.keep()
        assert parts.leadership.term
        await story(parts)

    asyncio.run(go())


def test_a_unit_that_changed_since_is_not_placed(etcd: Cluster) -> None:
    async def story(parts: Parts) -> None:
        await parts.registry.submit("a.service", OPTIONS, UnitTarget.LAUNCHED, is_global=False)
        await parts.look()
        await parts.registry.set_target("a.service", UnitTarget.INACTIVE)
        assert await parts.engine.step() is not None
        assert await parts.place("a.service") == ""
        await parts.look()
        await parts.engine.step()
        assert await parts.place("a.service") == ""
        await parts.registry.set_target("a.service", UnitTarget.LOADED)
        await parts.look()
        await parts.engine.step()
        assert await parts.place("a.service") == "m1"

    with_parts(etcd, story)


def test_a_machine_that_came_back_keeps_its_units_and_one_that_went_gets_none(etcd: Cluster) -> None:
    async def story(parts: Parts) -> None:
        engine, keys = parts.engine, parts.registry.keys
        await parts.registry.submit("a.service", OPTIONS, UnitTarget.LAUNCHED, is_global=False)
        await parts.registry.etcd.put(keys.schedule("a.service"), b'{"machine_id":"m2","reason":"test"}')
        await parts.look()
        move = Place("a.service", "m1", "m2", "test")
        await parts.registry.etcd.put(keys.machine("m2"), b"{}")
        assert not await engine._write([move], parts.mirror.view, parts.leadership.term)
        await parts.registry.etcd.delete(keys.machine("m2"))
        await parts.registry.etcd.delete(keys.machine("m1"))
        assert not await engine._write([move], parts.mirror.view, parts.leadership.term)
        await parts.registry.etcd.put(keys.machine("m1"), b"{}")
        assert await engine._write([move], parts.mirror.view, parts.leadership.term)

    with_parts(etcd, story)


def test_who_does_not_lead_any_more_writes_nothing(etcd: Cluster) -> None:
    async def story(parts: Parts) -> None:
        await parts.registry.submit("a.service", OPTIONS, UnitTarget.LAUNCHED, is_global=False)
        await parts.look()
        term = parts.leadership.term
        await parts.leadership.resign()
        rival = Leadership(parts.registry, "m2", ttl_s=10)
        await rival.keep()
        assert rival.term > term
        assert not await parts.engine._write(
            [Place("a.service", "m1", None, "test")], parts.mirror.view, term
        )

    with_parts(etcd, story)


def test_a_leader_whose_answer_was_lost_finds_that_it_leads(etcd: Cluster) -> None:
    async def story(parts: Parts) -> None:
        term, parts.leadership.term = parts.leadership.term, 0
        await parts.leadership.keep()
        assert parts.leadership.term == term

    with_parts(etcd, story)


def test_contents_are_forgotten_but_never_those_of_a_unit_just_submitted(etcd: Cluster) -> None:
    async def story(parts: Parts) -> None:
        await parts.registry.submit("a.service", OPTIONS, UnitTarget.INACTIVE, is_global=False)
        await parts.registry.destroy("a.service")
        await parts.look()
        view = parts.mirror.view.snapshot()
        await parts.registry.submit("b.service", OTHER, UnitTarget.INACTIVE, is_global=False)
        await parts.engine._forget_contents(view)
        left = await parts.registry.contents([unit_hash(OPTIONS), unit_hash(OTHER)])
        assert left == {unit_hash(OTHER): OTHER}

    with_parts(etcd, story)

"""All parts of fleetd on one machine, and how they wake each other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from argosy.base.errors import ArgosyError
from argosy.base.etcd import Etcd
from argosy.base.loop import Backoff, Clock, Loop
from argosy.base.notify import notify
from argosy.formats.fleet import VERSION, MachineRecord
from argosy.node.fleet.agent import Agent
from argosy.node.fleet.api import Api
from argosy.node.fleet.config import Config
from argosy.node.fleet.drainapi import DrainApi
from argosy.node.fleet.drains import Drains
from argosy.node.fleet.engine import Engine, Leadership
from argosy.node.fleet.membership import Membership
from argosy.node.fleet.mirror import Mirror
from argosy.node.fleet.model import short_id
from argosy.node.fleet.registry import Registry
from argosy.node.fleet.units import Units
from argosy.node.systemd import Systemd

log = logging.getLogger(__name__)

_LEAVE_S = 60.0
_FAREWELL_S = 6.0
_AGENT_TICK_S = 15.0
_LEAST_ENGINE_TTL_S = 5


class Daemon:
    """One fleetd. It ends when it is told to, or with the defect that ended one of its parts."""

    def __init__(
        self,
        config: Config,
        machine_id: str,
        public_ip: str,
        systemd: Systemd,
        clock: Clock,
        *,
        boot: str = "",
    ) -> None:
        ttl_s = config.agent_ttl_s
        self._etcd = Etcd(config.etcd_servers, timeout_s=config.etcd_request_timeout_s, tls=config.etcd_tls)
        self._registry = Registry(self._etcd, config.etcd_key_prefix)
        keys = self._registry.keys
        record = MachineRecord(public_ip, dict(config.metadata), VERSION, boot)
        self.mirror = Mirror(self._etcd, keys)
        self.membership = Membership(self._etcd, keys, machine_id, record, ttl_s=ttl_s, clock=clock)
        self.units = Units(config.units_directory.parent, systemd)
        self.agent = Agent(self._registry, self.mirror, self.membership, self.units, clock=clock)
        engine_ttl_s = max(_LEAST_ENGINE_TTL_S, ttl_s // 3)
        self.leadership = Leadership(self._registry, machine_id, ttl_s=engine_ttl_s)
        self.engine = Engine(self._registry, self.mirror, self.membership, self.leadership, clock=clock)
        drains = Drains(self._registry, self.mirror, self.membership.may_evict)
        self.api = Api(
            self._registry, self.engine.explain, self.metrics, DrainApi(drains), page_size=config.token_limit
        )

        soon = Backoff(most_s=ttl_s / 6)
        self._member_loop = Loop("membership", self.membership.keep, ttl_s, backoff=soon, clock=clock)
        self._mirror_loop = Loop("mirror", self.mirror.follow, 1.0, backoff=soon, clock=clock)
        self._agent_loop = Loop("agent", self.agent.step, _AGENT_TICK_S, backoff=soon, clock=clock)
        self._leader_loop = Loop("leadership", self.leadership.keep, engine_ttl_s, backoff=soon, clock=clock)
        interval_s = config.engine_reconcile_interval_s
        self._engine_loop = Loop("engine", self.engine.step, interval_s, backoff=soon, clock=clock)
        self._with_engine = not config.disable_engine
        self._unheard = False
        self.mirror.listen(self._changed)
        self.membership.listen(self._registered)

    def _changed(self) -> None:
        """The cluster's wishes, machines or leader have changed."""
        self._agent_loop.wake()
        self._engine_loop.wake()
        if self.mirror.view.leader is None:
            self._leader_loop.wake()

    def _registered(self) -> None:
        self._agent_loop.wake()
        notify(f"STATUS=machine {short_id(self.membership.machine_id)} is in the cluster")

    def unit_changed(self, path: str) -> None:
        """systemd tells that the unit with this D-Bus path has changed."""
        if self.agent.concerns(path):
            self._agent_loop.wake()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`. Raises the defect that ended a part."""
        loops = [self._member_loop, self._mirror_loop, self._agent_loop]
        if self._with_engine:
            loops += [self._leader_loop, self._engine_loop]
        stopping = asyncio.create_task(stop.wait())
        tasks: list[asyncio.Task[object]] = [asyncio.create_task(loop.run()) for loop in loops]
        try:
            done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await _cancelled([stopping, *tasks])

    async def leave(self) -> None:
        """Let another engine lead, stop this machine's units, then leave the cluster at once."""
        await self._last_words(self.leadership.resign)
        await self.agent.leave(_LEAVE_S)
        await self._last_words(self.membership.leave)

    async def close(self) -> None:
        """Let another engine lead, and close the connections."""
        await self._last_words(self.leadership.resign)
        self._etcd.close()

    async def _last_words(self, say: Callable[[], Awaitable[None]]) -> None:
        """Tell etcd something if it listens; it will find out by itself otherwise."""
        if self._unheard:
            return
        try:
            async with asyncio.timeout(_FAREWELL_S):
                await say()
        except (ArgosyError, TimeoutError) as error:
            self._unheard = True
            log.info("etcd does not listen any more: %s", error or "no answer")

    def metrics(self) -> str:
        """Numbers about this daemon, for Prometheus."""
        view = self.mirror.view
        rows = [
            (
                "fleet_engine_leader",
                "1 if this machine's engine leads the cluster",
                int(self.leadership.term > 0),
            ),
            ("fleet_machines", "machines in the cluster", len(view.machines)),
            ("fleet_units", "submitted units", len(view.jobs)),
            ("fleet_units_scheduled", "units that have a machine", len(view.schedule)),
            (
                "fleet_units_waiting",
                "units that no machine can take, as the leader sees it",
                self.engine.waiting(),
            ),
            ("fleet_units_moving", "units that are about to move to another machine", len(view.moves)),
            (
                "fleet_machines_closed",
                "machines that take no new units",
                sum(1 for machine_id in view.machines if view.cordons_of(machine_id)),
            ),
            ("fleet_registry_revision", "etcd revision that this daemon has seen", view.revision),
        ]
        return "".join(
            f"# HELP {name} {text}\n# TYPE {name} gauge\n{name} {value}\n" for name, text, value in rows
        )


async def _cancelled(tasks: Sequence[asyncio.Task[object]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

"""The edge: writes cordons to etcd, and tells what became of them, as this daemon sees it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from argosy.base.errors import ArgosyError
from argosy.base.etcd import UnavailableError
from argosy.formats.cordon import CordonEntity, CordonRecord, Leaving, MachineStanding
from argosy.node.fleet.jobs import Jobs, idle, read_states
from argosy.node.fleet.mirror import Mirror, View
from argosy.node.fleet.model import Progress
from argosy.node.fleet.registry import Registry
from argosy.node.fleet.schedule import plan
from argosy.node.fleet.standing import describe, leaving

_SEEN_WITHIN_S = 3.0
_LOOK_S = 0.02


class Drains:
    """Cordons machines, and tells how far they are; every daemon can."""

    def __init__(self, registry: Registry, mirror: Mirror, may_evict: Callable[[], bool]) -> None:
        self._registry = registry
        self._mirror = mirror
        self._may_evict = may_evict
        self._jobs: Jobs | None = None

    async def cordon(self, machine_id: str, by: str, wanted: CordonEntity) -> bool:
        """Cordon a machine in the name of `by`; False if there is no such machine."""
        view = self._mirror.view
        if machine_id not in view.machines and machine_id not in view.cordons:
            return False
        before = view.cordons_of(machine_id).get(by)
        since_s = before.since_s if before is not None and before.drain == wanted.drain else int(time.time())
        record = CordonRecord(wanted.drain, wanted.reason, wanted.boot, since_s)
        if record != before:
            await self._see(await self._registry.set_cordon(machine_id, by, record))
        return True

    async def uncordon(self, machine_id: str, by: str | None) -> bool:
        """Undo that, whoever it was if `by` is None; False if there is no such machine."""
        view = self._mirror.view
        if machine_id not in view.machines and machine_id not in view.cordons:
            return False
        known = view.cordons.get(machine_id, {})
        for each in list(known) if by is None else [by]:
            if each in known:
                await self._see(await self._registry.drop_cordon(machine_id, each))
        return True

    async def standings(self, machine_id: str | None = None) -> list[MachineStanding]:
        """All machines, or one; those that are away as long as they have cordons."""
        view = self._mirror.view.snapshot()
        if not view.revision:
            raise UnavailableError("etcd has not answered yet", sent=False)
        known = view.machines.keys() | {each for each, cordons in view.cordons.items() if cordons}
        chosen = sorted(each for each in known if machine_id in (None, each))
        left = await self._leaving(view)
        found = []
        for each in chosen:
            record = view.machines[each].value if each in view.machines else None
            found.append(
                describe(
                    each,
                    view.cordons_of(each),
                    left.get(each, ()),
                    present=record is not None,
                    address=record.public_ip if record else "",
                    boot=record.boot if record else "",
                )
            )
        return found

    async def _leaving(self, view: View) -> dict[str, list[Leaving]]:
        draining = [each for each in view.machines if view.drains(each)]
        if not draining:
            self._jobs = None
            return {}
        if self._jobs is None:
            self._jobs = Jobs(self._registry)
        jobs = await self._jobs.read(view)
        wanted = {(unit, each) for each in draining for unit in await self._registry.units_on(each)}
        wanted |= {(unit, move.value.machine_id) for unit, move in view.moves.items()}
        states = await read_states(self._registry, view, wanted)
        progress = Progress(idle=idle(view, states))
        decisions = plan(jobs, view.present(), may_evict=self._may_evict(), progress=progress)
        moves = {unit: move.value for unit, move in view.moves.items()}
        return {each: leaving(each, jobs, decisions, states, moves) for each in draining}

    async def _see(self, revision: int) -> None:
        """Wait until our copy has a change: what is told then is not older. Raises `ArgosyError`."""
        deadline_s = time.monotonic() + _SEEN_WITHIN_S
        while self._mirror.view.revision < revision:
            if time.monotonic() > deadline_s:
                raise ArgosyError("etcd has taken the change, but does not tell of it", hint="ask again")
            await asyncio.sleep(_LOOK_S)

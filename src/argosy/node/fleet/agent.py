"""The agent: makes this machine run what is scheduled to it, and tells the cluster how its units are.

It acts on the last known wishes of the cluster: while etcd is away, units stay as they are.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from argosy.base.errors import ArgosyError, InputError
from argosy.base.loop import Backoff, Clock
from argosy.formats.fleet import JobRecord, StateRecord, UnitTarget
from argosy.formats.requirements import requirements
from argosy.formats.unit import Option, parse_name
from argosy.node.fleet.membership import Membership
from argosy.node.fleet.mirror import Mirror, View
from argosy.node.fleet.model import Action, Desired, Job, Load, Observed
from argosy.node.fleet.placement import globals_here
from argosy.node.fleet.reconcile import farewell, plan
from argosy.node.fleet.registry import Registry
from argosy.node.fleet.units import Units
from argosy.node.systemd import RefusedError, paths_of

log = logging.getLogger(__name__)

_RETRY = Backoff(first_s=1, most_s=60)
_POLL_S = 0.25


@dataclass(frozen=True, slots=True)
class _Failure:
    """What went wrong with a unit that was wanted so; `refusal` is what systemd said, if it was systemd."""

    wanted: Desired | None
    count: int
    due_s: float
    refusal: str


class Agent:
    """Observes, plans, performs, and publishes."""

    def __init__(
        self, registry: Registry, mirror: Mirror, membership: Membership, units: Units, *, clock: Clock
    ) -> None:
        self._registry = registry
        self._mirror = mirror
        self._membership = membership
        self._units = units
        self._clock = clock
        self._contents: dict[str, list[Option]] = {}
        self._published: dict[str, StateRecord] | None = None
        self._failures: dict[str, _Failure] = {}
        self._paths: set[str] = set()
        membership.listen(self._forget_published)

    def concerns(self, path: str) -> bool:
        """Whether the unit with this D-Bus path is one of ours."""
        return path in self._paths

    async def step(self) -> float | None:
        """One pass; returns the seconds after which a failed action is due again."""
        view = self._mirror.view.snapshot()
        observed = await self._units.observe()
        if view.revision and self._membership.machine_id in view.machines:
            observed = await self._reconcile(view, observed)
        self._paths = paths_of(observed)
        if self._membership.lease:
            await self._publish(observed)
        return self._next_retry_s()

    async def leave(self, patience_s: float) -> None:
        """Stop and remove all units, for at most `patience_s`."""
        deadline_s = self._clock.now() + patience_s
        while self._clock.now() < deadline_s:
            try:
                observed = await self._units.observe()
                if not observed:
                    return
                await self._units.perform(farewell(observed), {})
            except ArgosyError as error:
                log.warning("cannot stop the units: %s", error)
            await self._clock.wait(asyncio.Event(), _POLL_S)
        log.warning("some units have not stopped within %g s", patience_s)

    async def _reconcile(self, view: View, observed: dict[str, Observed]) -> dict[str, Observed]:
        desired = await self._desired(view)
        pending = plan(desired, observed)
        self._forget_failures(desired, {action.unit for action in pending})
        actions = [action for action in pending if self._is_due(action.unit)]
        if not actions:
            return observed
        loads = {action.unit: desired[action.unit].hash for action in actions if isinstance(action, Load)}
        contents = await self._read_contents(loads.values())
        missing = {unit for unit, content_hash in loads.items() if content_hash not in contents}
        doable = [action for action in actions if action.unit not in missing]
        doable_contents = {unit: contents[loads[unit]] for unit in loads if unit not in missing}
        failed = await self._units.perform(doable, doable_contents)
        self._remember_failures(desired, doable, failed)
        return await self._units.observe()

    def _forget_failures(self, desired: Mapping[str, Desired], pending: Iterable[str]) -> None:
        """One that is wanted otherwise now, or of which nothing is left to do, is no failure any more."""
        units = set(pending)
        self._failures = {
            unit: failure
            for unit, failure in self._failures.items()
            if unit in units and failure.wanted == desired.get(unit)
        }

    def _remember_failures(
        self, desired: Mapping[str, Desired], actions: Sequence[Action], failed: Mapping[str, ArgosyError]
    ) -> None:
        for action in actions:
            if action.unit not in failed:
                self._failures.pop(action.unit, None)
        for unit, error in failed.items():
            before = self._failures.get(unit)
            count = before.count + 1 if before else 1
            due_s = self._clock.now() + _RETRY.pause_s(count, self._clock.chance())
            refusal = error.message if isinstance(error, RefusedError) else ""
            self._failures[unit] = _Failure(desired.get(unit), count, due_s, refusal)

    def _is_due(self, unit: str) -> bool:
        failure = self._failures.get(unit)
        return failure is None or failure.due_s <= self._clock.now()

    def _next_retry_s(self) -> float | None:
        now_s = self._clock.now()
        return min((max(failure.due_s - now_s, 0.1) for failure in self._failures.values()), default=None)

    async def _desired(self, view: View) -> dict[str, Desired]:
        """What belongs on this machine: what is scheduled or moves here, and global units that can run."""
        scheduled = {
            name: stored.value
            for name, stored in view.jobs.items()
            if not stored.value.is_global and self._belongs_here(view, name)
        }
        candidates = {name: stored.value for name, stored in view.jobs.items() if stored.value.is_global}
        wanted = dict(scheduled)
        if any(job.target is not UnitTarget.INACTIVE for job in candidates.values()):
            wanted |= await self._runnable_globals(view, scheduled, candidates)
        hashes = {job.hash for job in [*wanted.values(), *candidates.values()]}
        self._contents = {key: options for key, options in self._contents.items() if key in hashes}
        return {name: Desired(job.hash, job.target) for name, job in wanted.items()}

    def _belongs_here(self, view: View, name: str) -> bool:
        place, move = view.schedule.get(name), view.moves.get(name)
        machine_id = self._membership.machine_id
        if place is None:
            return False
        return place.value.machine_id == machine_id or (
            move is not None and move.value.machine_id == machine_id
        )

    async def _runnable_globals(
        self, view: View, scheduled: Mapping[str, JobRecord], candidates: Mapping[str, JobRecord]
    ) -> dict[str, JobRecord]:
        active = {name: job for name, job in candidates.items() if job.target is not UnitTarget.INACTIVE}
        contents = await self._read_contents({job.hash for job in [*scheduled.values(), *active.values()]})
        here = [_job(name, job, contents) for name, job in scheduled.items()]
        everywhere = [_job(name, job, contents) for name, job in active.items()]
        obstacles = globals_here(
            view.machine(self._membership.machine_id),
            [job for job in here if job is not None],
            [job for job in everywhere if job is not None],
        )
        return {name: active[name] for name, obstacle in obstacles.items() if obstacle is None}

    async def _read_contents(self, hashes: Iterable[str]) -> dict[str, list[Option]]:
        """Contents by hash; those of units that belong here are kept."""
        missing = set(hashes) - self._contents.keys()
        if missing:
            self._contents |= await self._registry.contents(missing)
        return self._contents

    async def _publish(self, observed: Mapping[str, Observed]) -> None:
        """Write the states that differ from what the cluster knows."""
        machine_id = self._membership.machine_id
        states = {
            name: StateRecord(
                seen.hash, seen.load, seen.active, seen.sub, seen.state, self._refusal(name, seen)
            )
            for name, seen in observed.items()
        }
        if self._published is None:
            known = {name for name, place in await self._registry.state_keys() if place == machine_id}
            changed, gone = states, known - states.keys()
        else:
            changed = {name: state for name, state in states.items() if self._published.get(name) != state}
            gone = self._published.keys() - states.keys()
        if changed or gone:
            await self._registry.publish(machine_id, self._membership.lease, changed, gone)
        self._published = states

    def _refusal(self, unit: str, seen: Observed) -> str:
        failure = self._failures.get(unit)
        return failure.refusal if failure is not None and failure.refusal else seen.refusal

    def _forget_published(self) -> None:
        """The machine has a new lease: states written with the old one go with it."""
        self._published = None


def _job(name: str, record: JobRecord, contents: Mapping[str, list[Option]]) -> Job | None:
    try:
        return Job(name, record.target, requirements(parse_name(name), contents[record.hash]))
    except (InputError, KeyError) as error:
        log.error("%s is left out: %s", name, error)
        return None

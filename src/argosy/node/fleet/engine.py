"""The engine: one leads, by a lease; it plans where units run and writes that down.

Each write compares the leader's key, the unit and its old place, and whether the machines concerned are
there: what has changed meanwhile makes the write fail, never wrong, and the next pass plans anew.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from argosy.base.decode import encode_json
from argosy.base.etcd import Compare, Delete, LeaseNotFoundError, Operation, Put, Range
from argosy.base.loop import Clock
from argosy.formats.cordon import MoveRecord
from argosy.formats.fleet import Explanation, ScheduleRecord, UnitTarget
from argosy.node.fleet.cordons import is_over
from argosy.node.fleet.jobs import Jobs, Watcher, concerned, idle, read_states
from argosy.node.fleet.membership import Membership
from argosy.node.fleet.mirror import Mirror, View
from argosy.node.fleet.model import (
    Cancel,
    Change,
    Decision,
    Move,
    Place,
    Progress,
    Stay,
    Wait,
    Withdraw,
    short_id,
)
from argosy.node.fleet.registry import Registry
from argosy.node.fleet.schedule import explain, plan

log = logging.getLogger(__name__)

_DECISIONS_PER_WRITE = 25
_MOVING_S = 0.5
_RENEWALS = 3
_RETRY_S = 0.2


class Leadership:
    """One of the cluster's engines leads: whoever wrote the leader's key, as long as its lease lives."""

    def __init__(self, registry: Registry, machine_id: str, *, ttl_s: int) -> None:
        self._etcd = registry.etcd
        self._key = registry.keys.leader
        self._machine_id = machine_id
        self._ttl_s = ttl_s
        self._lease = 0
        self.term = 0
        """The revision at which we became leader; 0 if we are not."""

    async def keep(self) -> float:
        """Become leader if nobody is, stay it if we are; returns the seconds until the next try is due."""
        try:
            if self.term:
                await self._etcd.keep_alive(self._lease)
            else:
                await self._campaign()
        except LeaseNotFoundError:
            log.warning("no longer the leading engine: the lease has ended")
            self._lease, self.term = 0, 0
            return 0.0
        return self._ttl_s / _RENEWALS

    async def resign(self) -> None:
        """Let another engine lead at once."""
        self.term = 0
        if self._lease:
            await self._etcd.revoke(self._lease)
            self._lease = 0

    async def _campaign(self) -> None:
        leader = await self._etcd.get(self._key)
        if leader is not None:
            # Our own, if the answer to our last try was lost.
            self.term = leader.create_revision if self._lease and leader.lease == self._lease else 0
            return
        if not self._lease:
            self._lease = await self._etcd.grant(self._ttl_s)
        outcome = await self._etcd.txn(
            [Compare(self._key, "version", 0)], [Put(self._key, self._machine_id.encode(), self._lease)]
        )
        if outcome.succeeded:
            self.term = outcome.revision
            log.info("leading engine")
        else:
            await self.resign()


class Engine:
    """Plans and writes, while it leads."""

    def __init__(
        self,
        registry: Registry,
        mirror: Mirror,
        membership: Membership,
        leadership: Leadership,
        *,
        clock: Clock,
    ) -> None:
        self._registry = registry
        self._mirror = mirror
        self._membership = membership
        self._leadership = leadership
        self._jobs = Jobs(registry)
        self._watcher = Watcher(registry, clock)
        self._waiting: dict[str, str] = {}
        self._staying: dict[str, str] = {}
        self._done: tuple[int, int, bool, Progress] | None = None
        self._written = 0
        self._hashes: set[str] = set()

    async def step(self) -> float | None:
        """One pass: nothing if we do not lead, or nothing has changed since the last one."""
        view, term = self._mirror.view.snapshot(), self._leadership.term
        if not term:
            self._jobs, self._done, self._waiting, self._staying = Jobs(self._registry), None, {}, {}
            self._watcher.forget()
            return None
        may_evict = self._membership.may_evict()
        if not view.revision or view.revision < self._written:
            return None
        progress = await self._watcher.look(view)
        pause_s = _MOVING_S if view.moves else None
        situation = (term, view.revision, may_evict, progress)
        if situation == self._done:
            return pause_s
        jobs = await self._jobs.read(view)
        decisions = plan(jobs, view.present(), may_evict=may_evict, progress=progress)
        self._report(decisions)
        changes = [item for item in decisions if not isinstance(item, Wait | Stay)]
        if not await self._write(changes, view, term):
            return _RETRY_S
        await self._forget_contents(view)
        await self._forget_cordons(view)
        self._done = situation
        return pause_s

    async def explain(self, name: str) -> Explanation | None:
        """Why a unit is where it is; every daemon can tell. None if there is no such unit."""
        view = self._mirror.view.snapshot()
        if name not in view.jobs:
            return None
        jobs = await Jobs(self._registry).read(view)
        states = await read_states(self._registry, view, concerned(view))
        progress = Progress(idle=idle(view, states))
        may_evict = self._membership.may_evict()
        found = explain(name, jobs, view.present(), may_evict=may_evict, progress=progress)
        for state in await self._registry.states_of(name):
            if state.refusal and state.hash == view.jobs[name].value.hash:
                found.refusals[state.machine_id] = state.refusal
        return found

    def waiting(self) -> int:
        """How many units no machine could take in the last pass."""
        return len(self._waiting)

    def _report(self, decisions: Iterable[Decision]) -> None:
        waiting = {item.unit: item.reason for item in decisions if isinstance(item, Wait)}
        staying = {item.unit: item.reason for item in decisions if isinstance(item, Stay)}
        for unit, reason in waiting.items():
            if self._waiting.get(unit) != reason:
                log.warning("cannot schedule %s: %s", unit, reason)
        for unit, reason in staying.items():
            if self._staying.get(unit) != reason:
                log.warning("%s has to stay where it is: %s", unit, reason)
        self._waiting, self._staying = waiting, staying

    async def _write(self, decisions: Sequence[Change], view: View, term: int) -> bool:
        for start in range(0, len(decisions), _DECISIONS_PER_WRITE):
            batch = decisions[start : start + _DECISIONS_PER_WRITE]
            conditions = {Compare(self._registry.keys.leader, "create", term)}
            writes: list[Operation] = []
            for decision in batch:
                conditions |= self._conditions(decision, view)
                writes += self._operations(decision, view)
            outcome = await self._registry.etcd.txn(sorted(conditions, key=repr), list(dict.fromkeys(writes)))
            if not outcome.succeeded:
                log.info("the cluster changed while we planned; planning anew")
                return False
            self._written = outcome.revision
            for decision in batch:
                _log_decision(decision)
        return True

    def _conditions(self, decision: Change, view: View) -> set[Compare]:
        keys, unit = self._registry.keys, decision.unit
        job, place, move = view.jobs[unit], view.schedule.get(unit), view.moves.get(unit)
        found = {
            Compare(keys.job(unit), "mod", job.revision),
            Compare(keys.schedule(unit), "mod", place.revision if place else 0),
            Compare(keys.move(unit), "mod", move.revision if move else 0),
        }
        if isinstance(decision, Place | Withdraw):
            evicted = decision.previous if job.value.target is not UnitTarget.INACTIVE else None
            if evicted is not None and evicted not in view.machines:
                # The machine must still be gone.
                found.add(Compare(keys.machine(evicted), "version", 0))
        if isinstance(decision, Place | Move):
            found.add(Compare(keys.machine(decision.machine_id), "version", 0, "GREATER"))
        return found

    def _operations(self, decision: Change, view: View) -> list[Operation]:
        keys, unit = self._registry.keys, decision.unit
        if isinstance(decision, Move):
            record = MoveRecord(decision.machine_id, decision.source, decision.reason)
            return [Put(keys.move(unit), encode_json(record))]
        writes: list[Operation] = [Delete(keys.move(unit))] if unit in view.moves else []
        if isinstance(decision, Withdraw):
            writes.append(Delete(keys.schedule(unit)))
        elif isinstance(decision, Place):
            place = ScheduleRecord(decision.machine_id, decision.reason)
            writes.append(Put(keys.schedule(unit), encode_json(place)))
        return writes

    async def _forget_cordons(self, view: View) -> None:
        """Remove the cordons of boots that have ended."""
        for machine_id, cordons in view.cordons.items():
            machine = view.machines.get(machine_id)
            for by, cordon in cordons.items():
                if machine is not None and is_over(cordon.value, machine.value.boot):
                    key = self._registry.keys.cordon(machine_id, by)
                    await self._registry.etcd.txn([Compare(key, "mod", cordon.revision)], [Delete(key)])
                    log.info("%s is in another boot: the cordon for %s ends", short_id(machine_id), by)

    async def _forget_contents(self, view: View) -> None:
        """Remove contents that no unit has any more. One that is submitted again right now stays."""
        hashes = {stored.value.hash for stored in view.jobs.values()}
        if hashes >= self._hashes and self._done is not None:
            self._hashes = hashes
            return
        keys = self._registry.keys
        found = await self._registry.etcd.range(Range(*keys.folder("unit"), keys_only=True))
        for item in found.items:
            key = item.key.decode()
            if key.rpartition("/")[2] not in hashes and item.mod_revision <= view.revision:
                await self._registry.etcd.txn([Compare(key, "mod", item.mod_revision)], [Delete(key)])
        self._hashes = hashes


def _log_decision(decision: Change) -> None:
    match decision:
        case Place(unit, machine_id, previous, reason):
            log.info(
                "%s %s to %s: %s", "move" if previous else "schedule", unit, short_id(machine_id), reason
            )
        case Withdraw(unit, previous, reason):
            log.info("unschedule %s from %s: %s", unit, short_id(previous), reason)
        case Move(unit, machine_id, _, reason):
            log.info("start %s on %s before it moves there: %s", unit, short_id(machine_id), reason)
        case Cancel(unit, machine_id, reason):
            log.info("%s does not move to %s: %s", unit, short_id(machine_id), reason)

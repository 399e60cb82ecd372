"""The engine: one leads, by a lease; it plans where units run and writes that down.

Each write compares the leader's key, the unit and its old place, and whether the machines concerned are
there: what has changed meanwhile makes the write fail, never wrong, and the next pass plans anew.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from argosy.base.decode import encode_json
from argosy.base.errors import InputError
from argosy.base.etcd import Compare, Delete, LeaseNotFoundError, Operation, Put, Range
from argosy.formats.fleet import Explanation, ScheduleRecord, UnitTarget
from argosy.formats.requirements import Requirements, requirements
from argosy.formats.unit import Option, parse_name
from argosy.node.fleet.membership import Membership
from argosy.node.fleet.mirror import Mirror, View
from argosy.node.fleet.model import Decision, Job, Place, Wait, Withdraw, short_id
from argosy.node.fleet.registry import Registry
from argosy.node.fleet.schedule import explain, plan

log = logging.getLogger(__name__)

_DECISIONS_PER_WRITE = 25
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


class Jobs:
    """The submitted units with their requirements; contents are read once per unit and hash."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known: dict[tuple[str, str], Requirements | None] = {}

    async def read(self, view: View) -> list[Job]:
        """All units of the view. One whose content cannot be understood is left out, and logged once."""
        wanted = {(name, stored.value.hash) for name, stored in view.jobs.items()}
        missing = wanted - self._known.keys()
        if missing:
            contents = await self._registry.contents({content_hash for _, content_hash in missing})
            for name, content_hash in missing:
                if content_hash in contents:
                    self._known[name, content_hash] = _requirements(name, contents[content_hash])
        self._known = {key: value for key, value in self._known.items() if key in wanted}
        jobs = []
        for name, stored in view.jobs.items():
            found = self._known.get((name, stored.value.hash))
            if found is not None:
                place = view.schedule.get(name)
                jobs.append(Job(name, stored.value.target, found, place.value.machine_id if place else None))
        return jobs


def _requirements(name: str, options: Sequence[Option]) -> Requirements | None:
    try:
        return requirements(parse_name(name), options)
    except InputError as error:
        log.error("%s cannot be scheduled: %s", name, error)
        return None


class Engine:
    """Plans and writes, while it leads."""

    def __init__(
        self, registry: Registry, mirror: Mirror, membership: Membership, leadership: Leadership
    ) -> None:
        self._registry = registry
        self._mirror = mirror
        self._membership = membership
        self._leadership = leadership
        self._jobs = Jobs(registry)
        self._waiting: dict[str, str] = {}
        self._done: tuple[int, int, bool] | None = None
        self._written = 0
        self._hashes: set[str] = set()

    async def step(self) -> float | None:
        """One pass: nothing if we do not lead, or nothing has changed since the last one."""
        view, term = self._mirror.view.snapshot(), self._leadership.term
        if not term:
            self._jobs, self._done, self._waiting = Jobs(self._registry), None, {}
            return None
        may_evict = self._membership.may_evict()
        situation = (term, view.revision, may_evict)
        if not view.revision or view.revision < self._written or situation == self._done:
            return None
        decisions = plan(await self._jobs.read(view), view.present(), may_evict=may_evict)
        self._report(decisions)
        if not await self._write([item for item in decisions if not isinstance(item, Wait)], view, term):
            return _RETRY_S
        await self._forget_contents(view)
        self._done = situation
        return None

    async def explain(self, name: str) -> Explanation | None:
        """Why a unit is where it is; every daemon can tell. None if there is no such unit."""
        view = self._mirror.view.snapshot()
        if name not in view.jobs:
            return None
        jobs = await Jobs(self._registry).read(view)
        found = explain(name, jobs, view.present(), may_evict=self._membership.may_evict())
        for state in await self._registry.states_of(name):
            if state.refusal and state.hash == view.jobs[name].value.hash:
                found.refusals[state.machine_id] = state.refusal
        return found

    def waiting(self) -> int:
        """How many units no machine could take in the last pass."""
        return len(self._waiting)

    def _report(self, decisions: Iterable[Decision]) -> None:
        waiting = {item.unit: item.reason for item in decisions if isinstance(item, Wait)}
        for unit, reason in waiting.items():
            if self._waiting.get(unit) != reason:
                log.warning("cannot schedule %s: %s", unit, reason)
        self._waiting = waiting

    async def _write(self, decisions: Sequence[Place | Withdraw], view: View, term: int) -> bool:
        for start in range(0, len(decisions), _DECISIONS_PER_WRITE):
            batch = decisions[start : start + _DECISIONS_PER_WRITE]
            conditions = {Compare(self._registry.keys.leader, "create", term)}
            writes: list[Operation] = []
            for decision in batch:
                conditions |= self._conditions(decision, view)
                writes.append(self._operation(decision))
            outcome = await self._registry.etcd.txn(sorted(conditions, key=repr), writes)
            if not outcome.succeeded:
                log.info("the cluster changed while we planned; planning anew")
                return False
            self._written = outcome.revision
            for decision in batch:
                _log_decision(decision)
        return True

    def _conditions(self, decision: Place | Withdraw, view: View) -> set[Compare]:
        keys = self._registry.keys
        job, place = view.jobs[decision.unit], view.schedule.get(decision.unit)
        found = {
            Compare(keys.job(decision.unit), "mod", job.revision),
            Compare(keys.schedule(decision.unit), "mod", place.revision if place else 0),
        }
        evicted = decision.previous if job.value.target is not UnitTarget.INACTIVE else None
        if evicted is not None and evicted not in view.machines:
            # The machine must still be gone.
            found.add(Compare(keys.machine(evicted), "version", 0))
        if isinstance(decision, Place):
            found.add(Compare(keys.machine(decision.machine_id), "version", 0, "GREATER"))
        return found

    def _operation(self, decision: Place | Withdraw) -> Operation:
        key = self._registry.keys.schedule(decision.unit)
        if isinstance(decision, Withdraw):
            return Delete(key)
        return Put(key, encode_json(ScheduleRecord(decision.machine_id, decision.reason)))

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


def _log_decision(decision: Place | Withdraw) -> None:
    if isinstance(decision, Place):
        verb = "move" if decision.previous else "schedule"
        log.info("%s %s to %s: %s", verb, decision.unit, short_id(decision.machine_id), decision.reason)
    else:
        log.info("unschedule %s from %s: %s", decision.unit, short_id(decision.previous), decision.reason)

"""Which units are on which machine, and whether one more fits: the book-keeping of the scheduler.

All answers cost about as much as the patterns that concern one unit, not as the number of units. Where units
are only added, a machine that cannot take a unit never can again; `least_loaded` relies on that.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heappop, heapreplace

from argosy.formats.requirements import Requirements, compile_glob
from argosy.node.fleet.model import Job, Machine, short_id
from argosy.node.fleet.patterns import PatternIndex


class Placement:
    """Units on machines. `jobs` are all units that will ever be asked for; `machines` are those present."""

    def __init__(self, jobs: Sequence[Job], machines: Mapping[str, Machine]) -> None:
        self.machines = machines
        self.where: dict[str, str] = {}
        self.load: dict[str, int] = dict.fromkeys(machines, 0)
        self._index = PatternIndex(pattern for job in jobs for pattern in job.requirements.conflicts)
        # A pattern that matches no unit at all keeps no unit from anywhere.
        self._live = {pattern for job in jobs for pattern in self._index.matching(job.name)}
        self._matched: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._carried: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._here: dict[str, dict[str, Job]] = {machine: {} for machine in machines}
        self._replaced_by = _replacements(jobs)
        self._by_short_id: defaultdict[str, list[str]] = defaultdict(list)
        for machine in machines:
            self._by_short_id[short_id(machine)].append(machine)
        self._pools: dict[object, list[tuple[int, str]]] = {}

    def add(self, job: Job, machine_id: str) -> None:
        """Put a unit on a machine. One that is away now keeps its units, and takes part in nothing else."""
        self.where[job.name] = machine_id
        if machine_id in self.machines:
            self.occupy(job, machine_id)

    def is_replaced(self, name: str) -> bool:
        """Whether another unit says that it replaces this one."""
        return name in self._replaced_by

    def occupy(self, job: Job, machine_id: str) -> None:
        """Count a unit on a machine without being its only place, as a global unit is."""
        self.load[machine_id] += 1
        self._here[machine_id][job.name] = job
        for pattern in job.requirements.conflicts:
            self._carried[pattern][machine_id] += 1
        for pattern in self._index.matching(job.name):
            self._matched[pattern][machine_id] += 1

    def remove(self, job: Job) -> None:
        """Take a unit from its machine."""
        machine_id = self.where.pop(job.name)
        if machine_id in self.machines:
            self.vacate(job, machine_id)

    def vacate(self, job: Job, machine_id: str) -> None:
        """Take back `occupy`."""
        self.load[machine_id] -= 1
        del self._here[machine_id][job.name]
        for pattern in job.requirements.conflicts:
            self._carried[pattern][machine_id] -= 1
        for pattern in self._index.matching(job.name):
            self._matched[pattern][machine_id] -= 1

    def obstacle(self, job: Job, machine_id: str) -> str | None:
        """Why the unit cannot be on this machine, in words; None if it can. It must not be there already."""
        wanted, machine = job.requirements, self.machines[machine_id]
        if wanted.machine_id is not None and wanted.machine_id not in (machine.id, short_id(machine.id)):
            return f"the unit asks for machine {wanted.machine_id}"
        return (
            _missing_metadata(wanted, machine)
            or self._missing_peer(wanted, machine_id)
            or self._conflict(job, machine_id)
            or self._replacement(job, machine_id)
        )

    def refusal(self, job: Job, machine_id: str) -> str | None:
        """Why the unit cannot come to this machine, in words; None if it can."""
        closed = self.machines[machine_id].closed
        return f"it takes no new units: {closed}" if closed else self.obstacle(job, machine_id)

    def no_machine(self, job: Job, *, but: str | None = None) -> str:
        """Why no machine, or no other than `but`, can take the unit, in one sentence."""
        others = sorted(machine_id for machine_id in self.machines if machine_id != but)
        if not others:
            return "there are no other machines" if but else "there are no machines"
        refusals = Counter(self.refusal(job, machine_id) for machine_id in others)
        parts = [f"{refusal} ({count} of {len(others)})" for refusal, count in refusals.most_common(3)]
        more = len(refusals) - len(parts)
        sentence = "; ".join(parts) + (f"; and {more} other reasons" if more > 0 else "")
        return f"no {'other ' if but else ''}machine can run it: {sentence}"

    def least_loaded(self, job: Job) -> str | None:
        """The machine with the fewest units, and of these the first by id, that can take the unit."""
        if job.requirements.peers or job.requirements.machine_id is not None:
            return self._named_machine(job)
        pool = self._pool(job)
        while pool:
            load, machine_id = pool[0]
            if load != self.load[machine_id]:
                heapreplace(pool, (self.load[machine_id], machine_id))
            elif self._blocked(job, machine_id):
                heappop(pool)
            else:
                return machine_id
        return None

    def likeness(self, job: Job) -> object:
        """Equal for units that every machine can take or cannot take alike."""
        wanted = job.requirements
        replacing = self._replaced_by.get(job.name, ())
        conflicts = tuple(pattern for pattern in wanted.conflicts if pattern in self._live)
        matching = self._index.matching(job.name)
        return (wanted.machine_id, wanted.peers, wanted.metadata, conflicts, matching, replacing)

    def _named_machine(self, job: Job) -> str | None:
        """Units that name a machine or a peer have few machines to try."""
        if job.requirements.peers:
            peer = self.where.get(job.requirements.peers[0])
            candidates = [peer] if peer is not None and peer in self.machines else []
        else:
            candidates = self._by_short_id[short_id(job.requirements.machine_id or "")]
        able = (machine_id for machine_id in candidates if self.refusal(job, machine_id) is None)
        return min(able, key=lambda machine_id: (self.load[machine_id], machine_id), default=None)

    def _pool(self, job: Job) -> list[tuple[int, str]]:
        key = self.likeness(job)
        pool = self._pools.get(key)
        if pool is None:
            wanted = job.requirements
            pool = [
                (self.load[machine.id], machine.id)
                for machine in self.machines.values()
                if not machine.closed and _missing_metadata(wanted, machine) is None
            ]
            heapify(pool)
            self._pools[key] = pool
        return pool

    def _blocked(self, job: Job, machine_id: str) -> bool:
        if any(self._matched[pattern][machine_id] for pattern in job.requirements.conflicts):
            return True
        if any(self._carried[pattern][machine_id] for pattern in self._index.matching(job.name)):
            return True
        return any(self.where.get(name) == machine_id for name in self._replaced_by.get(job.name, ()))

    def _missing_peer(self, wanted: Requirements, machine_id: str) -> str | None:
        for peer in wanted.peers:
            place = self.where.get(peer)
            if place is None:
                return f"it must be with {peer}, which is not scheduled"
            if place != machine_id:
                return f"it must be with {peer}, which is on {short_id(place)}"
        return None

    def _conflict(self, job: Job, machine_id: str) -> str | None:
        if not self._blocked(job, machine_id):
            return None
        for other in sorted(self._here[machine_id].values(), key=lambda other: other.name):
            if _conflicting(job, other):
                return f"it conflicts with {other.name}, which is there"
        return None

    def _replacement(self, job: Job, machine_id: str) -> str | None:
        for name in self._replaced_by.get(job.name, ()):
            if self.where.get(name) == machine_id:
                return f"{name} replaces it there"
        return None


def least_loaded_reason(placement: Placement, machine_id: str) -> str:
    """Why a unit is given to this machine, in words."""
    count = placement.load[machine_id]
    return f"least loaded of the machines that can run it ({count} unit{'' if count == 1 else 's'})"


def add_globals(placement: Placement, jobs: Iterable[Job]) -> None:
    """Count each global unit on every machine that runs it: after those scheduled there, in order."""
    for job in jobs:
        for machine_id in placement.machines:
            if placement.obstacle(job, machine_id) is None:
                placement.occupy(job, machine_id)


def globals_here(
    machine: Machine, scheduled: Sequence[Job], candidates: Sequence[Job]
) -> dict[str, str | None]:
    """For each global unit, why this machine does not run it, or None if it does. The engine counts alike."""
    placement = Placement([*scheduled, *candidates], {machine.id: machine})
    for job in scheduled:
        placement.add(job, machine.id)
    obstacles: dict[str, str | None] = {}
    for job in sorted(candidates, key=lambda job: job.name):
        obstacles[job.name] = placement.obstacle(job, machine.id)
        if obstacles[job.name] is None:
            placement.occupy(job, machine.id)
    return obstacles


def _missing_metadata(wanted: Requirements, machine: Machine) -> str | None:
    for key, values in wanted.metadata:
        if machine.metadata.get(key) not in values:
            asked = " or ".join(f"{key}={value}" for value in sorted(values))
            return f"it lacks the metadata {asked}"
    return None


def _conflicting(one: Job, other: Job) -> bool:
    return _any_match(one.requirements.conflicts, other.name) or _any_match(
        other.requirements.conflicts, one.name
    )


def _any_match(patterns: Sequence[str], name: str) -> bool:
    return any(compile_glob(pattern).match(name) for pattern in patterns)


def _replacements(jobs: Sequence[Job]) -> dict[str, tuple[str, ...]]:
    """For each unit, which units replace it. Units that replace each other do not, nor does a unit itself."""
    found: dict[str, list[str]] = {}
    for job in jobs:
        if not job.requirements.replaces:
            continue
        for other in jobs:
            mutual = _any_match(other.requirements.replaces, job.name)
            if other.name != job.name and not mutual and _any_match(job.requirements.replaces, other.name):
                found.setdefault(other.name, []).append(job.name)
    return {name: tuple(sorted(names)) for name, names in found.items()}

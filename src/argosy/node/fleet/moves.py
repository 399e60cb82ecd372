"""Moving units from machines that are to be empty: where to, when they may stop there, which have to stay.

Pure, a part of the engine's plan. A unit first runs on its new machine as well (`Move`); when it has run
there for a moment it is scheduled there (`Place`), and stops on the old one. Units that must be on one
machine (MachineOf) move together. The engine may die at any time: what is in etcd says how to go on.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from argosy.formats.fleet import UnitTarget
from argosy.node.fleet.model import Cancel, Change, Job, Move, Place, Progress, Stay, short_id
from argosy.node.fleet.placement import Placement, least_loaded_reason

Group = Sequence[Job]


def go_on(jobs: Sequence[Job], placement: Placement, progress: Progress, *, may_evict: bool) -> list[Change]:
    """Finish, keep or give up the moves under way. Those that go on count on both machines."""
    moving = [job for job in jobs if job.move_to is not None]
    decisions: list[Change] = [
        Cancel(job.name, job.move_to or "", "it has no machine to move from")
        for job in moving
        if job.machine_id is None
    ]
    # One that has lost its machine is placed anew or withdrawn, which ends its move.
    sources = {placement.where[job.name] for job in moving if job.name in placement.where}
    for group in _groups(jobs, placement, sources):
        if any(job.move_to is not None for job in group):
            decisions += _go_on(group, placement, progress, may_evict=may_evict)
    return decisions


def begin(jobs: Sequence[Job], placement: Placement, progress: Progress) -> list[Change | Stay]:
    """The moves to begin, and the units that have to stay."""
    draining = {machine.id for machine in placement.machines.values() if machine.drains}
    decisions: list[Change | Stay] = []
    for group in _groups(jobs, placement, draining):
        if any(job.move_to is not None for job in group):
            continue
        if any(_runs(job, progress) for job in group):
            decisions += _begin(group, placement, progress)
        elif all(job.target is UnitTarget.LOADED for job in group):
            decisions += _replace(group, placement)
    return decisions


def _runs(job: Job, progress: Progress) -> bool:
    return job.target is UnitTarget.LAUNCHED and job.name not in progress.idle


def _groups(jobs: Sequence[Job], placement: Placement, machines: Collection[str]) -> list[Group]:
    """The units on these machines; those that must be together in one group, in the order of names."""
    leaders: dict[str, str] = {}
    here = {job.name: job for job in jobs if placement.where.get(job.name) in machines}

    def leader(name: str) -> str:
        while leaders.get(name, name) != name:
            name = leaders[name]
        return name

    for job in here.values():
        for peer in job.requirements.peers:
            if peer in here and placement.where[peer] == placement.where[job.name]:
                first, second = sorted((leader(job.name), leader(peer)))
                leaders[second] = first
    groups: dict[str, list[Job]] = {}
    for name, job in here.items():
        groups.setdefault(leader(name), []).append(job)
    return list(groups.values())


def _go_on(group: Group, placement: Placement, progress: Progress, *, may_evict: bool) -> list[Change]:
    (source, target), problem = _way(group), _problem(group, placement, may_evict=may_evict)
    if not problem and target in placement.machines:
        problem = _seat(group, target, placement, anew=False)
        if not problem:
            waiting = [job for job in group if _runs(job, progress) and job.name not in progress.settled]
            if not waiting:
                return [_finished(job, source, target) for job in group]
            _share(group, source, target, placement)
            return []
    if not problem:
        return []
    return [Cancel(job.name, job.move_to, problem) for job in group if job.move_to is not None]


def _way(group: Group) -> tuple[str, str]:
    """From where to where a group moves."""
    source = group[0].machine_id
    target = next(job.move_to for job in group if job.move_to is not None)
    assert source is not None
    return source, target


def _problem(group: Group, placement: Placement, *, may_evict: bool) -> str:
    """Why a move must not go on, apart from what else is on the new machine; empty if it may."""
    source, target = _way(group)
    if any(job.move_to != target for job in group):
        return "the units that must be together have changed"
    if not any(job.target is UnitTarget.LAUNCHED for job in group):
        return "it is not to run any more"
    if source in placement.machines and not placement.machines[source].drains:
        return f"{short_id(source)} is not to be empty any more"
    if target not in placement.machines:
        return f"machine {short_id(target)} is gone" if may_evict else ""
    if placement.machines[target].drains:
        return f"{short_id(target)} is to be empty as well"
    single = next((job.requirements.single for job in group if job.requirements.single), "")
    return f"it must not run twice: {single}" if single else ""


def _finished(job: Job, source: str, target: str) -> Place:
    return Place(job.name, target, source, f"it has moved from {short_id(source)}, and runs")


def _begin(group: Group, placement: Placement, progress: Progress) -> list[Change | Stay]:
    source = group[0].machine_id
    assert source is not None
    running = [job for job in group if _runs(job, progress)]
    single = next((job for job in group if job.requirements.single), None)
    if single is not None:
        why = f"it must not run twice: {single.requirements.single}"
        return [Stay(job.name, source, _because_of(job, single, why)) for job in running]
    target, refusal = _destination(group, placement)
    if target is None:
        return [Stay(job.name, source, refusal) for job in running]
    reason = f"{short_id(source)} is to be empty; {least_loaded_reason(placement, target)}"
    for job in group:
        placement.occupy(job, target)
    return [Move(job.name, target, source, reason) for job in group]


def _because_of(job: Job, other: Job, why: str) -> str:
    return why if job is other else f"it must be with {other.name}: {why}"


def _replace(group: Group, placement: Placement) -> list[Change | Stay]:
    """Nothing runs there: the units go at once, if another machine takes them."""
    source = group[0].machine_id
    target, _ = _destination(group, placement)
    if source is None or target is None:
        return []
    reason = f"{short_id(source)} is to be empty; {least_loaded_reason(placement, target)}"
    _unseat(group, source, placement)
    for job in group:
        placement.add(job, target)
    return [Place(job.name, target, source, reason) for job in group]


def _destination(group: Group, placement: Placement) -> tuple[str | None, str]:
    """The machine with the fewest units that can take all of a group, or why there is none."""
    if len(group) == 1 and not group[0].requirements.peers:
        target = placement.least_loaded(group[0])
        return target, "" if target else placement.no_machine(group[0], but=group[0].machine_id)
    source = group[0].machine_id
    assert source is not None
    refusals: dict[str, str] = {}
    for machine_id in sorted(placement.machines, key=lambda each: (placement.load[each], each)):
        if machine_id == source or placement.machines[machine_id].closed:
            continue
        refusals[machine_id] = _seat(group, machine_id, placement, anew=True)
        if not refusals[machine_id]:
            _share(group, source, machine_id, placement)
            for job in group:
                placement.vacate(job, machine_id)
            return machine_id, ""
    first = next(iter(refusals.items()), None)
    if first is None:
        return None, "no other machine takes new units"
    return None, f"no other machine can run all that must be together: on {short_id(first[0])} {first[1]}"


def _seat(group: Group, machine_id: str, placement: Placement, *, anew: bool) -> str:
    """Have a group on another machine instead; else nothing changes, and it is said what is in the way.

    `anew`: whether it matters that the machine takes no new units.
    """
    source = group[0].machine_id
    assert source is not None
    _unseat(group, source, placement)
    ask = placement.refusal if anew else placement.obstacle
    pending, seated, problem = list(group), [], ""
    while pending:
        left = []
        for job in pending:
            if (found := ask(job, machine_id)) is None:
                placement.add(job, machine_id)
                seated.append(job)
            else:
                left.append(job)
                # What keeps one that waits for another of the group is said by that other.
                if not problem or not any(peer.name in job.requirements.peers for peer in pending):
                    problem = found if len(group) == 1 else f"{job.name}: {found}"
        if len(left) == len(pending):
            _unseat(seated, machine_id, placement)
            for job in group:
                placement.add(job, source)
            return problem
        pending = left
    return ""


def _unseat(group: Group, machine_id: str, placement: Placement) -> None:
    for job in group:
        assert placement.where[job.name] == machine_id
        placement.remove(job)


def _share(group: Group, source: str, target: str, placement: Placement) -> None:
    """Have a group that was seated on `target` on both machines: it is still scheduled to `source`."""
    _unseat(group, target, placement)
    for job in group:
        placement.add(job, source)
    for job in group:
        placement.occupy(job, target)

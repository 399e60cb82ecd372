"""The engine's planner: which unit runs on which machine, and why.

Pure: the same cluster gives the same decisions. A unit goes to the machine with the fewest units (of equals,
the first by id) that meets its requirements, and stays there as long as they hold: nothing is rebalanced.
The cost grows with units plus machines, not with their product.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from argosy.formats.fleet import Explanation, UnitTarget, Verdict
from argosy.node.fleet import moves
from argosy.node.fleet.model import (
    Decision,
    Job,
    Machine,
    Move,
    Place,
    Progress,
    Stay,
    Wait,
    Withdraw,
    short_id,
)
from argosy.node.fleet.placement import Placement, add_globals, least_loaded_reason


def plan(
    jobs: Sequence[Job],
    machines: Mapping[str, Machine],
    *,
    may_evict: bool,
    progress: Progress = Progress(),  # noqa: B008
) -> list[Decision]:
    """Decide for all units. Without `may_evict`, those of a machine that is away stay scheduled to it."""
    ordered = sorted(jobs, key=lambda job: job.name)
    placement = Placement(ordered, machines)
    homeless = _keep(ordered, placement, may_evict)
    under_way = moves.go_on(ordered, placement, progress, may_evict=may_evict)
    add_globals(placement, (job for job in ordered if job.requirements.is_global and _wanted(job)))
    unplaced = [
        job for job in ordered if _wants_machine(job) and (job.machine_id is None or job.name in homeless)
    ]
    decisions: list[Decision] = [
        Withdraw(job.name, job.machine_id, homeless[job.name])
        for job in ordered
        if job.machine_id is not None and job.name in homeless and not _wants_machine(job)
    ]
    decisions += _place(unplaced, placement, homeless)
    return decisions + under_way + moves.begin(ordered, placement, progress)


def explain(
    name: str,
    jobs: Sequence[Job],
    machines: Mapping[str, Machine],
    *,
    may_evict: bool,
    progress: Progress = Progress(),  # noqa: B008
) -> Explanation:
    """Why a unit is where it is, and what each machine says to it. `name` is one of `jobs`."""
    decisions = plan(jobs, machines, may_evict=may_evict, progress=progress)
    ordered = sorted(jobs, key=lambda job: job.name)
    placement = Placement(ordered, machines)
    _keep(ordered, placement, may_evict)
    (job,) = (job for job in jobs if job.name == name)
    others = [
        other for other in ordered if other.requirements.is_global and other is not job and _wanted(other)
    ]
    if name in placement.where:
        placement.remove(job)
    add_globals(placement, others)
    verdicts = []
    for machine_id in sorted(machines):
        here = machine_id == job.machine_id
        obstacle = placement.obstacle(job, machine_id) if here else placement.refusal(job, machine_id)
        reason = obstacle or least_loaded_reason(placement, machine_id)
        verdicts.append(Verdict(machine_id, obstacle is None, reason))
    summary = _summary(job, machines) + _departing(name, decisions)
    return Explanation(name, job.machine_id or "", summary, verdicts)


def _departing(name: str, decisions: Sequence[Decision]) -> str:
    """What is said of a unit that is to leave its machine."""
    for decision in decisions:
        if decision.unit != name:
            continue
        if isinstance(decision, Move):
            return f", and moves to {short_id(decision.machine_id)}: {decision.reason}"
        if isinstance(decision, Stay):
            return f", which is to be empty, but {decision.reason}"
    return ""


def _summary(job: Job, machines: Mapping[str, Machine]) -> str:
    if not _wanted(job):
        return "it is not to be on any machine: its desired state is inactive"
    if job.requirements.is_global:
        return "it is global: every machine that can runs it"
    if job.machine_id is None:
        return "it is not scheduled"
    if job.machine_id not in machines:
        return f"it is scheduled to {short_id(job.machine_id)}, which is away"
    if job.move_to is not None:
        return f"it moves from {short_id(job.machine_id)} to {short_id(job.move_to)}"
    return f"it is scheduled to {short_id(job.machine_id)}"


def _wanted(job: Job) -> bool:
    return job.target is not UnitTarget.INACTIVE


def _wants_machine(job: Job) -> bool:
    return _wanted(job) and not job.requirements.is_global


def _keep(jobs: Sequence[Job], placement: Placement, may_evict: bool) -> dict[str, str]:
    """Add the units that may stay where they are; for the others, why they must go."""
    homeless: dict[str, str] = {}
    with_peers = []
    for job in jobs:
        if job.machine_id is None:
            continue
        reason = _departure(job, placement, may_evict)
        if reason is not None:
            homeless[job.name] = reason
        elif job.machine_id not in placement.machines:
            placement.add(job, job.machine_id)
        elif job.requirements.peers:
            with_peers.append(job)
        else:
            _stay_or_go(job, placement, homeless)
    _keep_peers(with_peers, placement, homeless)
    _displace(jobs, placement, homeless)
    return homeless


def _departure(job: Job, placement: Placement, may_evict: bool) -> str | None:
    """Why a scheduled unit must leave, whatever else is on its machine."""
    assert job.machine_id is not None
    if not _wanted(job):
        return "its desired state is inactive"
    if job.requirements.is_global:
        return "it has become global"
    if job.machine_id not in placement.machines and may_evict:
        return f"machine {short_id(job.machine_id)} is gone"
    return None


def _stay_or_go(job: Job, placement: Placement, homeless: dict[str, str]) -> None:
    assert job.machine_id is not None
    obstacle = placement.obstacle(job, job.machine_id)
    if obstacle is None:
        placement.add(job, job.machine_id)
    else:
        homeless[job.name] = f"{short_id(job.machine_id)} can no longer run it: {obstacle}"


def _keep_peers(jobs: Sequence[Job], placement: Placement, homeless: dict[str, str]) -> None:
    """Units that must be with others stay once those stay."""
    pending = list(jobs)
    progress = True
    while pending and progress:
        left = []
        for job in pending:
            if all(peer in placement.where for peer in job.requirements.peers):
                _stay_or_go(job, placement, homeless)
            else:
                left.append(job)
        progress = len(left) < len(pending)
        pending = left
    for job in pending:
        _stay_or_go(job, placement, homeless)


def _displace(jobs: Sequence[Job], placement: Placement, homeless: dict[str, str]) -> None:
    """Units that are with one that replaces them must go; that one may have been kept after them."""
    for job in jobs:
        machine_id = placement.where.get(job.name)
        if machine_id is None or not placement.is_replaced(job.name) or machine_id not in placement.machines:
            continue
        placement.remove(job)
        obstacle = placement.obstacle(job, machine_id)
        if obstacle is None:
            placement.add(job, machine_id)
        else:
            homeless[job.name] = f"{short_id(machine_id)} can no longer run it: {obstacle}"


def _place(jobs: Sequence[Job], placement: Placement, homeless: Mapping[str, str]) -> list[Decision]:
    """Find machines: units that must be with others after those, as far as these find one."""
    decisions: list[Decision] = []
    pending: list[Job] = list(jobs)
    progress = True
    while pending and progress:
        left = []
        for job in pending:
            machine_id = _destination(job, placement)
            if machine_id is None:
                left.append(job)
                continue
            decisions.append(_placed(job, machine_id, placement, homeless))
            placement.add(job, machine_id)
        progress = len(left) < len(pending) and any(job.requirements.peers for job in left)
        pending = left
    return decisions + _waiting(pending, placement, homeless)


def _destination(job: Job, placement: Placement) -> str | None:
    """Where a unit goes that has lost its machine: to the one to which it was about to move, if it can."""
    machine = placement.machines.get(job.move_to or "")
    if machine is not None and not machine.drains and placement.obstacle(job, machine.id) is None:
        return machine.id
    return placement.least_loaded(job)


def _placed(job: Job, machine_id: str, placement: Placement, homeless: Mapping[str, str]) -> Place:
    reason = least_loaded_reason(placement, machine_id)
    if job.requirements.peers:
        reason = f"with {', '.join(job.requirements.peers)}"
    elif job.requirements.machine_id is not None:
        reason = "the unit asks for this machine"
    if job.name in homeless:
        reason = f"{homeless[job.name]}; {reason}"
    return Place(job.name, machine_id, job.machine_id, reason)


def _waiting(jobs: Sequence[Job], placement: Placement, homeless: Mapping[str, str]) -> list[Decision]:
    decisions: list[Decision] = []
    known: dict[object, str] = {}
    for job in jobs:
        if job.machine_id is not None:
            decisions.append(Withdraw(job.name, job.machine_id, homeless[job.name]))
        alike = placement.likeness(job)
        if alike not in known:
            known[alike] = placement.no_machine(job)
        decisions.append(Wait(job.name, known[alike]))
    return decisions

"""What a machine is to fleet, in the API's words: its cordons, and what becomes of the units on it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from argosy.formats.cordon import (
    CordonEntity,
    CordonRecord,
    Leaving,
    MachineStanding,
    MoveRecord,
    Standing,
    Step,
)
from argosy.formats.fleet import StateRecord, UnitTarget
from argosy.node.fleet.model import Decision, Job, Move, Place, Stay, short_id

States = Mapping[tuple[str, str], StateRecord]

_STOPPED = ("inactive", "failed")


def leaving(
    machine_id: str,
    jobs: Sequence[Job],
    decisions: Sequence[Decision],
    states: States,
    moves: Mapping[str, MoveRecord],
) -> list[Leaving]:
    """The units that run on a machine that is to be empty. `decisions` is what the engine would do now.

    `states` has those of the units on this machine, and of those that move where they move to.
    """
    plans = {decision.unit: decision for decision in decisions}
    found = []
    for job in sorted(jobs, key=lambda job: job.name):
        if job.requirements.is_global:
            continue
        if job.machine_id == machine_id and job.target is UnitTarget.LAUNCHED:
            found.append(_still_due(job, plans.get(job.name), states, moves.get(job.name)))
        elif job.machine_id not in (None, machine_id) and job.move_to != machine_id:
            found.append(_moved_away(job, states.get((job.name, machine_id))))
    return [item for item in found if item is not None]


def _moved_away(job: Job, here: StateRecord | None) -> Leaving | None:
    if job.machine_id is None or here is None or here.active in _STOPPED:
        return None
    reason = f"it runs on {short_id(job.machine_id)} now, and stops here"
    return Leaving(job.name, Step.STOPS, reason, job.machine_id)


def _still_due(job: Job, plan: Decision | None, states: States, move: MoveRecord | None) -> Leaving | None:
    assert job.machine_id is not None
    if isinstance(plan, Stay):
        return Leaving(job.name, Step.STAYS, plan.reason)
    if isinstance(plan, Move | Place):
        return Leaving(job.name, Step.MOVES, plan.reason, plan.machine_id)
    if move is not None:
        there = states.get((job.name, move.machine_id))
        return Leaving(job.name, Step.MOVES, _on_its_way(move.machine_id, there), move.machine_id)
    here = states.get((job.name, job.machine_id))
    if here is not None and here.active in _STOPPED:
        return None
    return Leaving(job.name, Step.MOVES, "the engine has not seen yet that it is to leave")


def _on_its_way(machine_id: str, there: StateRecord | None) -> str:
    where = short_id(machine_id)
    if there is None:
        return f"{where} has not got it yet"
    if there.refusal:
        return f"systemd on {where} refuses it: {there.refusal}"
    if there.active == "active":
        return f"it runs on {where} as well, and stops here in a moment"
    return f"on {where} it is {there.active} ({there.sub})"


def describe(
    machine_id: str,
    cordons: Mapping[str, CordonRecord],
    left: Sequence[Leaving],
    *,
    present: bool = True,
    address: str = "",
    boot: str = "",
) -> MachineStanding:
    """A machine, in the API's words."""
    return MachineStanding(
        machine_id,
        _standing(cordons, left),
        address,
        present,
        boot,
        [
            CordonEntity(by, cordon.drain, cordon.reason, cordon.boot, cordon.since_s)
            for by, cordon in sorted(cordons.items())
        ],
        list(left),
    )


def _standing(cordons: Mapping[str, CordonRecord], left: Sequence[Leaving]) -> Standing:
    if not cordons:
        return Standing.OPEN
    if not any(cordon.drain for cordon in cordons.values()):
        return Standing.CORDONED
    moving = any(unit.step is not Step.STAYS for unit in left)
    return Standing.DRAINING if moving else Standing.DRAINED

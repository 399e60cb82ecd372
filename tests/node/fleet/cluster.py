"""Short ways to write clusters in tests, and what must hold for every decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from argosy.formats.fleet import UnitTarget
from argosy.formats.requirements import Requirements, compile_glob
from argosy.node.fleet.model import Cancel, Decision, Job, Machine, Move, Place, Withdraw


def machines(*ids: str, **metadata: str) -> dict[str, Machine]:
    """Machines by id; `metadata` is for all."""
    return {machine_id: Machine(machine_id, metadata=metadata) for machine_id in ids}


def draining(present: Mapping[str, Machine], *ids: str) -> dict[str, Machine]:
    """The same machines, of which these are to be empty."""
    return {
        name: replace(machine, closed="draining for a test", drains=True) if name in ids else machine
        for name, machine in present.items()
    }


def job(
    name: str, on: str | None = None, target: str = "launched", to: str | None = None, **wanted: object
) -> Job:
    """A unit, launched unless said otherwise."""
    return Job(name, UnitTarget(target), Requirements(**wanted), on, to)  # type: ignore[arg-type]


def applied(jobs: Sequence[Job], decisions: Sequence[Decision]) -> list[Job]:
    """The units after the engine wrote its decisions."""
    found = {item.name: item for item in jobs}
    for decision in decisions:
        item = found[decision.unit]
        match decision:
            case Place(_, machine_id):
                found[item.name] = replace(item, machine_id=machine_id, move_to=None)
            case Withdraw():
                found[item.name] = replace(item, machine_id=None, move_to=None)
            case Move(_, machine_id):
                found[item.name] = replace(item, move_to=machine_id)
            case Cancel():
                found[item.name] = replace(item, move_to=None)
    return list(found.values())


def violations(jobs: Sequence[Job], present: Mapping[str, Machine]) -> list[str]:
    """Every requirement that does not hold, found without the planner's book-keeping."""
    where = {item.name: item.machine_id for item in jobs if item.machine_id is not None}
    found = []
    for item in jobs:
        wanted = item.requirements
        if item.machine_id not in present:
            continue
        machine = present[item.machine_id]
        if wanted.machine_id not in (None, machine.id, machine.id[:8]):
            found.append(f"{item.name}: machine id")
        found += [
            f"{item.name}: {key}"
            for key, values in wanted.metadata
            if machine.metadata.get(key) not in values
        ]
        found += [f"{item.name}: peer {peer}" for peer in wanted.peers if where.get(peer) != machine.id]
        for pattern in wanted.conflicts:
            found += [
                f"{item.name}: conflict with {other}"
                for other, place in where.items()
                if other != item.name and place == machine.id and compile_glob(pattern).match(other)
            ]
    return found

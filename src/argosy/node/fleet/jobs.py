"""The edge: reads the submitted units as the planners want them, and how those are that move."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

from argosy.base.errors import InputError
from argosy.base.loop import Clock
from argosy.formats.fleet import StateRecord, UnitTarget
from argosy.formats.requirements import Requirements, requirements
from argosy.formats.unit import Option, parse_name
from argosy.node.fleet.mirror import View
from argosy.node.fleet.model import Job, Progress
from argosy.node.fleet.registry import Registry

log = logging.getLogger(__name__)

SETTLE_S = 3.0
"""How long a unit has to run on its new machine before it stops on the old one."""

_RUNS = ("active", "reloading")
_ENDED = ("inactive", "failed")

States = Mapping[tuple[str, str], StateRecord]
"""By unit and machine."""


class Jobs:
    """Reads them; contents are read once per unit and hash."""

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
                place, move = view.schedule.get(name), view.moves.get(name)
                where = place.value.machine_id if place else None
                target = move.value.machine_id if move else None
                jobs.append(Job(name, stored.value.target, found, where, target))
        return jobs


class Watcher:
    """Sees how far units are that move. For how long they run is remembered; another leader counts anew."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock
        self._since_s: dict[tuple[str, str, str], float] = {}

    def forget(self) -> None:
        """Somebody else watches now."""
        self._since_s = {}

    async def look(self, view: View) -> Progress:
        """What is seen now; etcd is asked only if anything moves or is to leave."""
        states = await read_states(self._registry, view, concerned(view))
        runs = {
            (name, move.value.machine_id, state.hash)
            for name, move in view.moves.items()
            if (state := states.get((name, move.value.machine_id))) is not None and state.active in _RUNS
        }
        now_s = self._clock.now()
        self._since_s = {key: self._since_s.get(key, now_s) for key in runs}
        settled = frozenset(key[0] for key, since_s in self._since_s.items() if now_s - since_s >= SETTLE_S)
        return Progress(settled, idle(view, states))


def concerned(view: View) -> list[tuple[str, str]]:
    """The units whose states matter to moves, each with a machine: where they move, and where they leave."""
    if not view.cordons and not view.moves:
        return []
    draining = {
        machine_id for machine_id in view.cordons if machine_id in view.machines and view.drains(machine_id)
    }
    found = [(name, move.value.machine_id) for name, move in view.moves.items()]
    for name, place in view.schedule.items():
        if place.value.machine_id in draining:
            found.append((name, place.value.machine_id))
    return sorted(found)


async def read_states(
    registry: Registry, view: View, wanted: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], StateRecord]:
    """How units are on machines, as far as that is known of their present content."""
    found = await registry.state_records(list(wanted))
    return {
        key: state for key, state in found.items() if key[0] in view.jobs and _is_present(view, key[0], state)
    }


def _is_present(view: View, name: str, state: StateRecord) -> bool:
    return state.hash == view.jobs[name].value.hash


def idle(view: View, states: States) -> frozenset[str]:
    """The units that have ended or failed where they are scheduled."""
    return frozenset(
        name
        for (name, machine_id), state in states.items()
        if (place := view.schedule.get(name)) is not None
        and place.value.machine_id == machine_id
        and state.active in _ENDED
        and state.state is UnitTarget.LAUNCHED
    )


def _requirements(name: str, options: Sequence[Option]) -> Requirements | None:
    try:
        return requirements(parse_name(name), options)
    except InputError as error:
        log.error("%s cannot be scheduled: %s", name, error)
        return None

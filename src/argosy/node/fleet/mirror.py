"""A copy of the small, seldom changing part of the registry, kept up to date by a watch.

While etcd is away the copy stays as it was: what was wanted last is still wanted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from argosy.base.decode import decode_json
from argosy.base.errors import InputError
from argosy.base.etcd import CompactedError, Etcd, Event, KeyValue
from argosy.formats.cordon import CordonRecord, MoveRecord
from argosy.formats.fleet import JobRecord, MachineRecord, ScheduleRecord
from argosy.node.fleet.cordons import closed_because, holding
from argosy.node.fleet.model import Machine
from argosy.node.fleet.registry import Keys, merged_metadata

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stored(Generic[T]):
    """A value, the revision of its last write, and its lease (0 for none)."""

    value: T
    revision: int
    lease: int = 0


@dataclass(slots=True)
class View:
    """The copy. `revision` is etcd's, up to which it is complete; 0 before the first read."""

    keys: Keys
    revision: int = 0
    jobs: dict[str, Stored[JobRecord]] = field(default_factory=dict)
    schedule: dict[str, Stored[ScheduleRecord]] = field(default_factory=dict)
    machines: dict[str, Stored[MachineRecord]] = field(default_factory=dict)
    metadata: dict[str, dict[str, str]] = field(default_factory=dict)
    cordons: dict[str, dict[str, Stored[CordonRecord]]] = field(default_factory=dict)
    moves: dict[str, Stored[MoveRecord]] = field(default_factory=dict)
    leader: str | None = None

    def snapshot(self) -> View:
        """A copy that stays as it is while the mirror goes on: what one pass rests on is one revision."""
        return View(
            self.keys,
            self.revision,
            dict(self.jobs),
            dict(self.schedule),
            dict(self.machines),
            {machine_id: dict(added) for machine_id, added in self.metadata.items()},
            {machine_id: dict(cordons) for machine_id, cordons in self.cordons.items()},
            dict(self.moves),
            self.leader,
        )

    def put(self, item: KeyValue) -> None:
        """A key was written. A value that we do not understand counts as none."""
        kind, _, name = self._split(item)
        try:
            if kind == "job":
                self.jobs[name] = Stored(_decoded(item, JobRecord), item.mod_revision)
            elif kind == "schedule":
                self.schedule[name] = Stored(_decoded(item, ScheduleRecord), item.mod_revision)
            elif kind == "machine":
                self.machines[name] = Stored(_decoded(item, MachineRecord), item.mod_revision, item.lease)
            elif kind == "move":
                self.moves[name] = Stored(_decoded(item, MoveRecord), item.mod_revision)
            elif kind == "cordon":
                machine_id, _, by = name.partition("/")
                stored = Stored(_decoded(item, CordonRecord), item.mod_revision)
                self.cordons.setdefault(machine_id, {})[by] = stored
            elif kind == "metadata":
                machine_id, _, key = name.partition("/")
                self.metadata.setdefault(machine_id, {})[key] = item.value.decode(errors="replace")
            elif kind == "leader":
                self.leader = item.value.decode(errors="replace")
        except InputError as error:
            log.warning("%s", error)
            self.delete(item)

    def delete(self, item: KeyValue) -> None:
        """A key was removed."""
        kind, _, name = self._split(item)
        if kind == "leader":
            self.leader = None
        elif kind in ("metadata", "cordon"):
            machine_id, _, key = name.partition("/")
            of_machines: dict[str, dict[str, Any]]
            of_machines = self.metadata if kind == "metadata" else self.cordons
            of_machines.get(machine_id, {}).pop(key, None)
        else:
            folders: dict[str, dict[str, Any]] = {
                "job": self.jobs,
                "schedule": self.schedule,
                "machine": self.machines,
                "move": self.moves,
            }
            folders.get(kind, {}).pop(name, None)

    def present(self) -> dict[str, Machine]:
        """The machines that are in the cluster."""
        return {machine_id: self.machine(machine_id) for machine_id in self.machines}

    def machine(self, machine_id: str) -> Machine:
        """One machine that is in the cluster."""
        record = self.machines[machine_id].value
        metadata = merged_metadata(record.metadata, self.metadata.get(machine_id, {}))
        closed = closed_because(self.cordons_of(machine_id))
        return Machine(machine_id, record.public_ip, metadata, closed, self.drains(machine_id))

    def drains(self, machine_id: str) -> bool:
        """Whether a machine is to be empty."""
        return any(cordon.drain for cordon in self.cordons_of(machine_id).values())

    def cordons_of(self, machine_id: str) -> dict[str, CordonRecord]:
        """A machine's cordons that hold, by who set them."""
        cordons = {by: stored.value for by, stored in self.cordons.get(machine_id, {}).items()}
        known = self.machines.get(machine_id)
        return holding(cordons, known.value.boot if known else None)

    def _split(self, item: KeyValue) -> tuple[str, str, str]:
        return item.key.decode(errors="replace").removeprefix(self.keys.prefix).partition("/")


class Mirror:
    """Keeps a `View` up to date, and tells listeners about each change."""

    def __init__(self, etcd: Etcd, keys: Keys) -> None:
        self._etcd = etcd
        self._keys = keys
        self._listeners: list[Callable[[], None]] = []
        self._view = View(keys)

    @property
    def view(self) -> View:
        """The copy as it is now; it changes. Whoever waits for anything while using it takes a snapshot."""
        return self._view

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each change."""
        self._listeners.append(listener)

    async def follow(self) -> float:
        """Read all, then follow the changes, until etcd's history breaks off: then the caller calls again."""
        start, end = self._keys.mirrored()
        fresh = View(self._keys)
        async for page in self._etcd.scan(start, end):
            for item in page.items:
                fresh.put(item)
            fresh.revision = page.revision
        self._show(fresh)
        try:
            async for changes in self._etcd.watch(start, end, after=fresh.revision):
                for event in changes.events:
                    self._apply(fresh, event)
                if changes.revision > fresh.revision:
                    fresh.revision = changes.revision
                    self._tell()
        except CompactedError as error:
            log.info("%s; reading all again", error)
        return 0.0

    def _show(self, fresh: View) -> None:
        self._view = fresh
        self._tell()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()

    def _apply(self, view: View, event: Event) -> None:
        if event.type == "PUT":
            view.put(event.kv)
        else:
            view.delete(event.kv)


def _decoded(item: KeyValue, kind: type[T]) -> T:
    return decode_json(item.value, kind, source=f"etcd key {item.key.decode(errors='replace')}")

"""What the cluster agrees on, in etcd. Below the prefix (by default `/_coreos.com/fleet/`):

    cordon/ID/BY          a machine that takes no new units, as BY says               CordonRecord
    job/NAME              a submitted unit: hash of its content, target state         JobRecord
    leader                the machine whose engine decides; ends with its lease       machine id
    machine/ID            a machine that is in the cluster; ends with its lease       MachineRecord
    metadata/ID/KEY       metadata set through the API; empty text hides the machine's own
    move/NAME             where a unit is to run as well, before it moves there       MoveRecord
    schedule/NAME         where a unit is to run; written by the leading engine only  ScheduleRecord
    state/NAME/ID         how a unit is on a machine; ends with the machine's lease   StateRecord
    unit/HASH             a unit's content                                            UnitRecord

Every write that rests on something read is a transaction that compares it. Those up to schedule/ are few
and change seldom: each daemon mirrors them (mirror.py). The others are read when needed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from argosy.base.decode import decode_json, encode_json
from argosy.base.errors import ArgosyError
from argosy.base.etcd import Compare, Delete, Etcd, KeyValue, Operation, Put, Range, prefix_end
from argosy.formats.cordon import CordonRecord
from argosy.formats.fleet import (
    JobRecord,
    MachineEntity,
    MachineRecord,
    ScheduleRecord,
    StateRecord,
    UnitEntity,
    UnitRecord,
    UnitStateEntity,
    UnitTarget,
)
from argosy.formats.unit import Option, unit_hash

T = TypeVar("T")

# Keys per transaction; etcd allows 128 operations and as many comparisons.
_BATCH = 40
_ATTEMPTS = 5


class ContendedError(ArgosyError):
    """Others changed the same thing again and again."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The names of the keys below a prefix that ends in a slash."""

    prefix: str

    def job(self, name: str) -> str:
        """The unit called `name`."""
        return f"{self.prefix}job/{name}"

    def schedule(self, name: str) -> str:
        """Where the unit `name` is to run."""
        return f"{self.prefix}schedule/{name}"

    def machine(self, machine_id: str) -> str:
        """A machine that is present."""
        return f"{self.prefix}machine/{machine_id}"

    def cordon(self, machine_id: str, by: str) -> str:
        """That a machine takes no new units, as `by` says."""
        return f"{self.prefix}cordon/{machine_id}/{by}"

    def move(self, name: str) -> str:
        """Where the unit `name` moves."""
        return f"{self.prefix}move/{name}"

    def metadata(self, machine_id: str, key: str) -> str:
        """One of a machine's metadata."""
        return f"{self.prefix}metadata/{machine_id}/{key}"

    def state(self, name: str, machine_id: str) -> str:
        """How a unit is on a machine."""
        return f"{self.prefix}state/{name}/{machine_id}"

    def unit(self, content_hash: str) -> str:
        """The content with this hash."""
        return f"{self.prefix}unit/{content_hash}"

    @property
    def leader(self) -> str:
        """The engine that leads."""
        return f"{self.prefix}leader"

    def folder(self, name: str) -> tuple[str, str]:
        """The range of all keys of one kind."""
        start = f"{self.prefix}{name}/"
        return start, prefix_end(start)

    def mirrored(self) -> tuple[str, str]:
        """The range of the keys that every daemon mirrors: from cordon/ to schedule/."""
        return self.folder("cordon")[0], self.folder("schedule")[1]


def merged_metadata(own: Mapping[str, str], added: Mapping[str, str]) -> dict[str, str]:
    """A machine's own metadata, and over it what was set through the API; an empty text removes."""
    return {key: value for key, value in {**own, **added}.items() if value}


class Registry:
    """Reads and writes of the API and the agents."""

    def __init__(self, etcd: Etcd, prefix: str) -> None:
        self.etcd = etcd
        self.keys = Keys(prefix)

    # Units.

    async def unit_names(self) -> list[str]:
        """All submitted units, sorted."""
        return [name async for name in self._names("job")]

    async def units(self, names: Sequence[str]) -> list[UnitEntity]:
        """These units, as far as they exist."""
        found: list[tuple[str, JobRecord, ScheduleRecord | None, dict[str, StateRecord]]] = []
        for batch in _batches(names):
            reads: list[Operation] = []
            for name in batch:
                states = self.keys.state(name, "")
                reads += [
                    Range(self.keys.job(name)),
                    Range(self.keys.schedule(name)),
                    Range(states, prefix_end(states)),
                ]
            ranges = (await self.etcd.txn([], reads)).ranges
            for index, name in enumerate(batch):
                jobs, places, states_found = ranges[3 * index : 3 * index + 3]
                if jobs:
                    place = _decoded(places[0], ScheduleRecord) if places else None
                    found.append((name, _decoded(jobs[0], JobRecord), place, _by_machine(states_found)))
        contents = await self.contents({job.hash for _, job, _, _ in found})
        return [
            _entity(name, job, contents.get(job.hash, []), place, states)
            for name, job, place, states in found
        ]

    async def unit(self, name: str) -> UnitEntity | None:
        """One unit."""
        return next(iter(await self.units([name])), None)

    async def contents(self, hashes: Iterable[str]) -> dict[str, list[Option]]:
        """The contents with these hashes."""
        keys = [self.keys.unit(content_hash) for content_hash in sorted(hashes)]
        found = await self._get_many(keys)
        return {_last(item): _decoded(item, UnitRecord).options for item in found}

    async def submit(
        self, name: str, options: Sequence[Option], target: UnitTarget, *, is_global: bool
    ) -> None:
        """Add a unit, or give it new content."""
        content_hash = unit_hash(options)
        await self.etcd.txn(
            [],
            [
                Put(self.keys.unit(content_hash), encode_json(UnitRecord(list(options)))),
                Put(self.keys.job(name), encode_json(JobRecord(content_hash, target, is_global))),
            ],
        )

    async def set_target(self, name: str, target: UnitTarget) -> bool:
        """Say how far a unit is to be; False if there is no such unit."""
        for _ in range(_ATTEMPTS):
            known = await self.etcd.get(self.keys.job(name))
            if known is None:
                return False
            old = _decoded(known, JobRecord)
            if old.target is target:
                return True
            record = JobRecord(old.hash, target, old.is_global)
            outcome = await self.etcd.txn(
                [Compare(self.keys.job(name), "mod", known.mod_revision)],
                [Put(self.keys.job(name), encode_json(record))],
            )
            if outcome.succeeded:
                return True
        raise ContendedError(f"{name} is being changed by others all the time", hint="try again")

    async def destroy(self, name: str) -> bool:
        """Forget a unit, and where it is to run and moves; False if there is no such unit."""
        outcome = await self.etcd.txn(
            [Compare(self.keys.job(name), "version", 0, "GREATER")],
            [Delete(key) for key in (self.keys.job(name), self.keys.schedule(name), self.keys.move(name))],
        )
        return outcome.succeeded

    # Machines.

    async def machines(self) -> list[MachineEntity]:
        """The machines that are in the cluster now, by id."""
        ranges = (
            await self.etcd.txn(
                [], [Range(*self.keys.folder("machine")), Range(*self.keys.folder("metadata"))]
            )
        ).ranges
        added: dict[str, dict[str, str]] = {}
        for item in ranges[1]:
            machine_id, _, key = (
                item.key.decode().removeprefix(self.keys.folder("metadata")[0]).partition("/")
            )
            added.setdefault(machine_id, {})[key] = item.value.decode()
        entities = []
        for item in ranges[0]:
            record = _decoded(item, MachineRecord)
            metadata = merged_metadata(record.metadata, added.get(_last(item), {}))
            entities.append(MachineEntity(_last(item), record.public_ip, metadata))
        return entities

    async def set_metadata(self, changes: Sequence[tuple[str, str, str]]) -> None:
        """Set metadata, all or nothing: (machine id, key, value); an empty value removes."""
        latest = {self.keys.metadata(machine_id, key): value for machine_id, key, value in changes}
        await self.etcd.txn([], [Put(key, value.encode()) for key, value in latest.items()])

    async def set_cordon(self, machine_id: str, by: str, record: CordonRecord) -> int:
        """Cordon a machine in somebody's name; returns the revision."""
        return await self.etcd.put(self.keys.cordon(machine_id, by), encode_json(record))

    async def drop_cordon(self, machine_id: str, by: str) -> int:
        """Undo that; returns the revision."""
        return (await self.etcd.txn([], [Delete(self.keys.cordon(machine_id, by))])).revision

    # States.

    async def state_keys(self) -> list[tuple[str, str]]:
        """(unit, machine id) of all known states, sorted."""
        found = [name.rpartition("/") async for name in self._names("state")]
        return sorted((unit, machine_id) for unit, _, machine_id in found)

    async def states(self, wanted: Sequence[tuple[str, str]]) -> list[UnitStateEntity]:
        """These states, as far as they exist."""
        keys = [self.keys.state(unit, machine_id) for unit, machine_id in wanted]
        return self._states(await self._get_many(keys))

    async def states_of(self, unit: str) -> list[UnitStateEntity]:
        """How a unit is, on each machine where it is."""
        start = self.keys.state(unit, "")
        return self._states((await self.etcd.range(Range(start, prefix_end(start)))).items)

    async def state_records(self, wanted: Sequence[tuple[str, str]]) -> dict[tuple[str, str], StateRecord]:
        """How units are on machines, by both, as far as it is known."""
        found = await self._get_many([self.keys.state(unit, machine_id) for unit, machine_id in wanted])
        return {self._unit_and_machine(item): _decoded(item, StateRecord) for item in found}

    async def units_on(self, machine_id: str) -> list[str]:
        """The units of which a machine tells how they are."""
        return [unit for unit, place in await self.state_keys() if place == machine_id]

    def _unit_and_machine(self, item: KeyValue) -> tuple[str, str]:
        unit, _, machine_id = item.key.decode().removeprefix(self.keys.folder("state")[0]).rpartition("/")
        return unit, machine_id

    def _states(self, found: Iterable[KeyValue]) -> list[UnitStateEntity]:
        entities = []
        for item in found:
            record = _decoded(item, StateRecord)
            unit, machine_id = self._unit_and_machine(item)
            entities.append(
                UnitStateEntity(
                    unit, record.hash, machine_id, record.load, record.active, record.sub, record.refusal
                )
            )
        return entities

    async def publish(
        self, machine_id: str, lease: int, states: Mapping[str, StateRecord], gone: Iterable[str]
    ) -> None:
        """Tell how units are on this machine. Raises `LeaseNotFoundError` if its lease is gone."""
        writes: list[Operation] = [
            Put(self.keys.state(name, machine_id), encode_json(record), lease)
            for name, record in states.items()
        ]
        writes += [Delete(self.keys.state(name, machine_id)) for name in gone]
        for batch in _batches(writes):
            await self.etcd.txn([], batch)

    async def _names(self, folder: str) -> AsyncIterator[str]:
        start, end = self.keys.folder(folder)
        key = start
        while True:
            page = await self.etcd.range(Range(key, end, limit=5000, keys_only=True))
            for item in page.items:
                yield item.key.decode().removeprefix(start)
            if not page.more:
                return
            key = page.items[-1].key.decode() + "\0"

    async def _get_many(self, keys: Sequence[str]) -> list[KeyValue]:
        found: list[KeyValue] = []
        for batch in _batches(keys):
            outcome = await self.etcd.txn([], [Range(key) for key in batch])
            found += [item for items in outcome.ranges for item in items]
        return found


def _entity(
    name: str,
    job: JobRecord,
    options: list[Option],
    place: ScheduleRecord | None,
    states: Mapping[str, StateRecord],
) -> UnitEntity:
    if job.is_global:
        return UnitEntity(name, options, job.target.value)
    if place is None:
        return UnitEntity(name, options, job.target.value, UnitTarget.INACTIVE.value)
    state = states.get(place.machine_id)
    current = state.state if state is not None and state.hash == job.hash else UnitTarget.INACTIVE
    return UnitEntity(name, options, job.target.value, current.value, place.machine_id)


def _by_machine(items: Iterable[KeyValue]) -> dict[str, StateRecord]:
    return {_last(item): _decoded(item, StateRecord) for item in items}


def _last(item: KeyValue) -> str:
    return item.key.decode().rpartition("/")[2]


def _decoded(item: KeyValue, kind: type[T]) -> T:
    return decode_json(item.value, kind, source=f"etcd key {item.key.decode(errors='replace')}")


def _batches(items: Sequence[T]) -> Iterable[Sequence[T]]:
    return (items[start : start + _BATCH] for start in range(0, len(items), _BATCH))

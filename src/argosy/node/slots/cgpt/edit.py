"""What `cgpt` does to a partition table. Pure: (table, what is wanted) -> table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from argosy.formats.gpt import (
    ENTRIES,
    Gpt,
    GptError,
    Partition,
    UsrAttributes,
    check,
    usr_attributes,
    with_usr_attributes,
)
from argosy.node.slots.cgpt.kinds import UNUSED, USR

_LEGACY_BOOTABLE = 1 << 2
_MAX_PRIORITY = 15


@dataclass(frozen=True, slots=True)
class Changes:
    """What `cgpt add` is to set; None stays as it is. `number` 0 is the first free entry."""

    number: int = 0
    begin: int | None = None
    size: int | None = None
    kind: UUID | None = None
    guid: UUID | None = None
    label: str | None = None
    legacy_bootable: bool | None = None
    successful: bool | None = None
    tries: int | None = None
    priority: int | None = None
    raw: int | None = None


def add(table: Gpt, changes: Changes, fresh_guid: UUID) -> Gpt:
    """Add, change or (with the type `unused`) remove an entry. Raises `GptError`."""
    known = {part.number: part for part in table.partitions}
    number = changes.number or next((n for n in range(1, ENTRIES + 1) if n not in known), 0)
    if not 1 <= number <= ENTRIES:
        raise GptError(f"invalid partition number: {number}" if number else "no unused partitions available")
    part = _changed(known[number], changes) if number in known else _made(number, changes, fresh_guid)
    others = [other for other in table.partitions if other.number != number]
    parts = others if part.type_guid == UNUSED else sorted([*others, part], key=lambda it: it.number)
    result = replace(table, partitions=tuple(parts))
    check(result)
    return result


def prioritize(table: Gpt, *, number: int = 0, friends: bool = False, highest: int = 0) -> Gpt:
    """Rank the /usr partitions anew, in the order that they have; `number` goes before all others.

    With `friends`, those of its priority go with it. A partition of priority 0 stays there, unless it is the
    one. `highest` is the priority to begin with; 0 is as low as the order allows. Raises `GptError`.
    """
    slots = [part for part in table.partitions if part.type_guid == USR]
    chosen = next((part for part in slots if part.number == number), None)
    if number and chosen is None:
        raise GptError(f"partition {number} is not a CoreOS root")
    first = (
        []
        if chosen is None
        else [part for part in slots if part is chosen or (friends and _same(part, chosen))]
    )
    rest = sorted({_priority(part) for part in slots if part not in first and _priority(part)}, reverse=True)
    groups = [first] if first else []
    groups += [[part for part in slots if part not in first and _priority(part) == each] for each in rest]
    start = highest or min(len(groups), _MAX_PRIORITY)
    new = {part.number: max(start - rank, 1) for rank, group in enumerate(groups) for part in group}
    return _with_bits(
        table,
        {
            part.number: replace(_bits(part), priority=new[part.number])
            for part in slots
            if part.number in new
        },
    )


def next_root(tables: Sequence[Gpt]) -> tuple[int, Partition]:
    """The /usr partition to boot, of several disks: strictly the highest priority wins. Raises `GptError`."""
    best: tuple[int, Partition] | None = None
    for index, table in enumerate(tables):
        for part in table.partitions:
            bits = _bits(part)
            if part.type_guid != USR or not (bits.successful or bits.tries):
                continue
            if best is None or bits.priority > _priority(best[1]):
                best = index, part
    if best is None:
        raise GptError("no /usr partition can boot: none has a try left, and none was successful")
    return best


def take_try(table: Gpt, number: int) -> Gpt:
    """The table after a boot of the partition began: it has a try less, if it had any."""
    part = next(part for part in table.partitions if part.number == number)
    bits = _bits(part)
    return _with_bits(table, {number: replace(bits, tries=max(bits.tries - 1, 0))})


def resized(table: Gpt, number: int, least_sectors: int) -> Gpt | None:
    """A partition grown up to what follows; None if that is less than `least_sectors`. Raises `GptError`."""
    part = next((part for part in table.partitions if part.number == number), None)
    if part is None:
        raise GptError(f"invalid partition number: {number}")
    starts = [other.first_lba for other in table.partitions if other.first_lba > part.last_lba]
    end = min(starts, default=table.last_usable_lba + 1) - 1
    if end <= part.last_lba or end - part.last_lba < least_sectors:
        return None
    grown = replace(part, last_lba=end)
    return replace(table, partitions=tuple(grown if it is part else it for it in table.partitions))


def _made(number: int, changes: Changes, fresh_guid: UUID) -> Partition:
    if changes.begin is None or changes.size is None or changes.kind is None:
        raise GptError("-t, -b, and -s options are required for new partitions")
    if changes.kind == UNUSED:
        raise GptError('New partitions must have a type other than "unused"')
    part = Partition(number, changes.kind, fresh_guid, changes.begin, changes.begin + changes.size - 1)
    return _changed(part, changes)


def _changed(part: Partition, changes: Changes) -> Partition:
    begin = part.first_lba if changes.begin is None else changes.begin
    return replace(
        part,
        type_guid=part.type_guid if changes.kind is None else changes.kind,
        guid=part.guid if changes.guid is None else changes.guid,
        first_lba=begin,
        last_lba=part.last_lba if changes.size is None else begin + changes.size - 1,
        label=part.label if changes.label is None else changes.label,
        attributes=_attributes(part.attributes, changes),
    )


def _attributes(attributes: int, changes: Changes) -> int:
    if changes.raw is not None:
        return changes.raw
    if changes.legacy_bootable is not None:
        attributes = attributes & ~_LEGACY_BOOTABLE | _LEGACY_BOOTABLE * changes.legacy_bootable
    bits = usr_attributes(attributes)
    wanted = UsrAttributes(
        priority=bits.priority if changes.priority is None else changes.priority,
        tries=bits.tries if changes.tries is None else changes.tries,
        successful=bits.successful if changes.successful is None else changes.successful,
    )
    return with_usr_attributes(attributes, wanted)


def _with_bits(table: Gpt, bits: dict[int, UsrAttributes]) -> Gpt:
    parts = (
        replace(part, attributes=with_usr_attributes(part.attributes, bits[part.number]))
        if part.number in bits
        else part
        for part in table.partitions
    )
    return replace(table, partitions=tuple(parts))


def _bits(part: Partition) -> UsrAttributes:
    return usr_attributes(part.attributes)


def _priority(part: Partition) -> int:
    return _bits(part).priority


def _same(part: Partition, chosen: Partition) -> bool:
    return _priority(part) == _priority(chosen)

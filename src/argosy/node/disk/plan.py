"""(partition table, size of the disk) -> the table it should have, and the writes that get it there. Pure.

The writes are in an order that survives a power cut; planning again then starts from the sound copy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

from argosy.formats.gpt import SECTOR_BYTES, Decoded, Gpt, Partition, grown
from argosy.node.disk.writes import Write, copy_writes, mbr_write

SHIPPED_GUID = UUID(int=1)
ROOT_LABEL = "ROOT"
ALIGNMENT_SECTORS = 4096
"""Partitions end on multiples of this (2 MiB), and ROOT is not grown by less."""


@dataclass(frozen=True)
class Plan:
    """The table to reach and how; without `writes` nothing is to be done. `reasons` say why, in words."""

    table: Gpt
    writes: tuple[Write, ...]
    reasons: tuple[str, ...]

    @property
    def root(self) -> Partition:
        return self.table.partition(ROOT_LABEL)


def plan(decoded: Decoded, sectors: int, fresh_guid: UUID) -> Plan:
    """What to do with a disk of `sectors` sectors. Raises `GptError` if it has no ROOT.

    `fresh_guid` becomes the disk's if it still has the one that every disk is shipped with.
    """
    table = grown(decoded.table, sectors)
    reasons = []
    if decoded.table.disk_guid == SHIPPED_GUID:
        table = replace(table, disk_guid=fresh_guid)
        reasons.append("the disk has the identity that every disk is shipped with")
    if decoded.table.sectors != sectors:
        reasons.append("the disk has grown since its table was written")
    if (gain := _root_end(table) - table.partition(ROOT_LABEL).last_lba) >= ALIGNMENT_SECTORS:
        table = _with_root_end(table, _root_end(table))
        reasons.append(f"{gain * SECTOR_BYTES // 2**20} MiB behind ROOT are free")
    for copy, problem in (("primary", decoded.primary_problem), ("backup", decoded.backup_problem)):
        if problem and decoded.table.sectors == sectors:
            reasons.append(f"the {copy} copy of the table {problem}")
    return Plan(table, _writes(table, decoded) if reasons else (), tuple(reasons))


def _root_end(table: Gpt) -> int:
    """The last sector that ROOT may reach: before what follows it, or before the backup copy, aligned."""
    root = table.partition(ROOT_LABEL)
    following = [part.first_lba for part in table.partitions if part.first_lba > root.last_lba]
    end = min(following, default=table.last_usable_lba + 1)
    return max(root.last_lba, end // ALIGNMENT_SECTORS * ALIGNMENT_SECTORS - 1)


def _with_root_end(table: Gpt, last_lba: int) -> Gpt:
    parts = (
        replace(part, last_lba=last_lba) if part.label == ROOT_LABEL else part for part in table.partitions
    )
    return replace(table, partitions=tuple(parts))


def _writes(table: Gpt, decoded: Decoded) -> tuple[Write, ...]:
    return (*copy_writes(table, decoded), mbr_write(table, decoded))

"""(partition table) -> the writes that put it on a disk, of which a power cut loses at most one copy. Pure.

While one copy is being written, the other one is sound, and a copy with a torn write is refused by its
checksums. The kernel turns to the backup copy only with its argument `gpt`.
"""

from __future__ import annotations

from dataclasses import dataclass

from argosy.formats.gpt import SECTOR_BYTES, Decoded, Gpt, encode


@dataclass(frozen=True)
class Write:
    """Bytes to put at an offset of the disk, made durable before the next write."""

    offset_bytes: int
    data: bytes
    what: str


def copy_writes(table: Gpt, decoded: Decoded) -> tuple[Write, Write]:
    """What writes both copies of `table` over those that were read: the one that may be lost goes first."""
    head, tail = encode(table, boot_code=decoded.boot_code)
    backup = Write(table.sectors * SECTOR_BYTES - len(tail), tail, "the backup copy of the partition table")
    primary = Write(SECTOR_BYTES, head[SECTOR_BYTES:], "the primary copy of the partition table")
    return (primary, backup) if decoded.primary_problem else (backup, primary)


def mbr_write(table: Gpt, decoded: Decoded) -> Write:
    """What writes the protective MBR, with the boot code that was read."""
    head, _ = encode(table, boot_code=decoded.boot_code)
    return Write(0, head[:SECTOR_BYTES], "the protective MBR")

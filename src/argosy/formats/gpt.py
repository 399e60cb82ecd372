"""GUID partition tables: bytes <-> frozen types, as the UEFI specification 2.10, chapter 5, defines them.

Sectors are 512 bytes. A disk starts with `HEAD_SECTORS` (protective MBR, header, entries) and ends with
`TAIL_SECTORS` (entries, header): `encode` makes both, `decode` needs both and takes whichever is sound.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, replace
from uuid import UUID

from argosy.base.errors import ArgosyError

SECTOR_BYTES = 512
ENTRIES = 128
HEAD_SECTORS = 34
TAIL_SECTORS = 33
BOOT_CODE_BYTES = 440

_ENTRY_BYTES = 128
_ENTRIES_BYTES = ENTRIES * _ENTRY_BYTES
_ENTRIES_SECTORS = _ENTRIES_BYTES // SECTOR_BYTES
_LABEL_BYTES = 72
# signature, revision, size, CRC, reserved, this, other, first, last, disk, entries at, count, size, CRC
_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
_ENTRY = struct.Struct("<16s16sQQQ72s")
_SIGNATURE = b"EFI PART"
_REVISION = 0x00010000
_MBR_SIGNATURE = b"\x55\xaa"
_PROTECTIVE = 0xEE
_MAX_U32 = 0xFFFFFFFF


class GptError(ArgosyError):
    """A table that breaks the rules, or that cannot be read in either copy."""


@dataclass(frozen=True, slots=True)
class Partition:
    """One entry. `number` counts from 1; `last_lba` belongs to the partition."""

    number: int
    type_guid: UUID
    guid: UUID
    first_lba: int
    last_lba: int
    label: str = ""
    attributes: int = 0

    @property
    def sectors(self) -> int:
        return self.last_lba - self.first_lba + 1


@dataclass(frozen=True, slots=True)
class Gpt:
    """A whole table of a disk of `sectors` sectors; `partitions` are in the order of their numbers."""

    disk_guid: UUID
    sectors: int
    partitions: tuple[Partition, ...]

    @property
    def first_usable_lba(self) -> int:
        return HEAD_SECTORS

    @property
    def last_usable_lba(self) -> int:
        return self.sectors - TAIL_SECTORS - 1

    def partition(self, label: str) -> Partition:
        """The first partition with this label. Raises `GptError` if there is none."""
        for partition in self.partitions:
            if partition.label == label:
                return partition
        raise GptError(f"the disk has no partition {label!r}")


@dataclass(frozen=True, slots=True)
class Decoded:
    """What was read, and what is wrong with either copy ("" if nothing)."""

    table: Gpt
    boot_code: bytes
    primary_problem: str
    backup_problem: str


@dataclass(frozen=True, slots=True)
class UsrAttributes:
    """CoreOS's bits in the attributes of a /usr partition: 48-51 priority, 52-55 tries, 56 successful."""

    priority: int = 0
    tries: int = 0
    successful: bool = False


def usr_attributes(attributes: int) -> UsrAttributes:
    """Read CoreOS's bits."""
    return UsrAttributes(attributes >> 48 & 15, attributes >> 52 & 15, bool(attributes >> 56 & 1))


def with_usr_attributes(attributes: int, bits: UsrAttributes) -> int:
    """`attributes` with CoreOS's bits set as `bits` says; the others stay."""
    if not (0 <= bits.priority <= 15 and 0 <= bits.tries <= 15):
        raise GptError(f"priority and tries go from 0 to 15, not {bits.priority} and {bits.tries}")
    others = attributes & ~(0x1FF << 48)
    return others | bits.priority << 48 | bits.tries << 52 | int(bits.successful) << 56


def encode(table: Gpt, *, boot_code: bytes = b"") -> tuple[bytes, bytes]:
    """The first `HEAD_SECTORS` and the last `TAIL_SECTORS` sectors of the disk.

    `boot_code` is what a BIOS starts: at most `BOOT_CODE_BYTES`. Raises `GptError` if the table is not sound.
    """
    check(table)
    entries = _encode_entries(table)
    last = table.sectors - 1
    primary = _encode_header(table, entries, this_lba=1, other_lba=last, entries_lba=2)
    backup = _encode_header(table, entries, this_lba=last, other_lba=1, entries_lba=table.last_usable_lba + 1)
    return _encode_mbr(table, boot_code) + primary + entries, entries + backup


def decode(head: bytes, tail: bytes, *, sectors: int) -> Decoded:
    """Read a disk's first `HEAD_SECTORS` and last `TAIL_SECTORS` sectors; the disk has `sectors` sectors.

    A damaged copy is named in the result, and the other one is used. On a disk that has grown since the table
    was written there is no backup at its end; the table then keeps the size that it was made for.
    Raises `GptError` if neither copy is sound.
    """
    if len(head) != HEAD_SECTORS * SECTOR_BYTES or len(tail) != TAIL_SECTORS * SECTOR_BYTES:
        raise GptError("the first 34 and the last 33 sectors of the disk are needed")
    primary_entries = head[2 * SECTOR_BYTES :]
    primary = _decode_copy(head[SECTOR_BYTES : 2 * SECTOR_BYTES], primary_entries, 1, sectors)
    backup = _decode_copy(tail[-SECTOR_BYTES:], tail[:_ENTRIES_BYTES], sectors - 1, sectors)
    table = primary if isinstance(primary, Gpt) else backup
    if not isinstance(table, Gpt):
        raise GptError(f"no partition table: primary copy {primary}, backup copy {backup}")
    return Decoded(
        table=table,
        boot_code=head[:BOOT_CODE_BYTES],
        primary_problem=primary if isinstance(primary, str) else "",
        backup_problem=backup if isinstance(backup, str) else _difference(table, backup),
    )


def grown(table: Gpt, sectors: int) -> Gpt:
    """The same table for a disk that now has `sectors` sectors."""
    return replace(table, sectors=sectors)


def check(table: Gpt) -> None:
    """Raises `GptError` unless numbers are unique, and partitions lie inside the disk and apart."""
    numbers = [partition.number for partition in table.partitions]
    if numbers != sorted(set(numbers)) or not all(1 <= number <= ENTRIES for number in numbers):
        raise GptError(f"partition numbers must rise and lie between 1 and {ENTRIES}: {numbers}")
    end = table.first_usable_lba - 1
    for partition in sorted(table.partitions, key=lambda partition: partition.first_lba):
        what = f"partition {partition.number} ({partition.label})"
        if partition.sectors < 1:
            raise GptError(f"{what} has no sectors")
        if partition.first_lba <= end:
            raise GptError(f"{what} starts at sector {partition.first_lba}, which is taken")
        end = partition.last_lba
        if end > table.last_usable_lba:
            raise GptError(f"{what} ends at sector {end}, the last usable one is {table.last_usable_lba}")
        if len(partition.label.encode("utf-16-le")) > _LABEL_BYTES or "\0" in partition.label:
            raise GptError(f"{what}: a label has at most 36 UTF-16 units, none of them zero")
        if partition.type_guid.int == 0 or not 0 <= partition.attributes < 1 << 64:
            raise GptError(f"{what} has no type, or attributes beyond 64 bits")


def _encode_mbr(table: Gpt, boot_code: bytes) -> bytes:
    if len(boot_code) > BOOT_CODE_BYTES:
        raise GptError(f"boot code has {len(boot_code)} bytes, {BOOT_CODE_BYTES} fit")
    covered = min(table.sectors - 1, _MAX_U32)
    entry = struct.pack("<B3sB3sII", 0, b"\x00\x02\x00", _PROTECTIVE, b"\xff\xff\xff", 1, covered)
    mbr = boot_code.ljust(446, b"\0") + entry
    return mbr.ljust(510, b"\0") + _MBR_SIGNATURE


def _encode_entries(table: Gpt) -> bytes:
    entries = bytearray(_ENTRIES_BYTES)
    for partition in table.partitions:
        _ENTRY.pack_into(
            entries,
            (partition.number - 1) * _ENTRY_BYTES,
            partition.type_guid.bytes_le,
            partition.guid.bytes_le,
            partition.first_lba,
            partition.last_lba,
            partition.attributes,
            partition.label.encode("utf-16-le"),
        )
    return bytes(entries)


def _encode_header(table: Gpt, entries: bytes, *, this_lba: int, other_lba: int, entries_lba: int) -> bytes:
    def packed(crc: int) -> bytes:
        return _HEADER.pack(
            _SIGNATURE,
            _REVISION,
            _HEADER.size,
            crc,
            0,
            this_lba,
            other_lba,
            table.first_usable_lba,
            table.last_usable_lba,
            table.disk_guid.bytes_le,
            entries_lba,
            ENTRIES,
            _ENTRY_BYTES,
            zlib.crc32(entries),
        )

    return packed(zlib.crc32(packed(0))).ljust(SECTOR_BYTES, b"\0")


def _decode_copy(header: bytes, entries: bytes, lba: int, sectors: int) -> Gpt | str:
    """One copy's table, or what is wrong with it."""
    fields = _HEADER.unpack_from(header)
    (
        signature,
        revision,
        size,
        crc,
        _,
        this_lba,
        other_lba,
        first,
        last,
        disk,
        at,
        count,
        entry_size,
        entries_crc,
    ) = fields
    if signature != _SIGNATURE:
        return "is missing"
    without_crc = header[:16] + bytes(4) + header[20:size]
    if not _HEADER.size <= size <= SECTOR_BYTES or zlib.crc32(without_crc) != crc:
        return "has a damaged header"
    if revision != _REVISION or size != _HEADER.size or count != ENTRIES or entry_size != _ENTRY_BYTES:
        return "has a layout that this program does not know"
    made_for = max(this_lba, other_lba) + 1
    entries_at = 2 if lba == 1 else made_for - TAIL_SECTORS
    if this_lba != lba or at != entries_at or made_for > sectors:
        return "stands in the wrong place"
    if zlib.crc32(entries) != entries_crc:
        return "has damaged entries"
    table = Gpt(UUID(bytes_le=disk), made_for, _decode_entries(entries))
    if (first, last) != (table.first_usable_lba, table.last_usable_lba):
        return "has a layout that this program does not know"
    try:
        check(table)
    except GptError as error:
        return f"is not sound: {error}"
    return table


def _decode_entries(entries: bytes) -> tuple[Partition, ...]:
    found = []
    for number, (kind, guid, first, last, attributes, label) in enumerate(_ENTRY.iter_unpack(entries), 1):
        if kind != bytes(16):
            text = label.decode("utf-16-le", errors="replace").partition("\0")[0]
            found.append(
                Partition(number, UUID(bytes_le=kind), UUID(bytes_le=guid), first, last, text, attributes)
            )
    return tuple(found)


def _difference(table: Gpt, backup: Gpt) -> str:
    return "" if table == backup else "differs from the primary copy"

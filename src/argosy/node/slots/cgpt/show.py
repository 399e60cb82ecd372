"""A partition table as the original prints it. Pure."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from uuid import UUID

from argosy.formats.gpt import SECTOR_BYTES, TAIL_SECTORS, Partition, usr_attributes
from argosy.node.slots.cgpt.kinds import CHROMEOS_KERNEL, USR, description, upper

_ENTRIES_SECTORS = TAIL_SECTORS - 1
# The GPT header: signature, revision, size, CRC, reserved; this, the other, the first and the last usable
# sector; disk; first sector, number and size of the entries, their CRC.
_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
_SYSLINUX3 = b"\x1d\x9a"
_LEGACY_BOOTABLE = 1 << 2
TITLE = f"{'start':>12}{'size':>12}{'part':>8}  contents"
_INDENT = " " * 34


def entry_lines(partition: Partition, *, numeric: bool) -> Iterator[str]:
    """One partition's block."""
    yield _row(partition.first_lba, partition.sectors, str(partition.number), f'Label: "{partition.label}"')
    guid = partition.type_guid
    yield f"{_INDENT}Type: {upper(guid) if numeric else description(guid)}"
    yield f"{_INDENT}UUID: {upper(partition.guid)}"
    if numeric:
        yield f"{_INDENT}Attr: 0x{partition.attributes:016x}"
    elif guid in (USR, CHROMEOS_KERNEL):
        bits = usr_attributes(partition.attributes)
        yield (f"{_INDENT}Attr: priority={bits.priority} tries={bits.tries} successful={bits.successful:d}")
    elif partition.attributes & _LEGACY_BOOTABLE:
        yield f"{_INDENT}Attr: Legacy BIOS Bootable"


def quick_lines(partitions: Iterable[Partition], *, numeric: bool) -> Iterator[str]:
    """A line for each partition."""
    for part in partitions:
        words = upper(part.type_guid) if numeric else description(part.type_guid)
        yield _row(part.first_lba, part.sectors, str(part.number), words)


def table_lines(
    partitions: Iterable[Partition],
    head: bytes,
    tail: bytes,
    *,
    sectors: int,
    numeric: bool,
    details: bool,
    debug: bool,
) -> Iterator[str]:
    """The whole table: both copies, with `INVALID` where one is damaged; `head` and `tail` as read."""
    copies = _Copies(head, tail)
    parts = tuple(partitions)
    yield TITLE
    yield _row(0, 1, "", boot_sector_words(head[:SECTOR_BYTES]))
    yield _row(1, 1, _flag(copies.header_sound[0]), "Pri GPT header")
    if debug or (details and copies.header_sound[0]):
        yield from _header_lines(copies.headers[0], copies.entries[0], numeric=numeric)
    yield _row(2, _ENTRIES_SECTORS, _flag(copies.entries_sound[0]), "Pri GPT table")
    if copies.entries_sound[0]:
        for part in parts:
            yield from entry_lines(part, numeric=numeric)
    last = sectors - 1
    yield _row(last - _ENTRIES_SECTORS, _ENTRIES_SECTORS, _flag(copies.entries_sound[1]), "Sec GPT table")
    if copies.entries_sound[1] and (debug or not copies.entries_sound[0]):
        for part in parts:
            yield from entry_lines(part, numeric=numeric)
    yield _row(last, 1, _flag(copies.header_sound[1]), "Sec GPT header")
    if debug or (details and copies.header_sound[1] and not copies.header_sound[0]):
        yield from _header_lines(copies.headers[1], copies.entries[1], numeric=numeric)


def boot_sector_words(sector: bytes) -> str:
    """What stands in the first sector."""
    if sector[510:] != b"\x55\xaa":
        return "Unknown"
    if sector[444:446] != _SYSLINUX3:
        return "Hybrid MBR" if sector[446 + 16 + 4] else "Protective MBR"
    guid = boot_guid(sector)
    return f"PMBR (SYSLINUX3, Boot GUID: {upper(guid)})" if guid.int else "PMBR (SYSLINUX3)"


def boot_guid(sector: bytes) -> UUID:
    """The partition that SYSLINUX 3 boots, by the boot sector."""
    return UUID(bytes_le=sector[424:440])


class _Copies:
    """Both copies, and which of their parts are sound: entries are held against the first sound header."""

    def __init__(self, head: bytes, tail: bytes) -> None:
        self.headers = (head[SECTOR_BYTES : 2 * SECTOR_BYTES], tail[-SECTOR_BYTES:])
        self.entries = (head[2 * SECTOR_BYTES :], tail[:-SECTOR_BYTES])
        self.header_sound = tuple(_sound(header) for header in self.headers)
        good = self.headers[0] if self.header_sound[0] else self.headers[1]
        self.entries_sound = tuple(
            zlib.crc32(entries) == _HEADER.unpack_from(good)[13] for entries in self.entries
        )


def _sound(header: bytes) -> bool:
    signature, _, size, crc, *_ = _HEADER.unpack_from(header)
    whole = header[:16] + bytes(4) + header[20 : min(size, SECTOR_BYTES)]
    return bool(signature == b"EFI PART" and zlib.crc32(whole) == crc)


def _header_lines(header: bytes, entries: bytes, *, numeric: bool) -> Iterator[str]:
    fields = _HEADER.unpack_from(header)
    signature, revision, size, crc, _, mine, alternate, first, last, disk, at, count, each, entries_crc = (
        fields
    )
    dump = "-".join(f"{byte:02X}" for byte in signature)
    lines = (
        f"Sig: [{dump if numeric else signature.decode('latin-1')}]",
        f"Rev: 0x{revision:08x}",
        f"Size: {size}",
        f"Header CRC: 0x{crc:08x} {'' if _sound(header) else '(INVALID)'}",
        f"My LBA: {mine}",
        f"Alternate LBA: {alternate}",
        f"First LBA: {first}",
        f"Last LBA: {last}",
        f"Disk UUID: {upper(UUID(bytes_le=disk))}",
        f"Entries LBA: {at}",
        f"Number of entries: {count}",
        f"Size of entry: {each}",
        f"Entries CRC: 0x{entries_crc:08x} {'' if zlib.crc32(entries) == entries_crc else 'INVALID'}",
    )
    yield from (_INDENT + line for line in lines)


def _flag(sound: bool) -> str:
    return "" if sound else "INVALID"


def _row(start: int, size: int, part: str, contents: str) -> str:
    return f"{start:>12}{size:>12}{part:>8}  {contents}"

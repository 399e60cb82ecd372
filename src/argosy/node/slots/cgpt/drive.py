"""The edge: a disk or image with its partition table, opened by its name or by that of a partition on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from argosy.base.errors import ArgosyError
from argosy.formats.gpt import HEAD_SECTORS, SECTOR_BYTES, TAIL_SECTORS, Decoded, Gpt, grown
from argosy.node.disk.table import read_table, write_table
from argosy.node.disk.writes import Write, copy_writes


@dataclass(frozen=True, slots=True)
class Drive:
    """What was read; `head` and `tail` surround the partitions; `partition` is the one named, or 0."""

    path: Path
    partition: int
    decoded: Decoded
    head: bytes
    tail: bytes
    sectors: int

    @property
    def sound(self) -> bool:
        """Both copies of the table are good, and the same."""
        return not (self.decoded.primary_problem or self.decoded.backup_problem)


def load(path: Path) -> Drive:
    """Read a disk, an image, or the disk that a partition (/dev/vda3) is on. Raises `ArgosyError`."""
    disk, partition = whole(path)
    try:
        decoded, sectors = read_table(disk)
        head, tail = read_ends(disk, sectors)
    except OSError as error:
        raise ArgosyError(f"Can't open {disk}: {error.strerror}") from error
    return Drive(disk, partition, decoded, head, tail, sectors)


def read_ends(disk: Path, sectors: int) -> tuple[bytes, bytes]:
    """The first and the last sectors of a disk: those of the table's copies."""
    with disk.open("rb") as file:
        head = file.read(HEAD_SECTORS * SECTOR_BYTES)
        file.seek((sectors - TAIL_SECTORS) * SECTOR_BYTES)
        return head, file.read(TAIL_SECTORS * SECTOR_BYTES)


def save(drive: Drive, table: Gpt) -> None:
    """Write both copies, the damaged one first. The boot sector stays. Raises `ArgosyError`."""
    write_table(drive.path, copy_writes(grown(table, drive.sectors), drive.decoded))


def save_boot_sector(path: Path, data: bytes) -> None:
    """Replace the boot sector."""
    write_table(path, [Write(0, data, "the boot sector")])


def whole(path: Path, sys: Path = Path("/sys")) -> tuple[Path, int]:
    """The disk that a path names, and the partition's number if it names one, else 0."""
    folder = sys / "class/block" / path.resolve().name
    number = folder / "partition"
    if not path.is_block_device() or not number.exists():
        return path, 0
    return Path("/dev") / folder.resolve().parent.name, int(number.read_text())


def all_disks(sys: Path = Path("/sys")) -> Iterator[Path]:
    """The machine's disks: what has a device behind it, and is no partition."""
    for folder in sorted((sys / "block").iterdir()):
        if (folder / "device").exists():
            yield Path("/dev") / folder.name.replace("!", "/")


def partition_path(disk: Path, number: int) -> str:
    """A partition's name. A disk whose name ends in a digit has a `p` before the number."""
    separator = "p" if disk.is_block_device() and disk.name[-1].isdigit() else ""
    return f"{disk}{separator}{number}"

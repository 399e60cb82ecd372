"""The edge: finds the disk below /, tells the kernel of a new size, grows ROOT."""

from __future__ import annotations

import array
import fcntl
import os
import struct
from dataclasses import dataclass
from pathlib import Path

from argosy.base.errors import ArgosyError
from argosy.formats.gpt import SECTOR_BYTES, Partition

# linux/blkpg.h: the request, and the operation that changes a partition's size.
_BLKPG = 0x1269
_BLKPG_RESIZE_PARTITION = 3
# linux/ext4: the number of blocks that the file system is to have.
_EXT4_IOC_RESIZE_FS = 0x40086610


@dataclass(frozen=True)
class Disk:
    """A disk, and the number of the partition on it that / is on."""

    path: Path
    root_number: int


def disk_of_root(root: Path = Path("/"), sys: Path = Path("/sys")) -> Disk:
    """The disk below the file system at `root`. Raises `ArgosyError` if that is on no partition."""
    device = root.stat().st_dev
    folder = sys / f"dev/block/{os.major(device)}:{os.minor(device)}"
    try:
        number = int((folder / "partition").read_text())
    except FileNotFoundError as error:
        raise ArgosyError(f"{root} is not on a partition of a disk") from error
    return Disk(Path("/dev") / folder.resolve().parent.name, number)


def tell_kernel(disk: Path, partition: Partition) -> None:
    """Have the kernel take a mounted partition's new size."""
    partition_argument = array.array(
        "b",
        struct.pack(
            "=qqi64s64s4x",
            partition.first_lba * SECTOR_BYTES,
            partition.sectors * SECTOR_BYTES,
            partition.number,
            b"",
            b"",
        ),
    )
    address, length = partition_argument.buffer_info()
    argument = struct.pack("iiiP", _BLKPG_RESIZE_PARTITION, 0, length, address)
    descriptor = os.open(disk, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, _BLKPG, argument)
    except OSError as error:
        what = f"partition {partition.number} of {disk}"
        raise ArgosyError(f"the kernel refuses the new size of {what}: {error.strerror}") from error
    finally:
        os.close(descriptor)


def grow_file_system(mounted_at: Path, partition: Partition) -> None:
    """Grow a mounted ext4 file system to its partition's size."""
    blocks = partition.sectors * SECTOR_BYTES // os.statvfs(mounted_at).f_frsize
    descriptor = os.open(mounted_at, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, _EXT4_IOC_RESIZE_FS, struct.pack("=Q", blocks))
    except OSError as error:
        raise ArgosyError(f"the file system at {mounted_at} does not grow: {error.strerror}") from error
    finally:
        os.close(descriptor)

"""The edge: the boot loader's environment block on the EFI system partition, and the partition's mount."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from argosy.base.errors import ArgosyError
from argosy.base.files import replace_file, sync_renamed
from argosy.base.run import run
from argosy.formats.bootenv import BootEnvironment, decode, encode
from argosy.formats.grubenv import BLOCK_BYTES, GrubEnvError
from argosy.node.disk.device import disk_of_root

_LABEL = "EFI-SYSTEM"
_BLOCK = "coreos/grub/grubenv"


def block_path(esp: Path) -> Path:
    """The environment block of an ESP that is mounted at `esp`."""
    return esp / _BLOCK


def read_environment(esp: Path) -> BootEnvironment | None:
    """What the block says; None if it is missing or damaged."""
    try:
        return decode(block_path(esp).read_bytes())
    except (FileNotFoundError, GrubEnvError):
        return None


def write_environment(esp: Path, environment: BootEnvironment) -> None:
    """Write the block in place: all that changes is in its first sector, which a disk writes whole or not.

    GRUB knows the file's sectors by the file system, so a block that is sound keeps its place. One that is
    missing or has another size is made anew.
    """
    path, block = block_path(esp), encode(environment)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise ArgosyError(f"{esp} is not the EFI system partition: it has no coreos/grub") from None
        replace_file(path, block)
        sync_renamed(path)
        return
    try:
        if os.fstat(descriptor).st_size != BLOCK_BYTES:
            os.ftruncate(descriptor, BLOCK_BYTES)
        if os.pwrite(descriptor, block, 0) != len(block):
            raise ArgosyError(f"{path} took only a part of the boot loader's environment")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def device(sys: Path = Path("/sys")) -> Path:
    """The EFI system partition of the disk that / is on. Raises `ArgosyError` if there is none.

    As the kernel names it: early in a boot udev may not have made its links yet.
    """
    disk = disk_of_root(sys=sys).path.name
    for uevent in (sys / "class/block" / disk).glob(f"{disk}*/uevent"):
        if f"PARTNAME={_LABEL}" in uevent.read_text().splitlines():
            return Path("/dev") / uevent.parent.name
    raise ArgosyError(f"there is no partition {_LABEL} on {disk}")


@contextlib.contextmanager
def mounted(device: Path, folder: Path) -> Iterator[Path]:
    """Mount the ESP at `folder` while the block runs.

    For early boot and for shutdown, when the automount of /boot does not answer. The kernel has one file
    system for all mounts of a device, so this is the same as /boot, if that is mounted, too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    run(["mount", "-t", "vfat", "-o", "umask=0077", device, folder])
    try:
        yield folder
    finally:
        run(["umount", folder])

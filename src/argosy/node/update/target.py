"""The edge: where an update is written: the standby slot's partition, and its files on the ESP.

A file on the ESP is written under a temporary name and takes its own when it is whole and durable.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from io import FileIO
from pathlib import Path
from typing import Protocol

from argosy.base.files import sync_folder, sync_renamed
from argosy.formats.payload import BOOT, INITRD, USR, VMLINUZ
from argosy.node.slots.model import StandbyTarget

_READ_BYTES = 256 << 10
_PARTIAL = ".part"


class Target(Protocol):
    """A standby slot to write. `name` is one of the payload's parts."""

    @property
    def slot(self) -> str:
        """The slot's letter."""

    def remove_files(self) -> None:
        """Remove the slot's files from the ESP: the slot is invalid, and they take room."""

    def remove_partial(self) -> None:
        """Remove what an interrupted update left under temporary names."""

    def write(self, name: str, offset: int, pieces: Iterable[bytes]) -> None:
        """Write at an offset of a part, durably."""

    def finish(self, name: str, size_bytes: int) -> None:
        """All of a part is written: give it its own name, durably."""

    def sha256(self, name: str, size_bytes: int) -> str:
        """The hash, in hexadecimal, of what the disk holds. It is `-` for a file of another size."""


class SlotTarget:
    """A `Target` on a block device or an image file, and a folder."""

    def __init__(self, paths: StandbyTarget) -> None:
        self._paths = paths
        # Open until all is written: udev looks at a partition each time that a writer closes it.
        self._usr: FileIO | None = None
        self._files = {VMLINUZ: paths.kernel, INITRD: paths.initrd, BOOT: paths.boot}

    @property
    def slot(self) -> str:
        """The slot's letter."""
        return self._paths.slot

    def remove_files(self) -> None:
        """Remove kernel, initrd and boot configuration."""
        self._remove(self._files.values())

    def remove_partial(self) -> None:
        """Remove the temporary names."""
        self._remove(_partial(path) for path in self._files.values())

    def write(self, name: str, offset: int, pieces: Iterable[bytes]) -> None:
        """/usr is written in place, the others under their temporary names."""
        if name == USR:
            if self._usr is None:
                self._usr = FileIO(self._paths.usr, "r+")
            _write(self._usr, self._paths.offset_bytes + offset, pieces)
            return
        path = _partial(self._files[name])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(0o600)
        with FileIO(path, "r+") as file:
            _write(file, offset, pieces)

    def finish(self, name: str, size_bytes: int) -> None:
        """/usr has its place already."""
        if name == USR:
            if self._usr is not None:
                self._usr.close()
                self._usr = None
            return
        path = self._files[name]
        os.truncate(_partial(path), size_bytes)
        _partial(path).replace(path)
        sync_renamed(path)

    def sha256(self, name: str, size_bytes: int) -> str:
        """Read from the disk, not from what the kernel still remembers of writing it."""
        path = self._paths.usr if name == USR else self._files[name]
        start = self._paths.offset_bytes if name == USR else 0
        digest, left = hashlib.sha256(), size_bytes
        with path.open("rb", buffering=0) as file:
            if name != USR and os.fstat(file.fileno()).st_size != size_bytes:
                return "-"
            os.posix_fadvise(file.fileno(), start, size_bytes, os.POSIX_FADV_DONTNEED)
            file.seek(start)
            buffer = memoryview(bytearray(_READ_BYTES))
            while left:
                count = file.readinto(buffer[: min(left, _READ_BYTES)])
                if not count:
                    return "-"
                digest.update(buffer[:count])
                left -= count
        return digest.hexdigest()

    def _remove(self, paths: Iterable[Path]) -> None:
        folders = set()
        for path in paths:
            if path.exists():
                path.unlink()
                folders.add(path.parent)
        for folder in folders:
            sync_folder(folder)


def free_bytes(folder: Path) -> int:
    """How much may be written below a folder."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def freed_bytes(paths: StandbyTarget) -> int:
    """How much the removal of the slot's old files on the ESP will free."""
    files = (paths.kernel, paths.initrd, paths.boot)
    found = [*files, *(_partial(path) for path in files)]
    return sum(path.stat().st_size for path in found if path.exists())


def _partial(path: Path) -> Path:
    return path.with_name(path.name + _PARTIAL)


def _write(file: FileIO, offset: int, pieces: Iterable[bytes]) -> None:
    file.seek(offset)
    for piece in pieces:
        view = memoryview(piece)
        while view:
            view = view[file.write(view) :]
    os.fsync(file.fileno())

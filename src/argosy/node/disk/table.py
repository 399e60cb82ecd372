"""The edge: reads and writes the partition table of a disk or of an image file."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path

from argosy.base.errors import ArgosyError
from argosy.formats.gpt import HEAD_SECTORS, SECTOR_BYTES, TAIL_SECTORS, Decoded, decode
from argosy.node.disk.writes import Write


def read_table(disk: Path) -> tuple[Decoded, int]:
    """The partition table of a disk or image, and the size of the disk in sectors."""
    with disk.open("rb") as file:
        sectors = file.seek(0, os.SEEK_END) // SECTOR_BYTES
        if sectors < HEAD_SECTORS + TAIL_SECTORS:
            raise ArgosyError(f"{disk} is too small to have a partition table")
        file.seek(0)
        head = file.read(HEAD_SECTORS * SECTOR_BYTES)
        file.seek((sectors - TAIL_SECTORS) * SECTOR_BYTES)
        return decode(head, file.read(TAIL_SECTORS * SECTOR_BYTES), sectors=sectors), sectors


def write_table(disk: Path, writes: Sequence[Write]) -> None:
    """Perform writes one after the other, each durable before the next begins.

    The disk is locked meanwhile, so that udev does not look at a table that is half written.
    """
    if not writes:
        return
    descriptor = os.open(disk, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        for write in writes:
            done = os.pwrite(descriptor, write.data, write.offset_bytes)
            if done != len(write.data):
                raise ArgosyError(f"{disk} took only {done} bytes of {write.what}")
            os.fsync(descriptor)
    finally:
        os.close(descriptor)

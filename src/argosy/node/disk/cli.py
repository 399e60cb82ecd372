"""`extend-filesystems`: run at boot when the initrd found a disk that is new or has grown.

It takes no arguments, and imports little: its start-up is most of what it costs.
"""

from __future__ import annotations

import sys
import uuid
from pathlib import Path

from argosy.base.errors import ArgosyError, describe
from argosy.formats.gpt import SECTOR_BYTES
from argosy.node.disk import device
from argosy.node.disk.plan import plan
from argosy.node.disk.table import read_table, write_table


def main() -> int:
    """Entry point of /usr/lib/argosy/extend-filesystems."""
    try:
        _extend()
    except ArgosyError as error:
        print(describe(error, "extend-filesystems"), file=sys.stderr)
        return error.exit_code
    return 0


def _extend() -> None:
    disk = device.disk_of_root()
    decoded, sectors = read_table(disk.path)
    wanted = plan(decoded, sectors, uuid.uuid4())
    if wanted.root.number != disk.root_number:
        raise ArgosyError(f"/ is on partition {disk.root_number} of {disk.path}, which is not ROOT")
    for reason in wanted.reasons:
        print(f"{disk.path}: {reason}")
    write_table(disk.path, wanted.writes)
    # Also without a write: an earlier run may have been cut short after its last one.
    device.tell_kernel(disk.path, wanted.root)
    device.grow_file_system(Path("/"), wanted.root)
    print(f"{disk.path}: ROOT has {wanted.root.sectors * SECTOR_BYTES // 2**20} MiB")

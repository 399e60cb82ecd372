"""`extend-filesystems`: run at boot when the initrd found a disk that is new or has grown."""

from __future__ import annotations

import logging
import uuid
from pathlib import Path

from argosy.base import cli
from argosy.base.errors import ArgosyError
from argosy.base.log import set_up_logging
from argosy.node.disk import device
from argosy.node.disk.plan import plan

log = logging.getLogger(__name__)


def main() -> int:
    """Entry point of /usr/lib/argosy/extend-filesystems."""
    parser = cli.program(
        "extend-filesystems",
        "Gives the disk below / an identity of its own, and grows ROOT to the disk's end.",
    )
    parser.set_defaults(handler=lambda arguments: _extend())
    return cli.main(parser)


def _extend() -> int:
    set_up_logging()
    disk = device.disk_of_root()
    decoded, sectors = device.read_table(disk.path)
    wanted = plan(decoded, sectors, uuid.uuid4())
    if wanted.root.number != disk.root_number:
        raise ArgosyError(f"/ is on partition {disk.root_number} of {disk.path}, which is not ROOT")
    for reason in wanted.reasons:
        log.info("%s: %s", disk.path, reason)
    device.write_table(disk.path, wanted.writes)
    # Also without a write: an earlier run may have been cut short after its last one.
    device.tell_kernel(disk.path, wanted.root)
    device.grow_file_system(Path("/"))
    log.info("%s: ROOT has %d MiB", disk.path, wanted.root.sectors * 512 // 2**20)
    return 0

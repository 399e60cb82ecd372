"""The loop devices through which machines see /usr: the kernel ends them, a moment after the last user."""

from __future__ import annotations

import time
from pathlib import Path

_END_WITHIN_S = 5.0


def wait_ended(image: Path) -> None:
    """Wait until no loop device of the file `image` is left but those that are still mounted.

    Clusters of one release share its file (hard links), and so its loop devices: another one may use them.
    """
    deadline = time.monotonic() + _END_WITHIN_S
    while any(not _is_mounted(device) for device in devices(image)) and time.monotonic() < deadline:
        time.sleep(0.05)


def devices(image: Path) -> list[str]:
    """The loop devices whose backing file was opened as `image`, for example `loop0`."""
    found = []
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            if backing.read_text().strip() == str(image):
                found.append(backing.parts[3])
        except OSError:
            continue
    return found


def _is_mounted(device: str) -> bool:
    """Whether any process sees a file system of the block device mounted."""
    for mounts in Path("/proc").glob("[0-9]*/mounts"):
        try:
            if f"/dev/{device} " in mounts.read_text():
                return True
        except OSError:
            continue
    return False

"""The loop devices through which machines see /usr: the kernel ends them, a moment after the last user."""

from __future__ import annotations

import time
from pathlib import Path

from argosy.base.errors import ArgosyError
from argosy.base.progress import Progress

_AT_ONCE_S = 1.0
# With its last process the mounts of a machine go, its overlay among them; the kernel writes all that the
# host's file system has not yet written before it ends an overlay, and then only the loop device.
_END_WITHIN_S = 120.0


def wait_ended(image: Path, progress: Progress) -> None:
    """Wait until no loop device of the file `image` is left but those that are still mounted.

    Clusters of one release share its file (hard links), and so its loop devices: another one may use them.
    Raises `ArgosyError` if something else keeps one open.
    """
    if not _left_after(image, _AT_ONCE_S):
        return
    with progress.step("wait until the kernel has let go of the release's /usr"):
        left = _left_after(image, _END_WITHIN_S)
    if left:
        device = f"/dev/{left[0]}"
        raise ArgosyError(
            f"{device} still holds {image}",
            hint=f"a program has it open; once it has ended: `losetup --detach {device}`, then destroy again",
        )


def _left_after(image: Path, within_s: float) -> list[str]:
    deadline = time.monotonic() + within_s
    while left := [device for device in devices(image) if not _is_mounted(device)]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    return left


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

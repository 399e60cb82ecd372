"""The edge: the two partitions that say what boots, and the kernel's own loader."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from argosy.base.errors import ArgosyError
from argosy.base.run import run
from argosy.node.kexec.plan import NextKernel, next_kernel, slot_file
from argosy.node.slots.store import Slots

OEM = Path("/dev/disk/by-label/OEM")


def read_oem(device: Path, folder: Path) -> bytes:
    """The OEM's grub.cfg; empty if there is none. `folder` is where the partition may be mounted."""
    if not device.exists():
        return b""
    with _mounted(device, folder):
        try:
            return (folder / "grub.cfg").read_bytes()
        except FileNotFoundError:
            return b""


def load_next(slots: Slots, oem_configuration: bytes) -> NextKernel:
    """Load the kernel of the next boot, then take that boot, and its try, from the boot loader.

    Raises `ArgosyError` if that cannot be: then no kernel is loaded, and the boot loader has all that it had.
    """
    esp = slots.places.esp
    choice = slots.next_boot()
    wanted = next_kernel(choice, _read(esp / slot_file(choice.slot)), oem_configuration)
    load(esp / wanted.kernel, esp / wanted.initrd, wanted.command_line)
    try:
        if slots.take_next_boot() != choice:
            raise ArgosyError("what is to boot next has changed meanwhile")
    except BaseException:
        run(["kexec", "--unload"])
        raise
    return wanted


def load(kernel: Path, initrd: Path, command_line: str) -> None:
    """Have the kernel read and keep the next one. Raises `ArgosyError` if it does not take it."""
    for path in (kernel, initrd):
        if not path.is_file():
            raise ArgosyError(f"{path.name} is missing")
    options = (f"--initrd={initrd}", f"--command-line={command_line}")
    run(["kexec", "--load", "--kexec-file-syscall", kernel, *options])


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArgosyError(f"{path.name} cannot be read: {error.strerror}") from error


@contextlib.contextmanager
def _mounted(device: Path, folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    run(["mount", "-o", "ro", device, folder])
    try:
        yield
    finally:
        run(["umount", folder])

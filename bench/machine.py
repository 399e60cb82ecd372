"""One virtual machine under the stopwatch: CPU seconds of its QEMU until it prints a mark on its console."""

from __future__ import annotations

import os
import re
import select
import signal
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from argosy.base.errors import ArgosyError
from argosy.base.run import run, start_detached
from argosy.lab.qemu.command import PROGRAM, Accelerator, processor

MARK = "BENCH-HEALTHY"
MEMORY_MIB = 1024
_DISK_GIB = 10
_TIMEOUT_S = 600.0
_LOOK_EVERY_S = 0.1
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# It may stand behind a login prompt, and is whole once its line has ended.
_MARKED = re.compile(rf"{MARK} (\d+)\r?\n")


@dataclass(frozen=True, slots=True)
class Boot:
    """From power-on to the mark. `used_mib` is what the machine itself says that it uses then."""

    cpu_s: float
    wall_s: float
    used_mib: int


def boot(disk: Path, credentials: Mapping[str, bytes]) -> Boot:
    """Boot a disk image (raw; it is not changed) under TCG until its mark, then cut the power.

    The mark, `BENCH-HEALTHY USED_MIB`, ends a console line. Raises `ArgosyError` if it does not come.
    """
    with tempfile.TemporaryDirectory(prefix="bench.") as name:
        folder = Path(name)
        overlay = folder / "disk.qcow2"
        run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", disk, "-F", "raw", overlay, f"{_DISK_GIB}G"])
        console = folder / "console"
        console.touch()
        command = [*_command(overlay, console), *_credentials(folder, credentials)]
        started_s = time.monotonic()
        pid = start_detached(command, log=folder / "qemu.log")
        try:
            used_mib = _wait(pid, console, folder / "qemu.log")
            return Boot(_cpu_s(pid), time.monotonic() - started_s, used_mib)
        finally:
            _end(pid)


def _command(disk: Path, console: Path) -> list[str]:
    return [
        PROGRAM,
        *("-nodefaults", "-no-user-config", "-display", "none"),
        *processor(Accelerator.TCG),
        *("-smp", "1", "-m", str(MEMORY_MIB)),
        *("-drive", f"file={disk},format=qcow2,if=none,id=disk", "-device", "virtio-blk-pci,drive=disk"),
        *("-device", "virtio-rng-pci"),
        *("-netdev", "user,id=host", "-device", "virtio-net-pci,netdev=host,mac=52:54:00:00:00:01,romfile="),
        *("-serial", f"file:{console}"),
    ]


def _credentials(folder: Path, credentials: Mapping[str, bytes]) -> list[str]:
    words = []
    for name, data in credentials.items():
        (folder / name).write_bytes(data)
        words += ["-fw_cfg", f"name=opt/io.systemd.credentials/{name},file={folder / name}"]
    return words


def _wait(pid: int, console: Path, log: Path) -> int:
    deadline = time.monotonic() + _TIMEOUT_S
    descriptor = os.pidfd_open(pid)
    try:
        while time.monotonic() < deadline:
            found = _MARKED.search(console.read_text(errors="replace"))
            if found:
                return int(found[1])
            if select.select([descriptor], [], [], _LOOK_EVERY_S)[0]:
                raise ArgosyError("QEMU ended", hint=log.read_text(errors="replace")[-2000:])
    finally:
        os.close(descriptor)
    raise ArgosyError(f"no {MARK} after {_TIMEOUT_S:.0f} s", hint=console.read_text(errors="replace")[-2000:])


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def _end(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass

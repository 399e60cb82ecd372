"""The control group of a machine: one of its own in every hierarchy that systemd in the machine uses.

Sharing one would let `systemctl kill` in one machine reach the processes of another. Where systemd runs the
host, a scope with delegation is made through it (it is the only writer of its tree); elsewhere by ourselves.
Hierarchies as in https://systemd.io/CGROUP_DELEGATION: unified, or hybrid (a named v1 one beside it).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from argosy.base.errors import ArgosyError

_BOOTED = Path("/run/systemd/system")  # sd_booted(3)
_EMPTY_WITHIN_S = 10.0
_MACHINE = "machine"


@dataclass(frozen=True, slots=True)
class Hierarchies:
    """Where the host mounts the unified (v2) hierarchy, and systemd's v1 one if it has one."""

    unified: Path
    named: Path | None


@dataclass(frozen=True, slots=True)
class Cgroup:
    """A machine's control group: the same path in all hierarchies, the unified one first.

    `enter` is what to put before a command so that it runs in a scope of the host's systemd, if that runs it.
    """

    folders: tuple[Path, ...]
    enter: tuple[str, ...]

    @property
    def machine(self) -> Path:
        """Where in the unified hierarchy the machine and its systemd-nspawn are."""
        return self.folders[0] / _MACHINE


def parse_hierarchies(mounts: str) -> Hierarchies:
    """Find the hierarchies in the text of /proc/self/mounts (fields as in fstab(5))."""
    unified = named = None
    for line in mounts.splitlines():
        _, target, kind, options, *_ = line.split()
        if kind == "cgroup2" and unified is None:
            unified = Path(target)
        elif kind == "cgroup" and "name=systemd" in options.split(","):
            named = Path(target)
    if unified is None:
        raise ArgosyError(
            "this host has no unified control group hierarchy (cgroup2)",
            hint="boot it without systemd.unified_cgroup_hierarchy=0, or use --driver qemu",
        )
    return Hierarchies(unified, named)


def host_hierarchies() -> Hierarchies:
    """The hierarchies of this host; raises `ArgosyError` if it has no unified one."""
    return parse_hierarchies(Path("/proc/self/mounts").read_text())


def systemd_runs_host() -> bool:
    """Whether systemd is the host's PID 1."""
    return _BOOTED.is_dir()


def machine_cgroup(name: str, hierarchies: Hierarchies, *, scope: bool) -> Cgroup:
    """The control group `name`; with `scope` it is a scope that the host's systemd makes and removes."""
    path = f"machine.slice/{name}.scope" if scope else name
    roots = [root for root in (hierarchies.unified, hierarchies.named) if root is not None]
    enter = (
        "systemd-run",
        "--quiet",
        "--scope",
        "--collect",
        f"--unit={name}",
        f"--description={name}",
        "--slice=machine.slice",
        "--property=Delegate=yes",
        "--",
    )
    return Cgroup(tuple(root / path for root in roots), enter if scope else ())


def settle(folders: Sequence[Path], *, supervisor: int, machine: int) -> frozenset[str]:
    """Make the control group, and move into it the machine's process and the one that starts it again.

    Each has a group of its own there, because one that hands controllers on may hold no process itself.
    Returns the controllers that the machine may use.
    """
    for folder in folders:
        folder.mkdir(exist_ok=True)
        _join(folder / "power", supervisor)
        _remove(folder / _MACHINE)  # what the last boot left may hold no process any more
        handed_on = folder / "cgroup.subtree_control"
        if handed_on.exists():
            handed_on.write_text(" ".join(f"+{name}" for name in _controllers(folder)))
        _join(folder / _MACHINE, machine)
    return _controllers(folders[0] / _MACHINE)


def kill(cgroup: Cgroup) -> None:
    """SIGKILL every process in it and below it at once; returns when it is empty.

    Raises `ArgosyError` if processes are left after ten seconds (they hang in the kernel).
    """
    unified = cgroup.folders[0]
    deadline = time.monotonic() + _EMPTY_WITHIN_S
    while _populated(unified):
        if time.monotonic() > deadline:
            raise ArgosyError(
                f"processes in {unified} do not end", hint="they hang in the kernel: see `dmesg`"
            )
        with contextlib.suppress(FileNotFoundError):
            (unified / "cgroup.kill").write_text("1")
        time.sleep(0.02)


def remove(cgroup: Cgroup) -> None:
    """Remove the empty control group in all hierarchies; one that is not there is fine."""
    for folder in cgroup.folders:
        _remove(folder)


def _remove(top: Path) -> None:
    for folder, _, _ in os.walk(top, topdown=False):
        with contextlib.suppress(FileNotFoundError):
            Path(folder).rmdir()


def _join(folder: Path, pid: int) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "cgroup.procs").write_text(str(pid))


def _controllers(folder: Path) -> frozenset[str]:
    return frozenset((folder / "cgroup.controllers").read_text().split())


def _populated(folder: Path) -> bool:
    try:
        return "populated 1" in (folder / "cgroup.events").read_text()
    except OSError:  # gone, also between open and read (ENODEV)
        return False

"""The processes behind a machine, found anew each time: nothing on disk says what runs."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from argosy.lab import process
from argosy.lab.model import Machine, Site

_NSPAWN = "systemd-nspawn"
_POWER_OFF = signal.SIGRTMIN + 4  # systemd(1): starts poweroff.target


def role(machine: Machine) -> str:
    """The role that marks the processes which a machine has on the host."""
    return f"machine/{machine.name}"


def supervisors(site: Site, machine: Machine) -> list[process.Process]:
    """The loop that boots the machine, its systemd-nspawn, and for a moment what will become its PID 1."""
    return process.find_role(site.cluster.id, role(machine))


def leader(supervisor: process.Process) -> int | None:
    """The host's pid of the machine's PID 1: the child of systemd-nspawn."""
    folder = Path("/proc") / str(supervisor.pid)
    try:
        if (folder / "comm").read_text().strip() != _NSPAWN:
            return None
        children = (folder / "task" / str(supervisor.pid) / "children").read_text().split()
    except OSError:
        return None
    return int(children[0]) if children else None


def leaders(site: Site, machine: Machine) -> list[int]:
    """`leader` of all the machine's supervisors: one, or none while it does not run."""
    found = (leader(supervisor) for supervisor in supervisors(site, machine))
    return [pid for pid in found if pid is not None]


def press_power_button(site: Site, machine: Machine) -> None:
    """Ask the machine's PID 1 to power off; it may be asked again."""
    for pid in leaders(site, machine):
        with contextlib.suppress(ProcessLookupError):
            descriptor = os.pidfd_open(pid)
            try:
                if pid in leaders(
                    site, machine
                ):  # still it, and not another process that took the number since
                    signal.pidfd_send_signal(descriptor, _POWER_OFF)
            finally:
                os.close(descriptor)

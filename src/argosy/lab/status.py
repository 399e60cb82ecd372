"""How a cluster is, as `argosy status` tells it.

A machine's state is the lab's own word (`off`, `booting`) until the machine speaks, and then systemd's
(`running`, `degraded`, `starting`...).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from argosy.base.decode import decode_json
from argosy.base.errors import ArgosyError
from argosy.base.run import run
from argosy.formats.nodestatus import NodeStatus, UnitStatus
from argosy.lab import ssh
from argosy.lab.driver import Driver
from argosy.lab.model import Machine, Site
from argosy.lab.parallel import in_parallel

OFF = "off"
BOOTING = "booting"
_ANSWER_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class MachineStatus:
    """What is not known, because the machine does not speak, is None."""

    name: str
    machine_id: str | None
    ip: str
    ssh_port: int
    state: str
    version: str | None
    slot: str | None
    etcd: str | None
    units: tuple[UnitStatus, ...]


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """`healthy`: all machines are up, with etcd healthy and fleet registered where they are in use."""

    name: str
    driver: str
    release: str
    machines: tuple[MachineStatus, ...]
    healthy: bool


def look(site: Site, driver: Driver) -> ClusterStatus:
    """Ask all machines that are on, at once."""
    running = driver.running(site)

    def ask(machine: Machine) -> tuple[MachineStatus, bool]:
        node = node_status(site, machine) if machine.name in running else None
        silent = BOOTING if machine.name in running else OFF
        return machine_status(machine, node, silent=silent), node is not None and node.ready

    return summary(site, in_parallel(ask, site.cluster.machines))


def node_status(site: Site, machine: Machine) -> NodeStatus | None:
    """What the machine says of itself now; None if it does not speak."""
    words = ssh.command(site, machine, ["argosy", "status", "--json"])
    try:
        done = run(words, env=ssh.environment(site, machine), timeout_s=_ANSWER_TIMEOUT_S)
        return decode_json(done.stdout, NodeStatus, source=machine.name)
    except ArgosyError:
        return None


def boot_id(site: Site, machine: Machine) -> str:
    """The kernel's id of the machine's boot, unlike that of any other boot. Raises `ArgosyError`."""
    words = ssh.command(site, machine, ["cat", "/proc/sys/kernel/random/boot_id"])
    return run(words, env=ssh.environment(site, machine), timeout_s=_ANSWER_TIMEOUT_S).text


def machine_status(machine: Machine, node: NodeStatus | None, *, silent: str) -> MachineStatus:
    """A machine's line; `silent` is its state if it does not speak."""
    return MachineStatus(
        name=machine.name,
        machine_id=node.machine_id if node else None,
        ip=machine.private_ip,
        ssh_port=machine.ssh_port,
        state=node.state if node else silent,
        version=node.version if node else None,
        slot=node.slot if node else None,
        etcd=node.etcd if node else None,
        units=tuple(node.units) if node else (),
    )


def summary(site: Site, machines: Iterable[tuple[MachineStatus, bool]]) -> ClusterStatus:
    """The cluster's status from those of its machines, each with whether it is healthy."""
    lines = list(machines)
    cluster = site.cluster
    return ClusterStatus(
        name=cluster.name,
        driver=cluster.driver.value,
        release=cluster.release,
        machines=tuple(status for status, _ in lines),
        healthy=all(healthy for _, healthy in lines),
    )

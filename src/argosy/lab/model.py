"""What a local cluster is: its machines, and where its files are."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


class DriverName(enum.StrEnum):
    """How machines are run."""

    QEMU = "qemu"
    NSPAWN = "nspawn"


class Firmware(enum.StrEnum):
    """What a virtual machine boots through."""

    BIOS = "bios"
    UEFI = "uefi"


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine of a cluster. The two ports are on the host's 127.0.0.1 and stay the machine's for good.

    `ssh_port` leads to the machine's port 22, `service_port` to its port 8080.
    """

    index: int
    name: str
    private_ip: str
    ssh_port: int
    service_port: int


@dataclass(frozen=True, slots=True)
class Cluster:
    """What `cluster.json` holds: everything that was decided when the cluster was made.

    `id` is random (eight hexadecimal digits) and unlike any other cluster's, also one of the same name that
    was destroyed before: it marks the cluster's processes. `release_folder` is where the release came from;
    the drivers keep what they need of it in the cluster's own folder. `server_port` is where the cluster's
    server (discovery) listens on the host's 127.0.0.1.
    """

    id: str
    name: str
    driver: DriverName
    release: str
    release_folder: str
    firmware: Firmware
    memory_mib: int
    cpus: int
    server_port: int
    machines: tuple[Machine, ...]


@dataclass(frozen=True, slots=True)
class Site:
    """A cluster and where its files are.

    `folder` lasts until the cluster is destroyed. `runtime` is for sockets: its path is short (a socket's may
    have 107 bytes), and it is empty again after the host has rebooted.
    """

    cluster: Cluster
    folder: Path
    runtime: Path

    def machine_folder(self, machine: Machine) -> Path:
        """A machine's disk and whatever else its driver keeps. Removed by the driver's `remove`."""
        return self.folder / "machines" / machine.name

    def credentials(self, machine: Machine) -> Path:
        """A folder in the machine's folder: each file in it is a systemd credential, named as the file."""
        return self.machine_folder(machine) / "credentials"

    def console_log(self, machine: Machine) -> Path:
        """Everything that the machine has ever printed on its console; a start appends."""
        return self.machine_folder(machine) / "console.log"

    def machine(self, name: str) -> Machine | None:
        """The machine of that name, if the cluster has one."""
        return next((machine for machine in self.cluster.machines if machine.name == name), None)


Credentials = Mapping[str, bytes]

"""What is said to systemd-nspawn, networkd and the forwarder for a cluster: pure."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from argosy.lab.model import Cluster, Machine
from argosy.lab.nspawn.forwarder import BRIDGE, Forwarding, Inward

GATEWAY = "172.17.8.1"
PREFIX_LENGTH = 24
_POWER = """\
kill=$1
shift
while "$@"; code=$?; [ "$code" -eq 133 ]; do :; done
[ ! -e "$kill" ] || echo 1 >"$kill"
exit "$code"
"""
_SSH_PORT = 22
_SERVICE_PORT = 8080


def nspawn(machine: Machine, root: Path, credentials: Iterable[Path]) -> tuple[str, ...]:
    """The argv that boots a machine; each file of `credentials` is a credential by its own name.

    The two additions to the system call filter are what podman's runtime needs: device rules of containers
    are BPF programs, and each container gets a session keyring. SIGRTMIN+4 asks systemd for a power-off:
    nspawn sends it to the machine when it gets SIGTERM itself, for one when the host shuts down.
    """
    return (
        "systemd-nspawn",
        "--quiet",
        "--boot",
        f"--directory={root}",
        f"--machine={machine.name}",
        "--settings=no",
        "--register=no",
        "--keep-unit",
        f"--network-bridge={BRIDGE}",
        "--link-journal=no",
        "--resolv-conf=off",
        "--timezone=off",
        "--console=read-only",
        "--kill-signal=SIGRTMIN+4",
        "--system-call-filter=bpf",
        "--system-call-filter=@keyring",
        *(f"--load-credential={path.name}:{path}" for path in sorted(credentials)),
    )


def power(machine_cgroup: Path, boot: Iterable[str]) -> tuple[str, ...]:
    """The argv of what keeps a machine on: it runs `boot` again for as long as the machine reboots.

    nspawn exits with 133 when the machine reboots (as for systemd-nspawn@.service). A machine outlives an
    nspawn that was killed; what is left in its control group is therefore ended.
    """
    return ("sh", "-c", _POWER, "argosy-power", str(machine_cgroup / "cgroup.kill"), *boot)


def veth(machine: Machine) -> str:
    """What nspawn calls the bridge's end of the machine's cable (names of up to 12 characters are kept)."""
    return f"vb-{machine.name}"


def network_unit(machine: Machine) -> bytes:
    """The networkd file that gives the machine's only interface its address."""
    return (
        f"[Match]\nName=host0\n\n[Network]\nAddress={machine.private_ip}/{PREFIX_LENGTH}\nGateway={GATEWAY}\n"
    ).encode()


def forwarding(cluster: Cluster, ready_file: Path) -> Forwarding:
    """The ports of a cluster's machines, and the way to its server on the host."""
    inward = []
    for machine in cluster.machines:
        inward.append(Inward(machine.ssh_port, machine.private_ip, _SSH_PORT))
        inward.append(Inward(machine.service_port, machine.private_ip, _SERVICE_PORT))
    return Forwarding(GATEWAY, PREFIX_LENGTH, tuple(inward), (cluster.server_port,), str(ready_file))

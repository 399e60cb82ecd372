"""QEMU's command line for a machine. Pure: the reasons for each option are here, and a table tests it."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from argosy.lab.model import Machine, Site

PROGRAM = "qemu-system-x86_64"

# What user-mode networking gives a guest, unless told otherwise.
HOST_ADDRESS = "10.0.2.2"
GUEST_ADDRESS = "10.0.2.15/24"
RESOLVER_ADDRESS = "10.0.2.3"


class Accelerator(enum.StrEnum):
    """What executes the guest's instructions."""

    KVM = "kvm"
    TCG = "tcg"


_PROCESSOR = {
    Accelerator.KVM: ("-accel", "kvm", "-cpu", "host"),
    # QEMU 7.2 translates cmpxchg16b wrongly: kernels that find it crash at random. A translation cache of
    # 256 MiB is as fast as the default, which takes twice the memory. A kernel that finds an
    # old Intel processor isolates its page tables, which emulation makes dear and does not need.
    Accelerator.TCG: (
        *("-accel", "tcg,thread=multi,tb-size=256"),
        *("-cpu", "Nehalem,-cx16,vendor=AuthenticAMD"),
    ),
}


@dataclass(frozen=True, slots=True)
class UefiFirmware:
    """OVMF's code, shared and read-only, and the machine's own copy of its variables."""

    code: Path
    variables: Path


def role(machine: Machine) -> str:
    """The mark of a machine's process."""
    return f"machine/{machine.name}"


def disk(site: Site, machine: Machine) -> Path:
    """The machine's disk: what differs from the release's."""
    return site.machine_folder(machine) / "disk.qcow2"


def control_socket(site: Site, machine: Machine) -> Path:
    """QEMU's monitor (QMP)."""
    return site.runtime / f"{machine.name}.qmp"


def console_socket(site: Site, machine: Machine) -> Path:
    """The machine's serial console, for one reader and writer at a time."""
    return site.runtime / f"{machine.name}.console"


def network_socket(site: Site, machine: Machine) -> Path:
    """The private network card: the switch connects to it."""
    return site.runtime / f"{machine.name}.net"


def host_mac(machine: Machine) -> str:
    """Of the card that leads to the host. Machines of two clusters never meet, so the index is enough."""
    return f"52:54:00:00:00:{machine.index:02x}"


def private_mac(machine: Machine) -> str:
    """Of the card on the cluster's private network."""
    return f"52:54:00:00:01:{machine.index:02x}"


def processor(accelerator: Accelerator) -> list[str]:
    """The options that choose what executes instructions, and which processor the guest sees."""
    return ["-machine", "q35", *_PROCESSOR[accelerator]]


def machine_command(
    site: Site,
    machine: Machine,
    accelerator: Accelerator,
    credentials: Sequence[Path],
    uefi: UefiFirmware | None = None,
) -> list[str]:
    """The command that runs a machine until it is powered off."""
    cluster = site.cluster
    return [
        PROGRAM,
        *("-name", f"{cluster.name}-{machine.name}"),
        *("-nodefaults", "-no-user-config", "-display", "none"),
        *processor(accelerator),
        *("-smp", str(cluster.cpus), "-m", str(cluster.memory_mib)),
        *(_uefi_options(uefi) if uefi else []),
        *_drive("disk", disk(site, machine), "format=qcow2,if=none,discard=unmap"),
        *("-device", "virtio-blk-pci,drive=disk"),
        *("-device", "virtio-rng-pci"),
        # The initrd arms it: a machine that hangs restarts, as one with a watchdog in its mainboard does.
        *("-device", "i6300esb", "-action", "watchdog=reset"),
        *_host_network(machine),
        *_private_network(site, machine),
        *_console(site, machine),
        *("-qmp", f"unix:{_quoted(control_socket(site, machine))},server=on,wait=off"),
        *(word for file in credentials for word in _credential(file)),
    ]


def probe_command(kernel: Path, initrd: Path) -> list[str]:
    """Boot a release's kernel under KVM as far as its initrd, which says so and powers off."""
    return [
        PROGRAM,
        *("-nodefaults", "-no-user-config", "-display", "none"),
        *processor(Accelerator.KVM),
        *("-smp", "1", "-m", "512"),
        *("-kernel", str(kernel), "-initrd", str(initrd)),
        *("-append", "console=ttyS0 argosy.probe panic=-1", "-no-reboot"),
        *("-serial", "stdio"),
    ]


def network_files(machine: Machine) -> dict[str, bytes]:
    """systemd-networkd's files, as credentials. Static addresses: a boot need not wait for DHCP."""
    host = [
        *("[Match]", f"MACAddress={host_mac(machine)}"),
        *("[Network]", f"Address={GUEST_ADDRESS}", f"Gateway={HOST_ADDRESS}", f"DNS={RESOLVER_ADDRESS}"),
        *("LinkLocalAddressing=no", "IPv6AcceptRA=no"),
    ]
    private = [
        *("[Match]", f"MACAddress={private_mac(machine)}"),
        *("[Network]", f"Address={machine.private_ip}/24", "LinkLocalAddressing=no", "IPv6AcceptRA=no"),
    ]
    return {
        "network.network.10-private": "\n".join([*private, ""]).encode(),
        "network.network.20-host": "\n".join([*host, ""]).encode(),
    }


def _uefi_options(uefi: UefiFirmware) -> list[str]:
    return [
        *_drive("code", uefi.code, "format=raw,if=pflash,unit=0,readonly=on"),
        *_drive("variables", uefi.variables, "format=raw,if=pflash,unit=1"),
    ]


def _host_network(machine: Machine) -> list[str]:
    forwards = "".join(
        f",hostfwd=tcp:127.0.0.1:{port}-:{inside}"
        for port, inside in ((machine.ssh_port, 22), (machine.service_port, 8080))
    )
    return [
        *("-netdev", f"user,id=host{forwards}"),
        *("-device", f"virtio-net-pci,netdev=host,mac={host_mac(machine)},romfile="),
    ]


def _private_network(site: Site, machine: Machine) -> list[str]:
    """QEMU listens and the switch connects, so that either may come, go and come again."""
    path = _quoted(network_socket(site, machine))
    return [
        *("-netdev", f"stream,id=private,server=on,addr.type=unix,addr.path={path}"),
        *("-device", f"virtio-net-pci,netdev=private,mac={private_mac(machine)},romfile="),
    ]


def _console(site: Site, machine: Machine) -> list[str]:
    socket = _quoted(console_socket(site, machine))
    log = _quoted(site.console_log(machine))
    return [
        *("-chardev", f"socket,id=console,path={socket},server=on,wait=off,logfile={log},logappend=on"),
        *("-serial", "chardev:console"),
    ]


def _credential(file: Path) -> list[str]:
    return ["-fw_cfg", f"name=opt/io.systemd.credentials/{file.name},file={_quoted(file)}"]


def _drive(name: str, file: Path, options: str) -> list[str]:
    return ["-drive", f"id={name},file={_quoted(file)},{options}"]


def _quoted(path: Path) -> str:
    """A path inside a QEMU option, where a comma is written twice."""
    return str(path).replace(",", ",,")

"""What is said to systemd-nspawn, networkd and the forwarder."""

from __future__ import annotations

from pathlib import Path

from argosy.base.run import run
from argosy.lab.model import Cluster, DriverName, Firmware, Machine
from argosy.lab.nspawn import command
from argosy.lab.nspawn.forwarder import Inward

_MACHINE = Machine(2, "core-02", "172.17.8.102", 20022, 20080)
_CLUSTER = Cluster(
    id="abc",
    name="default",
    driver=DriverName.NSPAWN,
    release="1.0.0",
    release_folder="/releases/1.0.0",
    firmware=Firmware.BIOS,
    memory_mib=1024,
    cpus=1,
    server_port=20001,
    machines=(_MACHINE,),
)


def test_every_credential_is_loaded_under_its_own_name() -> None:
    argv = command.nspawn(
        _MACHINE, Path("/s/root"), [Path("/s/c/argosy.user-data"), Path("/s/c/argosy.metadata")]
    )
    loaded = [word for word in argv if word.startswith("--load-credential=")]
    assert loaded == [
        "--load-credential=argosy.metadata:/s/c/argosy.metadata",
        "--load-credential=argosy.user-data:/s/c/argosy.user-data",
    ]
    assert "--directory=/s/root" in argv
    assert "--machine=core-02" in argv


def test_the_cable_has_a_name_that_the_kernel_takes() -> None:
    assert command.veth(_MACHINE) == "vb-core-02"
    assert len(command.veth(_MACHINE)) <= 15


def test_network_unit() -> None:
    lines = command.network_unit(_MACHINE).decode().splitlines()
    assert "Name=host0" in lines
    assert "Address=172.17.8.102/24" in lines
    assert "Gateway=172.17.8.1" in lines


def test_both_ports_lead_in_and_the_servers_port_leads_out() -> None:
    wanted = command.forwarding(_CLUSTER, Path("/run/x/forwarder.pid"))
    assert wanted.inward == (Inward(20022, "172.17.8.102", 22), Inward(20080, "172.17.8.102", 8080))
    assert wanted.outward == (20001,)


def test_power_boots_again_for_as_long_as_the_machine_reboots(tmp_path: Path) -> None:
    boots = tmp_path / "boots"
    boot = ["sh", "-c", f'echo >>{boots}; [ "$(wc -l <{boots})" -eq 3 ] && exit 7; exit 133']
    kill = tmp_path / "cgroup.kill"
    kill.touch()
    assert run(command.power(tmp_path, boot), check=False).returncode == 7
    assert len(boots.read_text()) == 3
    assert kill.read_text() == "1\n"


def test_power_without_a_control_group(tmp_path: Path) -> None:
    done = run(command.power(tmp_path / "missing", ["true"]))
    assert done.stderr == b""

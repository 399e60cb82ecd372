"""The driver against a real QEMU. Nothing boots: the disk is empty, so the firmware waits for ever."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from argosy.base.errors import ArgosyError
from argosy.base.progress import Silent
from argosy.base.run import run
from argosy.formats.release import DISK_IMAGE, INITRD, KERNEL
from argosy.lab import process
from argosy.lab.model import Firmware, Site
from argosy.lab.qemu import command
from argosy.lab.qemu.command import Accelerator, UefiFirmware, machine_command
from argosy.lab.qemu.driver import QemuDriver
from argosy.lab.store import Store


@pytest.fixture
def driver(tmp_path: Path) -> QemuDriver:
    return QemuDriver(tmp_path / "cache", Silent())


@pytest.fixture
def prepared(tmp_path: Path, store: Store, site: Site, driver: QemuDriver) -> Site:
    """The cluster with an empty release. Its kernel does not boot, so it is emulated."""
    release = tmp_path / "release"
    release.mkdir()
    for name in (DISK_IMAGE, KERNEL, INITRD):
        (release / name).write_bytes(b"\0" * 65536)
    site = store.save(replace(site.cluster, release_folder=str(release)))
    driver.prepare(site, Silent())
    return site


def test_a_machine_from_its_disk_to_its_end(prepared: Site, driver: QemuDriver) -> None:
    one, two = prepared.cluster.machines
    assert driver.created(prepared) == driver.running(prepared) == frozenset()
    driver.create(prepared, one)
    assert driver.created(prepared) == {one.name}
    (prepared.credentials(one) / "argosy.metadata").write_text("{}")
    driver.start(prepared, one)
    driver.start(prepared, one)
    assert len(process.find(prepared.cluster.id)) == 1, "a second start does nothing"
    assert driver.running(prepared) == {one.name}
    assert driver.trouble(prepared, one) is None
    with socket.create_connection(("127.0.0.1", one.ssh_port), 5):
        pass
    driver.halt(prepared, one)
    driver.kill(prepared, one)
    driver.kill(prepared, one)
    assert driver.running(prepared) == frozenset()
    driver.halt(prepared, one)
    driver.remove(prepared, one)
    driver.remove(prepared, two)
    assert driver.created(prepared) == frozenset()


def test_the_releases_disk_is_shared_and_the_clusters_is_larger(prepared: Site, driver: QemuDriver) -> None:
    [one, _] = prepared.cluster.machines
    driver.create(prepared, one)
    shown = run(["qemu-img", "info", "--backing-chain", command.disk(prepared, one)]).text
    assert "10 GiB" in shown and DISK_IMAGE in shown
    base = prepared.folder / "release" / DISK_IMAGE
    assert base.stat().st_ino == (Path(prepared.cluster.release_folder) / DISK_IMAGE).stat().st_ino


def test_a_port_that_was_taken_meanwhile_is_a_plain_error(prepared: Site, driver: QemuDriver) -> None:
    [one, _] = prepared.cluster.machines
    driver.create(prepared, one)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", one.ssh_port))
        holder.listen()
        with pytest.raises(ArgosyError, match=f"took its port {one.ssh_port}"):
            driver.start(prepared, one)
    assert process.find(prepared.cluster.id) == []


def test_the_network_is_one_process(prepared: Site, driver: QemuDriver) -> None:
    assert not driver.network_is_up(prepared)
    driver.start_network(prepared)
    driver.start_network(prepared)
    assert driver.network_is_up(prepared)
    assert len(process.find(prepared.cluster.id)) == 1
    driver.stop_network(prepared)
    driver.stop_network(prepared)
    assert not driver.network_is_up(prepared)


def test_a_release_that_lacks_a_file(site: Site, driver: QemuDriver) -> None:
    with pytest.raises(ArgosyError, match=r"disk\.img is missing"):
        driver.prepare(site, Silent())


def test_a_monitor_answers_about_a_machine_that_is_paused(prepared: Site, driver: QemuDriver) -> None:
    from argosy.lab.qemu import control

    [one, _] = prepared.cluster.machines
    driver.create(prepared, one)
    driver.start(prepared, one)
    monitor = command.control_socket(prepared, one)
    control.execute(monitor, "stop")
    assert driver.trouble(prepared, one) == "it is paused (paused)"
    with pytest.raises(control.ControlError, match="refused"):
        control.execute(monitor, "no-such-command")


def test_the_command_line(site: Site) -> None:
    [one, _] = site.cluster.machines
    words = machine_command(site, one, Accelerator.TCG, [Path("/a,b/argosy.metadata")])
    text = " ".join(words)
    assert "-cpu Nehalem,-cx16" in text
    assert f"hostfwd=tcp:127.0.0.1:{one.ssh_port}-:22" in text
    assert f"hostfwd=tcp:127.0.0.1:{one.service_port}-:8080" in text
    assert "name=opt/io.systemd.credentials/argosy.metadata,file=/a,,b/argosy.metadata" in text
    assert "pflash" not in text
    kvm = machine_command(site, one, Accelerator.KVM, [], UefiFirmware(Path("/c"), Path("/v")))
    assert "-accel kvm -cpu host" in " ".join(kvm)
    assert "file=/c,format=raw,if=pflash,unit=0,readonly=on" in " ".join(kvm)


def test_uefi_needs_its_firmware(prepared: Site, store: Store, driver: QemuDriver) -> None:
    site = store.save(replace(prepared.cluster, firmware=Firmware.UEFI))
    driver.prepare(site, Silent())
    [one, _] = site.cluster.machines
    driver.create(site, one)
    driver.start(site, one)
    assert driver.running(site) == {one.name}


def test_credential_names_fit_fw_cfg(site: Site) -> None:
    for machine in site.cluster.machines:
        for name in command.network_files(machine):
            assert len(f"opt/io.systemd.credentials/{name}") <= 55

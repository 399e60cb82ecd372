"""One virtual machine that boots through UEFI: the same system, an update, and a reset by `rm -rf /`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.vm.conftest import Argosy, eventually
from tests.vm.updates import Node

from argosy.image.build import read_release

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1800)]

MACHINE = "core-01"
# Afterwards no program starts any more, /lib64 is gone: the kernel itself has to write all of it to the disk.
# It makes / read-only last, so that the shell sees when it is done.
REMOVE_ALL = (
    "sudo sh -c 'rm -rf --one-file-system --no-preserve-root / 2>/dev/null;"
    " echo u >/proc/sysrq-trigger; while (: >/x) 2>/dev/null; do :; done'; echo done"
)


@pytest.fixture(scope="module")
def uefi(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Argosy]:
    argosy = Argosy(tmp_path_factory.mktemp("uefi-state"))
    try:
        argosy("up", "-n", "1", "--firmware", "uefi", "--release", str(release))
        yield argosy
    finally:
        argosy("destroy")


def test_it_booted_through_uefi_into_a_verified_usr(uefi: Argosy) -> None:
    assert uefi.on(MACHINE, "test -d /sys/firmware/efi && echo yes") == "yes"
    assert uefi.on(MACHINE, "findmnt -no SOURCE,FSTYPE /usr").split() == ["/dev/mapper/usr", "erofs"]
    assert uefi.status()["machines"][0]["slot"] == "A"


def test_the_disk_is_the_machines_own(uefi: Argosy) -> None:
    guid = uefi.on(MACHINE, "sudo blkid -p -s PTUUID -o value /dev/vda")
    assert guid != "00000000-0000-0000-0000-000000000001"
    assert int(uefi.on(MACHINE, "findmnt -bno SIZE /")) > 6 << 30, "ROOT reaches to the end of the disk"


def test_the_paths_and_commands_of_the_original_are_there(uefi: Argosy) -> None:
    for path in (
        "/usr/lib64/systemd/system/etcd2.service",
        "/usr/lib64/systemd/network",
        "/usr/share/oem",
        "/etc/machine-id",
        "/etc/environment",
        "/usr/share/coreos/release",
        "/usr/share/coreos/update.conf",
        "/boot/coreos/vmlinuz-a",
    ):
        assert uefi.on(MACHINE, f"sudo test -e {path} && echo there") == "there", path
    environment = uefi.on(MACHINE, "cat /etc/environment").splitlines()
    assert "COREOS_PRIVATE_IPV4=172.17.8.101" in environment
    assert "COREOS_PUBLIC_IPV4=172.17.8.101" in environment
    for line in ("etcd2 --version", "docker --version", "systemctl --failed", "journalctl --disk-usage"):
        uefi.on(MACHINE, line)
    assert uefi.on(MACHINE, "sudo passwd -S root").split()[1] == "L"


def test_an_update_through_uefi(uefi: Argosy, second: Path) -> None:
    after = Node(uefi).take(second)
    assert (after.version, after.slot, after.verified) == (read_release(second).version, "b", True)
    assert uefi.on(MACHINE, "test -d /sys/firmware/efi && echo yes") == "yes"


def test_removing_everything_is_a_factory_reset(uefi: Argosy) -> None:
    before = uefi.status()["machines"][0]["machine_id"]
    uefi.on(MACHINE, "sudo touch /var/mine /etc/mine")
    assert uefi.on(MACHINE, REMOVE_ALL) == "done"
    uefi("kill", MACHINE)
    # etcd's data is gone and its discovery token is used up: the machine boots, but waits for its cluster.
    # So `start` is not waited for.
    starting = subprocess.Popen(
        [sys.executable, "-m", "argosy", "start", MACHINE], env=uefi.environment, stderr=subprocess.DEVNULL
    )
    try:
        eventually(lambda: uefi.try_("ssh", MACHINE, "--", "true").returncode == 0)
    finally:
        starting.terminate()
        starting.wait()
    assert uefi.on(MACHINE, "ls /var/mine /etc/mine 2>/dev/null | wc -l") == "0"
    after = uefi.on(MACHINE, "cat /etc/machine-id")
    assert len(after) == 32 and after != before
    assert uefi.on(MACHINE, "hostname") == MACHINE
    assert uefi.on(MACHINE, "findmnt -no FSTYPE /usr") == "erofs"

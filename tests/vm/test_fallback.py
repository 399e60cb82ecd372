"""The way back that needs no working system: boot loader and watchdog leave a slot that fails."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.vm.bootdisk import WATCHDOG, BootDisk, Running, credential_option, uefi_options

from argosy.base import paths
from argosy.base.progress import Silent
from argosy.formats import newc, slotcfg
from argosy.formats.bootenv import BootEnvironment
from argosy.formats.slotcfg import SlotConfig
from argosy.image.manifest import load
from argosy.image.toolbox import Toolbox, ensure_toolbox

pytestmark = [pytest.mark.vm, pytest.mark.timeout(900)]

# The last one that the kernel names is the slot that came up; a probe ends there, and powers the machine off.
BOOTED = r"Command line: \S+/vmlinuz-([ab]) .*argosy\.slot=([ab])( argosy\.trial)?"

FREEZE_PID_1 = """
[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
StandardOutput=tty
TTYPath=/dev/ttyS0
WorkingDirectory=/sys/fs/cgroup
ExecStart=/bin/sh -c 'mkdir x; echo 1 >x/cgroup.procs; echo PID 1 is frozen; echo 1 >x/cgroup.freeze'
"""


@pytest.fixture(scope="module")
def toolbox() -> Toolbox:
    manifest = load(paths.shipped("os") / "manifest.toml")
    return ensure_toolbox(manifest, paths.cache_folder(), Silent(), refresh=False)


@pytest.fixture(scope="module")
def disk(release: Path, toolbox: Toolbox, tmp_path_factory: pytest.TempPathFactory) -> BootDisk:
    """A disk whose slot A says so and powers off. The tests change slot B and the environment block."""
    disk = BootDisk(toolbox, tmp_path_factory.mktemp("fallback"))
    disk.copy(release)
    disk.write("coreos/grub/slot-a.cfg", slotcfg.encode(asked(disk, "argosy.probe")))
    return disk


def asked(disk: BootDisk, *arguments: str) -> SlotConfig:
    """The release's boot configuration with other arguments, which restart quickly and hide nothing."""
    config = slotcfg.decode(disk.read("coreos/grub/slot-a.cfg"))
    return replace(config, arguments=("panic=1", "no_timer_check", *arguments), consoles=("console=ttyS0",))


def fill_b(disk: BootDisk, *arguments: str, initrd: bytes = b"") -> None:
    """The same system in slot B, as far as the boot loader is concerned."""
    disk.write("coreos/grub/slot-b.cfg", slotcfg.encode(asked(disk, *arguments)))
    disk.write("coreos/vmlinuz-b", disk.read("coreos/vmlinuz-a"))
    disk.write("coreos/initrd-b", disk.read("coreos/initrd-a") + initrd)


def boots(said: str) -> list[str]:
    """The slots that came up, in order; a trial has a star."""
    return [f"{match[2]}{'*' if match[3] else ''}" for match in re.finditer(BOOTED, said)]


def test_a_fresh_disk_boots_slot_a(disk: BootDisk, tmp_path: Path) -> None:
    disk.remember(BootEnvironment(saved="a"))
    with Running(disk, tmp_path / "log") as machine:
        said = machine.wait_off()
    assert boots(said) == ["a"]
    assert "ARGOSY-PROBE-OK" in said
    assert disk.environment() == BootEnvironment(saved="a")


def cut_config(disk: BootDisk) -> None:
    disk.write("coreos/grub/slot-b.cfg", disk.read("coreos/grub/slot-b.cfg")[:-20])


def other_kernel(disk: BootDisk) -> None:
    disk.write("coreos/vmlinuz-b", b"no kernel\n" * 1000)


@pytest.mark.parametrize(
    ("firmware", "harm", "part"),
    [
        ("bios", lambda disk: disk.remove("coreos/grub/slot-b.cfg"), "config"),
        ("uefi", cut_config, "config"),
        ("bios", lambda disk: disk.remove("coreos/vmlinuz-b"), "kernel"),
        ("uefi", other_kernel, "kernel"),
        ("bios", lambda disk: disk.remove("coreos/initrd-b"), "initrd"),
    ],
)
def test_a_slot_whose_files_cannot_be_read_is_left_at_once(
    disk: BootDisk, tmp_path: Path, firmware: str, harm: Callable[[BootDisk], None], part: str
) -> None:
    fill_b(disk, "argosy.probe")
    harm(disk)
    disk.remember(BootEnvironment(saved="a", queue=("b", "b", "b")))
    with Running(disk, tmp_path / "log", uefi_options(tmp_path) if firmware == "uefi" else ()) as machine:
        said = machine.wait_off()
    assert boots(said) == ["a"]
    assert disk.environment() == BootEnvironment(saved="a", tried="b", failed=f"b:{part}")


def test_a_committed_slot_that_cannot_be_read_gives_way_to_the_other(disk: BootDisk, tmp_path: Path) -> None:
    """GRUB finds out after it has loaded the kernel, and has to begin anew."""
    fill_b(disk, "argosy.probe")
    disk.remember(BootEnvironment(saved="b"))
    with disk.unreadable("INITRD-B"), Running(disk, tmp_path / "log") as machine:
        assert boots(machine.wait_off()) == ["a"]
    assert disk.environment() == BootEnvironment(saved="b", failed="b:initrd")


@pytest.mark.parametrize(("firmware", "tries"), [("bios", 2), ("uefi", 1)])
def test_a_slot_that_panics_is_tried_as_often_as_the_queue_says(
    disk: BootDisk, tmp_path: Path, firmware: str, tries: int
) -> None:
    """An initrd without a first program: the kernel comes up, and cannot go on."""
    fill_b(disk)
    disk.write("coreos/initrd-b", newc.encode([newc.file("nothing", b"")]))
    disk.remember(BootEnvironment(saved="a", queue=("b",) * tries))
    with Running(disk, tmp_path / "log", uefi_options(tmp_path) if firmware == "uefi" else ()) as machine:
        said = machine.wait_off()
    assert boots(said) == ["b*"] * tries + ["a"]
    assert said.count("Kernel panic") == tries
    assert disk.environment() == BootEnvironment(saved="a", tried="b" * tries)


@pytest.mark.parametrize("driver", ["i6300esb", "softdog"])
def test_an_initrd_that_hangs_is_ended_by_the_watchdog(disk: BootDisk, tmp_path: Path, driver: str) -> None:
    hangs = newc.encode([newc.file("usr/sbin/dmsetup", b"#!/bin/busybox sh\nsleep 9999\n", 0o755)])
    fill_b(disk, "rd.watchdog=10", initrd=hangs)
    disk.remember(BootEnvironment(saved="a", queue=("b",)))
    with Running(disk, tmp_path / "log", WATCHDOG if driver == "i6300esb" else ()) as machine:
        said = machine.wait_off()
    assert boots(said) == ["b*", "a"]
    assert disk.environment() == BootEnvironment(saved="a", tried="b")


def test_a_system_whose_pid_1_hangs_is_ended_by_the_watchdog(disk: BootDisk, tmp_path: Path) -> None:
    """systemd has taken the watchdog over; then nothing runs it any more."""
    fill_b(disk, "systemd.watchdog_sec=10", "systemd.wants=x.service")
    disk.copy_partition("USR-A", "USR-B")
    disk.remember(BootEnvironment(saved="a", queue=("b",)))
    unit = credential_option(tmp_path, "systemd.extra-unit.x.service", FREEZE_PID_1)
    with Running(disk, tmp_path / "log", [*WATCHDOG, *unit]) as machine:
        said = machine.wait_off()
    assert "PID 1 is frozen" in said
    assert boots(said) == ["b*", "a"]
    assert disk.environment() == BootEnvironment(saved="a", tried="b")

"""GRUB's configuration."""

from __future__ import annotations

import subprocess

from argosy.base.paths import shipped
from argosy.formats import grubenv, slotcfg
from argosy.formats.gpt import SECTOR_BYTES
from argosy.formats.release import UsrImage
from argosy.formats.slotcfg import SlotConfig
from argosy.formats.version import Version
from argosy.image import bootloader
from argosy.image.manifest import Kernel, load

USR = UsrImage(8192, 4096, "ab" * 32, "cd" * 32)


def test_every_blank_is_filled_in() -> None:
    text = bootloader.configuration((shipped("os") / "grub/grub.cfg").read_text()).decode()
    assert "@" not in text
    assert "set usr=7130c94a-213a-4e5a-8e26-6cce9662f132" in text
    assert "set usr=e03dd35c-7c2d-4a47-b3fe-27f15780a57c" in text
    for name in ("coreos", "coreos-a", "coreos-b"):
        assert f"--id={name} {{" in text


def test_a_try_is_noted_before_anything_of_it_is_loaded() -> None:
    text = (shipped("os") / "grub/grub.cfg").read_text()
    body = text[text.index("function start_next") :]
    assert (
        body.index("set try_3=\n")
        < body.index("save_env try_1 try_2 try_3 tried")
        < body.index("start $slot")
    )


def test_a_fresh_disk_boots_slot_a() -> None:
    block = bootloader.environment_block()
    assert block[SECTOR_BYTES:].strip(b"#") == b"", "one sector holds it all"
    assert grubenv.decode(block) == {
        "saved_slot": "a",
        "try_1": "",
        "try_2": "",
        "try_3": "",
        "tried": "",
        "failed": "",
    }


def test_a_versions_kernel_arguments_are_its_own() -> None:
    kernel = Kernel("k", ("console=tty0", "quiet", "console=ttyS0", "panic=5"))
    config = slotcfg.decode(bootloader.slot_configuration(USR, kernel, Version(4892, 0, 1)))
    assert config == SlotConfig(
        "ab" * 32, 4096, "cd" * 32, ("quiet", "panic=5"), "4892.0.1", ("console=tty0", "console=ttyS0")
    )


def test_a_kernel_that_gives_up_restarts() -> None:
    arguments = load(shipped("os") / "manifest.toml").kernel.arguments
    assert any(argument.startswith("panic=") and argument != "panic=0" for argument in arguments)


def test_the_shell_scripts_of_the_boot_are_sound() -> None:
    for script in ("initrd/init", "usr/lib/argosy/make-root"):
        for shell in (["busybox", "sh"], ["dash"]):
            done = subprocess.run([*shell, "-n", shipped("os") / script], capture_output=True, check=False)
            assert (done.returncode, done.stderr) == (0, b""), script

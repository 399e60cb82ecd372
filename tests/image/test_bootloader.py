"""GRUB's configuration."""

from __future__ import annotations

import subprocess

from argosy.base.paths import shipped
from argosy.formats import grubenv
from argosy.formats.release import UsrImage
from argosy.image import bootloader
from argosy.image.manifest import Kernel, load

USR = UsrImage(8192, 4096, "ab" * 32, "cd" * 32)


def test_every_blank_is_filled_in() -> None:
    template = (shipped("os") / "grub/grub.cfg").read_text()
    kernel = Kernel("k", ("console=tty0", "quiet", "console=ttyS0", "panic=5"))
    text = bootloader.configuration(template, kernel).decode()
    assert "@" not in text
    assert 'set linux_console="console=tty0 console=ttyS0"' in text
    assert "$linux_console quiet panic=5 rw root=LABEL=ROOT" in text
    assert "7130c94a-213a-4e5a-8e26-6cce9662f132" in text
    for name in ("coreos", "coreos-a", "coreos-b"):
        assert f"--id={name} {{" in text


def test_the_one_shot_variable_is_taken_back_before_anything_is_loaded() -> None:
    text = (shipped("os") / "grub/grub.cfg").read_text()
    saved, loaded = text.index("save_env once_slot tried_slot"), text.index("linux /coreos/vmlinuz")
    assert text.index("set once_slot=\n") < saved < loaded
    assert text.index("load_env") < saved


def test_a_fresh_disk_boots_slot_a() -> None:
    variables = grubenv.decode(bootloader.environment_block())
    assert variables == {"saved_slot": "a", "once_slot": "", "tried_slot": ""}


def test_a_slots_configuration_is_three_assignments() -> None:
    lines = bootloader.slot_configuration(USR).decode().splitlines()
    assert lines == [f"set usrhash={'ab' * 32}", "set usroffset=4096", f"set usrsalt={'cd' * 32}"]


def test_a_kernel_that_gives_up_restarts() -> None:
    arguments = load(shipped("os") / "manifest.toml").kernel.arguments
    assert any(argument.startswith("panic=") and argument != "panic=0" for argument in arguments)


def test_the_shell_scripts_of_the_boot_are_sound() -> None:
    for script in ("initrd/init", "usr/lib/argosy/make-root"):
        for shell in (["busybox", "sh"], ["dash"]):
            done = subprocess.run([*shell, "-n", shipped("os") / script], capture_output=True, check=False)
            assert (done.returncode, done.stderr) == (0, b""), script

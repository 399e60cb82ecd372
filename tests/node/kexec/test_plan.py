"""The kernel that a reboot by kexec starts."""

from __future__ import annotations

import pytest

from argosy.formats import slotcfg
from argosy.formats.bootenv import BootEnvironment, choose
from argosy.formats.slotcfg import SlotConfig, SlotConfigError
from argosy.node.kexec.plan import NextKernel, next_kernel, slot_file

CONFIG = SlotConfig("ab" * 32, 8192, "cd" * 32, ("quiet",), "4892.0.1", ("console=ttyS0",))
CHOICE = choose(BootEnvironment(saved="a", queue=("b",)))


def test_it_is_what_the_boot_loader_would_start() -> None:
    assert slot_file(CHOICE.slot) == "coreos/grub/slot-b.cfg"
    assert next_kernel(CHOICE, slotcfg.encode(CONFIG), b"") == NextKernel(
        slot="b",
        version="4892.0.1",
        kernel="coreos/vmlinuz-b",
        initrd="coreos/initrd-b",
        command_line=slotcfg.command_line(CONFIG, "b", trial=True),
    )


def test_the_oem_has_its_say() -> None:
    oem = b'set oem_id="x"\nset linux_console="console=hvc0"\nset linux_append="debug"\n'
    words = next_kernel(CHOICE, slotcfg.encode(CONFIG), oem).command_line.split()
    assert (words[0], words[-1]) == ("console=hvc0", "debug")
    assert "console=ttyS0" not in words


def test_what_only_the_boot_loader_can_follow_is_left_to_it() -> None:
    with pytest.raises(SlotConfigError, match="line 1"):
        next_kernel(CHOICE, slotcfg.encode(CONFIG), b"if true; then set linux_append=x; fi\n")
    with pytest.raises(SlotConfigError):
        next_kernel(CHOICE, b"", b"")

"""What the boot loader would start next, from the same files. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from argosy.formats import slotcfg
from argosy.formats.bootenv import Choice


@dataclass(frozen=True, slots=True)
class NextKernel:
    """A kernel to start; its files are relative to the EFI system partition."""

    slot: str
    version: str
    kernel: str
    initrd: str
    command_line: str


def slot_file(slot: str) -> str:
    """A slot's boot configuration, relative to the EFI system partition."""
    return f"coreos/grub/slot-{slot}.cfg"


def next_kernel(choice: Choice, slot_configuration: bytes, oem_configuration: bytes) -> NextKernel:
    """What boots if the boot loader chooses so; `oem_configuration` is the OEM's grub.cfg, empty without one.

    Raises `SlotConfigError` for a configuration that only the boot loader itself could follow.
    """
    config = slotcfg.decode(slot_configuration)
    oem = slotcfg.assignments(oem_configuration)
    return NextKernel(
        slot=choice.slot,
        version=config.version,
        kernel=f"coreos/vmlinuz-{choice.slot}",
        initrd=f"coreos/initrd-{choice.slot}",
        command_line=slotcfg.command_line(
            config,
            choice.slot,
            trial=choice.trial,
            consoles=oem.get("linux_console") or None,
            append=oem.get("linux_append", ""),
        ),
    )

"""GRUB for BIOS and UEFI: core images made without installing anything, and one configuration for both."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from argosy.base.errors import ArgosyError
from argosy.formats import bootenv, slotcfg
from argosy.formats.bootenv import BootEnvironment
from argosy.formats.gpt import BOOT_CODE_BYTES, SECTOR_BYTES
from argosy.formats.release import UsrImage
from argosy.formats.slotcfg import USR_PARTITION_GUIDS, SlotConfig, split_consoles
from argosy.formats.version import Version
from argosy.image.manifest import Kernel
from argosy.image.toolbox import Toolbox

_TIMEOUT_S = 1
_FOLDER = "/coreos/grub"
_MODULES = (
    *("part_gpt", "fat", "ext2", "normal", "configfile", "linux", "loadenv", "test", "echo", "sleep"),
    *("true", "search", "search_label", "serial", "terminal", "minicmd", "reboot", "halt", "gzio", "smbios"),
)
# Offsets in GRUB's i386-pc images, as grub-bios-setup patches them (include/grub/i386/pc/boot.h, offsets.h).
_BOOT_KERNEL_SECTOR = 0x5C
_BOOT_DRIVE_CHECK = 0x66
_NOP_NOP = b"\x90\x90"
_CORE_BLOCK_LIST = 0x1F4
_CORE_SEGMENT = 0x820


@dataclass(frozen=True, slots=True)
class BiosLoader:
    """`boot_code` belongs into the MBR, `core` at the start of the BIOS-BOOT partition."""

    boot_code: bytes
    core: bytes


def bios_loader(toolbox: Toolbox, work: Path, *, first_sector: int, sectors: int) -> BiosLoader:
    """GRUB for BIOS, to stand at `first_sector` in a partition of `sectors`."""
    core = bytearray(_core_image(toolbox, work, "i386-pc", f"(,gpt1){_FOLDER}", ("biosdisk",)))
    core += bytes(-len(core) % SECTOR_BYTES)
    count = len(core) // SECTOR_BYTES
    if count > sectors:
        raise ArgosyError(f"GRUB's core needs {count} sectors, its partition has {sectors}")
    boot = bytearray(toolbox.path("usr/lib/grub/i386-pc/boot.img").read_bytes())
    struct.pack_into("<Q", boot, _BOOT_KERNEL_SECTOR, first_sector)
    boot[_BOOT_DRIVE_CHECK : _BOOT_DRIVE_CHECK + 2] = _NOP_NOP
    struct.pack_into("<QHH", core, _CORE_BLOCK_LIST, first_sector + 1, count - 1, _CORE_SEGMENT)
    return BiosLoader(bytes(boot[:BOOT_CODE_BYTES]), bytes(core))


def efi_loader(toolbox: Toolbox, work: Path) -> bytes:
    """GRUB for UEFI, to be the system partition's EFI/BOOT/BOOTX64.EFI."""
    return _core_image(toolbox, work, "x86_64-efi", _FOLDER, ("efi_gop",))


def configuration(template: str) -> bytes:
    """`os/grub/grub.cfg` with our partitions filled in. What a version needs is in `slot_configuration`."""
    values = {
        "@TIMEOUT_S@": str(_TIMEOUT_S),
        "@USR_A@": str(USR_PARTITION_GUIDS["a"]),
        "@USR_B@": str(USR_PARTITION_GUIDS["b"]),
    }
    for name, value in values.items():
        template = template.replace(name, value)
    return template.encode()


def slot_configuration(usr: UsrImage, kernel: Kernel, version: Version) -> bytes:
    """What a version tells the boot loader: how its /usr is verified, and the manifest's kernel arguments.

    Raises `SlotConfigError` for arguments that the boot loader could not hand on.
    """
    consoles, arguments = split_consoles(kernel.arguments)
    return slotcfg.encode(
        SlotConfig(
            root_hash=usr.root_hash,
            hash_offset_bytes=usr.hash_offset_bytes,
            salt=usr.salt,
            arguments=arguments,
            version=str(version),
            consoles=consoles,
        )
    )


def environment_block() -> bytes:
    """The boot loader's memory on a fresh disk: slot A is committed, nothing is to be tried."""
    return bootenv.encode(BootEnvironment(saved="a"))


def _core_image(toolbox: Toolbox, work: Path, kind: str, prefix: str, extra: Sequence[str]) -> bytes:
    image = work / f"grub-{kind}"
    modules = toolbox.path(f"usr/lib/grub/{kind}")
    toolbox.run("grub-mkimage", "-O", kind, "-d", modules, "-p", prefix, "-o", image, *_MODULES, *extra)
    return image.read_bytes()

"""Where everything is on a disk: CoreOS's partitions, with its numbers, labels and types."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from argosy.formats.gpt import SECTOR_BYTES, Gpt, Partition, UsrAttributes, with_usr_attributes
from argosy.formats.slotcfg import USR_PARTITION_GUIDS
from argosy.formats.version import Version
from argosy.image.identity import derived_uuid

# "Randomise me": the first boot gives the disk a GUID of its own.
SHIPPED_DISK_GUID = UUID(int=1)

_ESP_TYPE = UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
_BIOS_BOOT_TYPE = UUID("21686148-6449-6e6f-744e-656564454649")
_USR_TYPE = UUID("5dfbf5f4-2848-4bac-aa5e-0d9a20b745a6")
_DATA_TYPE = UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")
_OEM_CONFIG_TYPE = UUID("c95dc21a-df0e-4340-8d7b-26cbfa9a03e0")
_ROOT_TYPE = UUID("3884dd41-8582-4404-b9a8-e9b84f2df50e")

_MIB_SECTORS = (1 << 20) // SECTOR_BYTES
_ALIGNMENT_SECTORS = 2 * _MIB_SECTORS
USR_SLOT_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class _Slot:
    number: int
    label: str
    mib: int
    type_guid: UUID


# ROOT is as small as a first start needs; it grows to the end of the disk it finds itself on.
_SLOTS = (
    _Slot(1, "EFI-SYSTEM", 128, _ESP_TYPE),
    _Slot(2, "BIOS-BOOT", 2, _BIOS_BOOT_TYPE),
    _Slot(3, "USR-A", USR_SLOT_BYTES >> 20, _USR_TYPE),
    _Slot(4, "USR-B", USR_SLOT_BYTES >> 20, _USR_TYPE),
    _Slot(6, "OEM", 128, _DATA_TYPE),
    _Slot(7, "OEM-CONFIG", 64, _OEM_CONFIG_TYPE),
    _Slot(9, "ROOT", 512, _ROOT_TYPE),
)


def disk_layout(version: Version) -> Gpt:
    """The table of a fresh disk: USR-A is good, USR-B is empty."""
    partitions = []
    position = _ALIGNMENT_SECTORS
    for slot in _SLOTS:
        sectors = slot.mib * _MIB_SECTORS
        fresh = UsrAttributes(priority=1, successful=True) if slot.label == "USR-A" else UsrAttributes()
        partitions.append(
            Partition(
                number=slot.number,
                type_guid=slot.type_guid,
                guid=_partition_guid(version, slot.label),
                first_lba=position,
                last_lba=position + sectors - 1,
                label=slot.label,
                attributes=with_usr_attributes(0, fresh),
            )
        )
        position += -(-sectors // _ALIGNMENT_SECTORS) * _ALIGNMENT_SECTORS
    return Gpt(SHIPPED_DISK_GUID, position + _ALIGNMENT_SECTORS, tuple(partitions))


def _partition_guid(version: Version, label: str) -> UUID:
    fixed = {f"USR-{slot.upper()}": guid for slot, guid in USR_PARTITION_GUIDS.items()}
    return fixed.get(label) or derived_uuid(version, f"partition {label}")

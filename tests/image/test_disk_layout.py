"""The partitions of a fresh disk."""

from __future__ import annotations

import pytest

from argosy.formats import gpt
from argosy.formats.gpt import UsrAttributes, usr_attributes
from argosy.formats.version import Version
from argosy.image.disk_layout import disk_layout

TABLE = disk_layout(Version(4891))


def test_the_table_is_sound_and_small() -> None:
    gpt.check(TABLE)
    assert TABLE.sectors * gpt.SECTOR_BYTES < 3 << 30
    assert str(TABLE.disk_guid) == "00000000-0000-0000-0000-000000000001"
    assert TABLE.partitions[-1].label == "ROOT"
    assert TABLE.last_usable_lba - TABLE.partition("ROOT").last_lba < 4096


# coreos/scripts build_library/disk_layout.json: number, label, sectors, type.
COREOS = [
    (1, "EFI-SYSTEM", 262144, "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"),
    (2, "BIOS-BOOT", 4096, "21686148-6449-6e6f-744e-656564454649"),
    (3, "USR-A", 2097152, "5dfbf5f4-2848-4bac-aa5e-0d9a20b745a6"),
    (4, "USR-B", 2097152, "5dfbf5f4-2848-4bac-aa5e-0d9a20b745a6"),
    (6, "OEM", 262144, "0fc63daf-8483-4772-8e79-3d69d8477de4"),
    (7, "OEM-CONFIG", 131072, "c95dc21a-df0e-4340-8d7b-26cbfa9a03e0"),
]


@pytest.mark.parametrize(("number", "label", "sectors", "kind"), COREOS)
def test_partitions_are_where_coreos_had_them(number: int, label: str, sectors: int, kind: str) -> None:
    partition = TABLE.partition(label)
    assert (partition.number, partition.sectors, str(partition.type_guid)) == (number, sectors, kind)
    assert partition.first_lba % 4096 == 0


def test_slots_have_their_fixed_identity_and_state() -> None:
    one, other = TABLE.partition("USR-A"), TABLE.partition("USR-B")
    assert str(one.guid) == "7130c94a-213a-4e5a-8e26-6cce9662f132"
    assert str(other.guid) == "e03dd35c-7c2d-4a47-b3fe-27f15780a57c"
    assert usr_attributes(one.attributes) == UsrAttributes(priority=1, tries=0, successful=True)
    assert usr_attributes(other.attributes) == UsrAttributes()


def test_other_partitions_are_named_after_the_version() -> None:
    again, other = disk_layout(Version(4891)), disk_layout(Version(4892))
    assert again == TABLE
    assert other.partition("ROOT").guid != TABLE.partition("ROOT").guid

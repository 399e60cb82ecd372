"""Growing ROOT and a disk's own identity: what changes, and that a power cut at any point loses no table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.formats.gpt import SECTOR_BYTES, Decoded, Gpt, GptError, Partition, encode
from argosy.node.disk.plan import ALIGNMENT_SECTORS, SHIPPED_GUID, Plan, plan
from argosy.node.disk.table import read_table, write_table
from argosy.node.disk.writes import Write

FRESH = UUID("6f0a1c3e-8a43-4d6b-9d3a-0d6c5b1e2f10")
ROOT_TYPE = UUID("3884dd41-8582-4404-b9a8-e9b84f2df50e")
SECTORS = 4 * ALIGNMENT_SECTORS


def table(
    sectors: int = SECTORS, guid: UUID = SHIPPED_GUID, root_end: int = 3 * ALIGNMENT_SECTORS - 1
) -> Gpt:
    parts = (
        Partition(6, ROOT_TYPE, UUID(int=6), ALIGNMENT_SECTORS, ALIGNMENT_SECTORS + 9, "OEM"),
        Partition(9, ROOT_TYPE, UUID(int=9), 2 * ALIGNMENT_SECTORS, root_end, "ROOT"),
    )
    return Gpt(guid, sectors, parts)


def planned(before: Gpt, sectors: int = SECTORS, primary: str = "", backup: str = "") -> Plan:
    return plan(Decoded(before, b"boot", primary, backup), sectors, FRESH)


def test_a_shipped_disk_gets_an_identity_and_grows() -> None:
    after = planned(table(), 8 * ALIGNMENT_SECTORS)
    assert after.table.disk_guid == FRESH
    assert after.table.sectors == 8 * ALIGNMENT_SECTORS
    assert after.root.last_lba == 7 * ALIGNMENT_SECTORS - 1
    assert after.table.partition("OEM") == table().partition("OEM")
    assert after.root.guid == UUID(int=9)
    assert len(after.reasons) == 3
    assert [write.what for write in after.writes] == [
        "the backup copy of the partition table",
        "the primary copy of the partition table",
        "the protective MBR",
    ]
    assert after.writes[2].data.startswith(b"boot")


def test_nothing_to_do_is_nothing_written() -> None:
    settled = planned(table()).table
    assert planned(settled).writes == ()
    assert planned(settled).table == settled


def test_less_than_the_alignment_is_not_worth_growing() -> None:
    nearly = table(guid=FRESH, root_end=3 * ALIGNMENT_SECTORS - 2)
    assert planned(nearly).root == nearly.partition("ROOT")


def test_root_stops_at_what_follows_it() -> None:
    before = table(sectors=9 * ALIGNMENT_SECTORS, guid=FRESH)
    wall = Partition(10, ROOT_TYPE, UUID(int=10), 5 * ALIGNMENT_SECTORS + 7, 6 * ALIGNMENT_SECTORS, "DATA")
    before = replace(before, partitions=(*before.partitions, wall))
    assert planned(before, before.sectors).root.last_lba == 5 * ALIGNMENT_SECTORS - 1


def test_a_damaged_copy_is_repaired_first() -> None:
    settled = planned(table()).table
    assert planned(settled, backup="is missing").writes[0].what.startswith("the backup")
    assert planned(settled, primary="is missing").writes[0].what.startswith("the primary")


def test_a_disk_without_root_is_refused() -> None:
    with pytest.raises(GptError, match="ROOT"):
        planned(Gpt(FRESH, SECTORS, table().partitions[:1]))


def image(path: Path, before: Gpt, sectors: int) -> Path:
    """A sparse disk image made for `before`, then grown to `sectors`."""
    head, tail = encode(before, boot_code=b"boot")
    with path.open("wb") as file:
        file.write(head)
        file.seek(before.sectors * SECTOR_BYTES - len(tail))
        file.write(tail)
        file.truncate(sectors * SECTOR_BYTES)
    return path


def torn(path: Path, write: Write, sectors_kept: list[bool]) -> None:
    """A write that a power cut met: of its sectors, only some arrived."""
    with path.open("r+b") as file:
        for index, kept in enumerate(sectors_kept[: len(write.data) // SECTOR_BYTES]):
            if kept:
                file.seek(write.offset_bytes + index * SECTOR_BYTES)
                file.write(write.data[index * SECTOR_BYTES : (index + 1) * SECTOR_BYTES])


@given(
    extra=st.sampled_from([0, 1, 100, ALIGNMENT_SECTORS, 5 * ALIGNMENT_SECTORS + 3]),
    guid=st.sampled_from([SHIPPED_GUID, FRESH]),
    cuts=st.lists(
        st.tuples(st.integers(0, 2), st.lists(st.booleans(), min_size=33, max_size=33)), max_size=4
    ),
)
def test_a_cut_at_any_point_leaves_a_table_and_the_next_run_ends_alike(
    tmp_path_factory: pytest.TempPathFactory,
    extra: int,
    guid: UUID,
    cuts: list[tuple[int, list[bool]]],
) -> None:
    path = image(tmp_path_factory.mktemp("disk") / "disk.img", table(guid=guid), SECTORS + extra)
    goal = planned(table(guid=guid), SECTORS + extra).table
    for write_number, kept in cuts:
        decoded, sectors = read_table(path)  # raises if no copy is sound
        assert decoded.table.partition("OEM") == table().partition("OEM")
        writes = plan(decoded, sectors, FRESH).writes
        write_table(path, writes[:write_number])
        if write_number < len(writes):
            torn(path, writes[write_number], kept)
    decoded, sectors = read_table(path)
    write_table(path, plan(decoded, sectors, FRESH).writes)
    decoded, sectors = read_table(path)
    assert decoded.table == goal
    assert (decoded.primary_problem, decoded.backup_problem) == ("", "")
    assert decoded.boot_code.startswith(b"boot")
    path.unlink()

"""Partition tables: round trips, damage, and what sgdisk and cgpt make of them."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.formats import gpt
from argosy.formats.gpt import SECTOR_BYTES, Gpt, GptError, Partition, UsrAttributes

DISK = UUID(int=1)
USR = UUID("5dfbf5f4-2848-4bac-aa5e-0d9a20b745a6")


@st.composite
def tables(draw: st.DrawFn) -> Gpt:
    """Sound tables: partitions apart, in any order on the disk."""
    numbers = sorted(draw(st.sets(st.integers(1, gpt.ENTRIES), max_size=8)))
    places = draw(st.permutations(range(len(numbers))))
    partitions = []
    for number, place in zip(numbers, places, strict=True):
        first = 2048 + place * 4096 + draw(st.integers(0, 100))
        last = first + draw(st.integers(0, 3000))
        label = draw(st.text(st.characters(exclude_characters="\0", codec="utf-16-le"), max_size=18))
        kind, own = draw(st.uuids()), draw(st.uuids())
        partitions.append(
            Partition(number, kind, own, first, last, label, draw(st.integers(0, (1 << 64) - 1)))
        )
    return Gpt(draw(st.uuids()), draw(st.integers(100_000, 1 << 40)), tuple(partitions))


def decoded(head: bytes, tail: bytes, sectors: int) -> gpt.Decoded:
    return gpt.decode(head, tail, sectors=sectors)


@given(tables())
def test_what_is_written_is_read(table: Gpt) -> None:
    found = decoded(*gpt.encode(table), table.sectors)
    assert (found.table, found.primary_problem, found.backup_problem) == (table, "", "")


@given(tables(), st.data())
def test_any_damage_to_one_copy_is_seen_and_survived(table: Gpt, data: st.DataObject) -> None:
    head, tail = (bytearray(part) for part in gpt.encode(table))
    in_head = data.draw(st.booleans())
    part = head if in_head else tail
    # In the header only the first 92 bytes mean anything.
    headers = range(SECTOR_BYTES, SECTOR_BYTES + 92) if in_head else range(len(tail) - 512, len(tail) - 420)
    entries = range(2 * SECTOR_BYTES, len(head)) if in_head else range(len(tail) - SECTOR_BYTES)
    at = data.draw(st.sampled_from(headers) | st.sampled_from(entries))
    part[at] ^= data.draw(st.integers(1, 255))
    found = decoded(bytes(head), bytes(tail), table.sectors)
    assert found.table == table
    assert bool(found.primary_problem) == in_head
    assert bool(found.backup_problem) != in_head


def test_two_damaged_copies_are_an_error() -> None:
    head, tail = gpt.encode(Gpt(DISK, 100_000, ()))
    with pytest.raises(GptError, match="primary copy is missing, backup copy has a damaged header"):
        decoded(bytes(len(head)), tail[:-440] + bytes(440), 100_000)


def test_copies_that_differ_are_told() -> None:
    one, other = Gpt(DISK, 100_000, ()), Gpt(UUID(int=2), 100_000, ())
    found = decoded(gpt.encode(one)[0], gpt.encode(other)[1], 100_000)
    assert (found.table, found.backup_problem) == (one, "differs from the primary copy")


def test_a_disk_that_has_grown_keeps_its_table() -> None:
    table = Gpt(DISK, 100_000, (Partition(9, USR, DISK, 2048, 4095, "ROOT"),))
    head, tail = gpt.encode(table)
    found = decoded(head, bytes(len(tail)), 200_000)
    assert (found.table, found.backup_problem) == (table, "is missing")
    larger = gpt.grown(found.table, 200_000)
    assert decoded(*gpt.encode(larger), 200_000).table == larger
    assert larger.last_usable_lba == 200_000 - 34


@pytest.mark.parametrize(
    ("partitions", "message"),
    [
        ((Partition(1, USR, DISK, 33, 40),), "taken"),
        ((Partition(1, USR, DISK, 40, 39),), "no sectors"),
        ((Partition(1, USR, DISK, 40, 99_967),), "last usable"),
        ((Partition(1, USR, DISK, 40, 60), Partition(2, USR, DISK, 60, 70)), "taken"),
        ((Partition(2, USR, DISK, 40, 50), Partition(1, USR, DISK, 60, 70)), "numbers"),
        ((Partition(129, USR, DISK, 40, 50),), "numbers"),
        ((Partition(1, USR, DISK, 40, 50, "x" * 37),), "36"),
        ((Partition(1, UUID(int=0), DISK, 40, 50),), "no type"),
        ((Partition(1, USR, DISK, 40, 50, "", 1 << 64),), "64 bits"),
    ],
)
def test_tables_that_break_the_rules_are_refused(partitions: tuple[Partition, ...], message: str) -> None:
    with pytest.raises(GptError, match=message):
        gpt.encode(Gpt(DISK, 100_000, partitions))


@given(
    st.integers(0, (1 << 64) - 1),
    st.builds(UsrAttributes, st.integers(0, 15), st.integers(0, 15), st.booleans()),
)
def test_slot_bits_leave_the_others_alone(attributes: int, bits: UsrAttributes) -> None:
    changed = gpt.with_usr_attributes(attributes, bits)
    assert gpt.usr_attributes(changed) == bits
    assert changed & ~(0x1FF << 48) == attributes & ~(0x1FF << 48)
    assert gpt.with_usr_attributes(changed, gpt.usr_attributes(attributes)) == attributes


def test_slot_bits_have_a_range() -> None:
    with pytest.raises(GptError, match="0 to 15"):
        gpt.with_usr_attributes(0, UsrAttributes(priority=16))


def write(image: Path, table: Gpt) -> None:
    head, tail = gpt.encode(table, boot_code=b"\xeb\x63")
    with image.open("wb") as disk:
        disk.truncate(table.sectors * SECTOR_BYTES)
        disk.write(head)
        disk.seek(-len(tail), 2)
        disk.write(tail)


def read(image: Path) -> gpt.Decoded:
    data = image.read_bytes()
    tail = data[-gpt.TAIL_SECTORS * SECTOR_BYTES :]
    return decoded(data[: gpt.HEAD_SECTORS * SECTOR_BYTES], tail, len(data) // SECTOR_BYTES)


def output(*words: str | Path) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


TABLE = Gpt(
    UUID("a2f0d9d4-5e0e-4a3f-8d9c-3f1b7c1f0a11"),
    40_960,
    (
        Partition(3, USR, UUID("7130c94a-213a-4e5a-8e26-6cce9662f132"), 4096, 8191, "USR-A", 0x101 << 48),
        Partition(9, USR, UUID("e03dd35c-7c2d-4a47-b3fe-27f15780a57c"), 8192, 20479, "RÖÖT"),
    ),
)


def test_sgdisk_finds_our_table_sound(tmp_path: Path) -> None:
    write(tmp_path / "disk", TABLE)
    assert "No problems found" in output("/usr/sbin/sgdisk", "--verify", tmp_path / "disk")
    shown = output("/usr/sbin/sgdisk", "--info=3", tmp_path / "disk")
    assert "7130C94A-213A-4E5A-8E26-6CCE9662F132" in shown
    assert "First sector: 4096" in shown
    assert "Last sector: 8191" in shown
    assert "Attribute flags: 0101000000000000" in shown
    assert "Partition name: 'USR-A'" in shown


def test_we_read_what_sgdisk_writes(tmp_path: Path) -> None:
    write(tmp_path / "disk", TABLE)
    output("/usr/sbin/sgdisk", "--new=5:20480:24575", "--change-name=5:hello", tmp_path / "disk")
    found = read(tmp_path / "disk")
    assert (found.primary_problem, found.backup_problem) == ("", "")
    assert found.boot_code[:2] == b"\xeb\x63"
    new = found.table.partition("hello")
    assert (new.number, new.first_lba, new.sectors) == (5, 20480, 4096)
    assert replace(found.table, partitions=(found.table.partitions[0], found.table.partitions[2])) == TABLE

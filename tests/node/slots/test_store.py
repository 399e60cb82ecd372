"""Slots on a real image: what is written, what is read back, and thousands of power cuts."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from tests.node.slots.disk import SECTORS, DiskStore, make_places, table
from tests.node.slots.world import DEAD, GOOD, LATE, MISSING, World, attempt, settle

from argosy.formats.bootenv import BootEnvironment
from argosy.formats.gpt import SECTOR_BYTES, UsrAttributes
from argosy.node.disk.table import read_table
from argosy.node.slots.esp import block_path, read_environment, write_environment
from argosy.node.slots.model import Failure, FailureKind, Records, SlotBits, SlotsError
from argosy.node.slots.records import read_records, write_records
from argosy.node.slots.store import Slots, running_slot

OLD = UsrAttributes(priority=1, successful=True)


def test_a_fresh_disk(tmp_path: Path) -> None:
    slots = Slots(make_places(tmp_path))
    state = slots.observe()
    assert state.bits == SlotBits(OLD, UsrAttributes())
    assert (state.environment, state.records) == (BootEnvironment("a"), Records())
    assert (slots.next_boot().slot, slots.next_boot().trial) == ("a", False)


def test_an_update_from_end_to_end(tmp_path: Path) -> None:
    places = make_places(tmp_path)
    slots = Slots(places, clock=lambda: 1000.9)
    slots.reconcile("1.0.0")
    target = slots.invalidate()
    assert (target.slot, target.usr, target.offset_bytes) == ("b", places.disk, 256 * SECTOR_BYTES)
    assert target.size_bytes == 128 * SECTOR_BYTES
    assert target.kernel == places.esp / "coreos/vmlinuz-b"
    assert target.boot == places.esp / "coreos/grub/slot-b.cfg"
    slots.arm("2.0.0")
    choice = slots.take_next_boot()
    assert (choice.slot, choice.trial) == ("b", True)
    booted = Slots(replace(places, running="b"), clock=lambda: 2000.0)
    booted.reconcile("2.0.0")
    with pytest.raises(SlotsError, match="not committed"):
        booted.invalidate()
    booted.reject("probe web: exit code 1")
    assert booted.failed_versions() == {"2.0.0"}
    (failure,) = Slots(places).failures()
    assert (failure.reason, failure.time_s) == ("probe web: exit code 1", 2000)
    assert Slots(places).next_boot().slot == "a"


def test_a_failed_version_can_be_forgotten(tmp_path: Path) -> None:
    places = make_places(tmp_path)
    failure = Failure("2.0.0", "b", "a probe failed", 5, FailureKind.HEALTH)
    write_records(places.records, Records({"a": "1.0.0"}, (failure,)))
    with pytest.raises(SlotsError, match=r"3\.0\.0 has not failed"):
        Slots(places).forget("3.0.0")
    Slots(places).forget("2.0.0")
    assert Slots(places).failed_versions() == frozenset()


def test_only_the_bits_change(tmp_path: Path) -> None:
    places = make_places(tmp_path)
    before = places.disk.read_bytes()
    Slots(places).arm("2.0.0")
    decoded, _ = read_table(places.disk)
    assert (decoded.primary_problem, decoded.backup_problem) == ("", "")
    assert decoded.boot_code.startswith(b"boot")
    parts = {part.label: part for part in decoded.table.partitions}
    assert parts.pop("USR-B").attributes == 0x0032_0000_0000_0000
    assert list(parts.values()) == [part for part in table().partitions if part.label != "USR-B"]
    after = places.disk.read_bytes()
    assert after[34 * SECTOR_BYTES : -33 * SECTOR_BYTES] == before[34 * SECTOR_BYTES : -33 * SECTOR_BYTES]


def test_nothing_to_change_is_nothing_written(tmp_path: Path) -> None:
    places = make_places(tmp_path)
    Slots(places).reconcile("1.0.0")
    times = [path.stat().st_mtime_ns for path in (places.disk, block_path(places.esp), places.records)]
    Slots(places).reconcile("1.0.0")
    assert times == [
        path.stat().st_mtime_ns for path in (places.disk, block_path(places.esp), places.records)
    ]


@pytest.mark.parametrize("at", [SECTOR_BYTES + 20, (SECTORS - 1) * SECTOR_BYTES + 20])
def test_a_damaged_copy_is_repaired_at_the_next_boot(tmp_path: Path, at: int) -> None:
    places = make_places(tmp_path)
    with places.disk.open("r+b") as file:
        file.seek(at)
        file.write(b"xxxx")
    Slots(places).reconcile("1.0.0")
    decoded, _ = read_table(places.disk)
    assert (decoded.primary_problem, decoded.backup_problem) == ("", "")
    assert decoded.table == table()


def test_a_disk_that_has_grown_keeps_its_bits(tmp_path: Path) -> None:
    places = make_places(tmp_path, table(), sectors=SECTORS + 4096)
    Slots(places).arm("2.0.0")
    decoded, sectors = read_table(places.disk)
    assert (decoded.table.sectors, decoded.backup_problem) == (sectors, "")


def test_the_environment_keeps_its_place_on_the_esp(tmp_path: Path) -> None:
    """GRUB finds the block by the sectors of its file."""
    places = make_places(tmp_path)
    before = block_path(places.esp).stat().st_ino
    write_environment(places.esp, BootEnvironment("b", ("a",), "b", "b:kernel"))
    assert block_path(places.esp).stat().st_ino == before
    assert read_environment(places.esp) == BootEnvironment("b", ("a",), "b", "b:kernel")


@pytest.mark.parametrize(
    "damage", [None, b"", b"short", b"# GRUB Environment Block\nbroken", bytes(1024), bytes(2048)]
)
def test_an_environment_that_is_missing_or_damaged_is_written_anew(
    tmp_path: Path, damage: bytes | None
) -> None:
    places = make_places(tmp_path)
    block = block_path(places.esp)
    block.unlink() if damage is None else block.write_bytes(damage)
    assert read_environment(places.esp) is None
    Slots(places).reconcile("1.0.0")
    assert read_environment(places.esp) == BootEnvironment("a")
    assert block.stat().st_size == 1024


@pytest.mark.parametrize("damage", [b"", b"[]", b"{", b'{"versions": 3}', b"\xff\xfe", b"null"])
def test_records_that_are_damaged_are_as_good_as_lost(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "slots.json"
    path.write_bytes(damage)
    assert read_records(path) == Records()
    write_records(path, Records({"a": "1.0.0"}))
    assert read_records(path) == Records({"a": "1.0.0"})


@pytest.mark.parametrize(
    ("cmdline", "slot"),
    [
        ("root=LABEL=ROOT argosy.slot=a quiet", "a"),
        ("argosy.slot=b\n", "b"),
        ("argosy.slot=c", None),
        ("xargosy.slot=a", None),
        ("quiet", None),
    ],
)
def test_the_running_slot_is_on_the_kernels_command_line(cmdline: str, slot: str | None) -> None:
    assert running_slot(cmdline) == slot


def test_thousands_of_cuts_on_a_real_image(tmp_path: Path) -> None:
    """Random lives of a machine, each cut many times, within a copy of the table, too."""
    chance = random.Random(20261122)
    cuts = 0
    for number in range(150):
        folder = tmp_path / str(number)
        folder.mkdir()
        world = World(DiskStore(make_places(folder), chance))
        world.boot()
        for _ in range(60):
            what = chance.choice(["update", "update", "commit", "reject", "reboot", "go back", "crash"])
            content = chance.choice([GOOD, GOOD, DEAD, LATE, MISSING])
            world.power.goes_after(chance.randrange(5), torn=chance.random() < 0.7)
            attempt(world, what, content)
            cuts += world.power.cut_after is None
            world.power.cut_after = None
            assert world.bits.of(world.anchor).successful, "a good slot was lost"
            assert world.contents[world.anchor] == GOOD
        settle(world)
    assert cuts > 2500

"""`cgpt` on image files: its commands, its output, and ChromeOS's own tool beside it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.node.slots.disk import SECTORS, make_places, table

from argosy.formats.gpt import UsrAttributes, usr_attributes
from argosy.node.disk.table import read_table
from argosy.node.slots.cgpt import edit
from argosy.node.slots.cgpt.cli import main
from argosy.node.slots.cgpt.kinds import USR


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return make_places(tmp_path).disk


def run(capsys: pytest.CaptureFixture[str], *words: str | Path, code: int = 0) -> str:
    """What our cgpt prints."""
    assert main([str(word) for word in words]) == code
    return capsys.readouterr().out


def chromeos(*words: str | Path) -> str:
    """What ChromeOS's cgpt prints."""
    return subprocess.run(["cgpt", *map(str, words)], check=True, capture_output=True, text=True).stdout


def bits(image: Path, number: int) -> UsrAttributes:
    decoded, _ = read_table(image)
    return next(usr_attributes(part.attributes) for part in decoded.table.partitions if part.number == number)


# The output


def test_show(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run(capsys, "show", image)
        == """\
       start        size    part  contents
           0           1          Protective MBR
           1           1          Pri GPT header
           2          32          Pri GPT table
          64          64       1  Label: "EFI-SYSTEM"
                                  Type: EFI System Partition
                                  UUID: 00000000-0000-0000-0000-00000000000B
         128         128       3  Label: "USR-A"
                                  Type: Alias for coreos-rootfs
                                  UUID: 7130C94A-213A-4E5A-8E26-6CCE9662F132
                                  Attr: priority=1 tries=0 successful=1
         256         128       4  Label: "USR-B"
                                  Type: Alias for coreos-rootfs
                                  UUID: E03DD35C-7C2D-4A47-B3FE-27F15780A57C
                                  Attr: priority=0 tries=0 successful=0
         512         512       9  Label: "ROOT"
                                  Type: CoreOS auto-resize
                                  UUID: 00000000-0000-0000-0000-000000000013
        2015          32          Sec GPT table
        2047           1          Sec GPT header
"""
    )


def test_one_partition(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "show", "-n", "-i", "3", image).splitlines()[1:] == [
        '         128         128       3  Label: "USR-A"',
        "                                  Type: 5DFBF5F4-2848-4BAC-AA5E-0D9A20B745A6",
        "                                  UUID: 7130C94A-213A-4E5A-8E26-6CCE9662F132",
        "                                  Attr: 0x0101000000000000",
    ]
    assert run(capsys, "show", "-i", "3", "-P", image) == "1\n"
    assert run(capsys, "show", "-i", "3", "-S", image) == "1\n"
    assert run(capsys, "show", "-i", "3", "-A", image) == "0x101000000000000\n"
    assert (
        run(capsys, "show", "-q", image).splitlines()[1]
        == f"{128:>12}{128:>12}{3:>8}  Alias for coreos-rootfs"
    )


# Beside ChromeOS's tool


@pytest.mark.parametrize("item", "bstulA")
@pytest.mark.parametrize("number", "1349")
def test_single_values_are_chromeos_s(
    image: Path, capsys: pytest.CaptureFixture[str], item: str, number: str
) -> None:
    theirs = chromeos("show", "-i", number, f"-{item}", image)
    ours = run(capsys, "show", "-i", number, f"-{item}", image)
    if item == "A":  # it prints the upper 16 of the 64 bits
        assert int(ours, 16) >> 48 == int(theirs, 16)
    else:
        assert ours == theirs


def test_headers_are_chromeos_s(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def details(text: str) -> list[str]:
        rows = [row.strip() for row in text.splitlines()]
        return [row.removesuffix("(blocks)").strip() for row in rows if ": " in row and "Label" not in row][
            :13
        ]

    theirs = chromeos("show", "-v", image).split("contents\n")[1]
    ours = run(capsys, "show", "-v", image).split("contents\n")[1]
    assert [row for row in details(ours) if "Type" not in row] == [
        row for row in details(theirs) if "Type" not in row
    ]


@pytest.mark.parametrize("at", [530, 1030, SECTORS * 512 - 500, SECTORS * 512 - 16000])
def test_damage_is_seen_and_repaired_as_chromeos_does(
    image: Path, capsys: pytest.CaptureFixture[str], at: int
) -> None:
    whole = image.read_bytes()
    with image.open("r+b") as file:
        file.seek(at)
        file.write(b"xxxx")
    damaged = image.read_bytes()
    assert "INVALID" in run(capsys, "show", image)
    said = set(run(capsys, "repair", image).splitlines())
    assert image.read_bytes() == whole
    image.write_bytes(damaged)
    assert said <= set(chromeos("repair", image).splitlines())
    assert chromeos("show", image).count("INVALID") == 0
    assert run(capsys, "repair", image) == ""


def test_what_chromeos_s_tool_makes_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(1 << 20))
    chromeos("create", image)
    chromeos(
        "add", "-i", "4", "-b", "100", "-s", "50", "-t", str(USR), "-l", "USR-B", "-P", "3", "-T", "2", image
    )
    assert run(capsys, "show", "-i", "4", "-T", image) == "2\n"
    chromeos("add", "-i", "4", "-S", "1", image)
    assert bits(image, 4) == UsrAttributes(3, 2, successful=True)


def test_what_we_make_chromeos_s_tool_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = tmp_path / "disk.img"
    run(capsys, "create", "-c", "-s", "4096", "-g", "11111111-2222-3333-4444-555555555555", image)
    run(
        capsys,
        "add",
        "-b",
        "100",
        "-s",
        "0x32",
        "-t",
        "coreos-usr",
        "-l",
        "USR-A",
        "-S",
        "1",
        "-P",
        "15",
        image,
    )
    run(capsys, "add", "-b", "200", "-s", "50", "-t", "data", "-l", "DATA", image)
    assert chromeos("show", "-i", "1", "-A", image) == "0x10f\n"
    assert chromeos("find", "-l", "DATA", image) == run(capsys, "find", "-l", "DATA", image) == f"{image}2\n"
    assert "Disk UUID: 11111111-2222-3333-4444-555555555555" in chromeos("show", "-v", image)
    run(capsys, "add", "-i", "1", "-t", "unused", image)
    assert "USR-A" not in chromeos("show", image)


def test_the_boot_guid_is_chromeos_s(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours = run(capsys, "boot", "-p", "-i", "3", image)
    assert ours == chromeos("boot", image) == "7130C94A-213A-4E5A-8E26-6CCE9662F132\n"
    assert "PMBR (SYSLINUX3, Boot GUID: 7130C94A-213A-4E5A-8E26-6CCE9662F132)" in run(capsys, "show", image)


# Changes


def test_add_changes_one_entry(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "add", "-i", "4", "-P", "2", "-T", "1", "-S", "0", image)
    assert bits(image, 4) == UsrAttributes(2, 1)
    assert bits(image, 3) == UsrAttributes(1, 0, successful=True)
    run(capsys, "add", "-i", "9", "-l", "OTHER", "-B", "1", image)
    assert "Legacy BIOS Bootable" in run(capsys, "show", "-i", "9", image)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-b", "100"), "options are required"),
        (("-i", "200", "-P", "1"), "invalid partition number"),
        (("-i", "3", "-s", "9000"), "last usable one"),
        (("-i", "3", "-b", "70", "-s", "9"), "which is taken"),
    ],
)
def test_what_cannot_be_is_refused(
    image: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    before = image.read_bytes()
    assert main(["add", *words, str(image)]) == 1
    assert message in capsys.readouterr().err
    assert image.read_bytes() == before


def test_a_damaged_table_is_not_changed(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with image.open("r+b") as file:
        file.seek(530)
        file.write(b"xxxx")
    assert main(["add", "-i", "4", "-P", "2", str(image)]) == 1
    assert "cgpt repair" in capsys.readouterr().err


def test_next_takes_a_try(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    usr_a, usr_b = "7130c94a-213a-4e5a-8e26-6cce9662f132\n", "e03dd35c-7c2d-4a47-b3fe-27f15780a57c\n"
    assert run(capsys, "next", image) == usr_a
    run(capsys, "add", "-i", "4", "-P", "2", "-T", "1", image)
    assert run(capsys, "next", image) == usr_b
    assert bits(image, 4) == UsrAttributes(2, 0)
    assert run(capsys, "next", image) == usr_a


def test_find(image: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(capsys, "find", "-t", "coreos-usr", image) == f"{image}3\n{image}4\n"
    assert run(capsys, "find", "-n", "-l", "USR-B", image) == "4\n"
    run(capsys, "find", "-1", "-t", "coreos-usr", image, code=1)
    run(capsys, "find", "-l", "NOTHING", image, code=1)
    with image.open("r+b") as file:
        file.seek(256 * 512 + 7)
        file.write(b"needle")
    (tmp_path / "needle").write_bytes(b"needle")
    assert (
        run(capsys, "find", "-t", "coreos-usr", "-M", tmp_path / "needle", "-O", "7", image) == f"{image}4\n"
    )


def test_resize_grows_into_what_is_free(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "resize", "-i", "9", image)
    assert run(capsys, "show", "-i", "9", "-s", image) == "512\n"  # less than 2 MiB are free
    run(capsys, "resize", "-m", "512", "-i", "9", image)
    assert run(capsys, "show", "-i", "9", "-s", image) == f"{SECTORS - 34 - 512 + 1}\n"
    run(capsys, "resize", "-m", "1", "-i", "3", image)
    assert run(capsys, "show", "-i", "3", "-s", image) == "128\n"


def test_a_unique_beginning_of_a_command_is_enough(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "sh", "-i", "3", "-P", image) == "1\n"


# prioritize


@pytest.mark.parametrize(
    ("before", "options", "after"),
    [
        ((1, 0), {}, (1, 0)),
        ((7, 3), {}, (2, 1)),
        ((1, 2), {"number": 3}, (2, 1)),
        ((1, 0), {"number": 4}, (1, 2)),
        ((5, 5), {"number": 4}, (1, 2)),
        ((5, 5), {"number": 4, "friends": True}, (1, 1)),
        ((1, 2), {"highest": 9}, (8, 9)),
        ((0, 0), {"highest": 9}, (0, 0)),
        ((0, 0), {"number": 3}, (1, 0)),
    ],
)
def test_priorities(before: tuple[int, int], options: dict[str, int], after: tuple[int, int]) -> None:
    ranked = edit.prioritize(ranks(before), **options)  # type: ignore[arg-type]
    assert (
        tuple(usr_attributes(ranked.partition(label).attributes).priority for label in ("USR-A", "USR-B"))
        == after
    )


def ranks(priorities: tuple[int, int]) -> edit.Gpt:
    first = edit.add(table(), edit.Changes(number=3, priority=priorities[0]), USR)
    return edit.add(first, edit.Changes(number=4, priority=priorities[1]), USR)


@given(st.tuples(st.integers(0, 15), st.integers(0, 15)), st.sampled_from([0, 3, 4]), st.booleans())
def test_the_chosen_one_comes_first_and_the_order_stays(
    before: tuple[int, int], number: int, friends: bool
) -> None:
    ranked = edit.prioritize(ranks(before), number=number, friends=friends)
    a, b = (usr_attributes(ranked.partition(label).attributes).priority for label in ("USR-A", "USR-B"))
    if number:
        chosen, second = (a, b) if number == 3 else (b, a)
        assert chosen >= second
    else:
        assert (a > b) == (before[0] > before[1]) and (a == b) == (before[0] == before[1])
        assert [bool(a), bool(b)] == [bool(value) for value in before]

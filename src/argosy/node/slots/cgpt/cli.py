"""`cgpt`: the commands of CoreOS's tool, on disks and on image files."""

from __future__ import annotations

import argparse
import os
import sys
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from argosy.base import cli
from argosy.base.errors import ArgosyError
from argosy.formats.gpt import HEAD_SECTORS, SECTOR_BYTES, TAIL_SECTORS, Gpt, GptError, Partition, encode
from argosy.formats.gpt import usr_attributes as usr_bits
from argosy.node.disk.device import tell_kernel
from argosy.node.disk.table import write_table
from argosy.node.disk.writes import Write
from argosy.node.slots.cgpt import edit, show
from argosy.node.slots.cgpt.drive import Drive, all_disks, load, partition_path, save, save_boot_sector
from argosy.node.slots.cgpt.kinds import guid_argument, kind, names, upper
from argosy.node.slots.model import NoSlotsError
from argosy.node.slots.store import this_machine

_DAMAGED = "\nWARNING: one of the GPT header/entries is invalid, please run 'cgpt repair'"
_MIN_GROWTH_BYTES = 2 << 20
_ITEMS: dict[str, tuple[str, Callable[[Partition], str]]] = {
    "b": ("beginning sector", lambda part: str(part.first_lba)),
    "s": ("partition size", lambda part: str(part.sectors)),
    "t": ("type guid", lambda part: upper(part.type_guid)),
    "u": ("unique guid", lambda part: upper(part.guid)),
    "l": ("label", lambda part: part.label),
    "S": ("Successful flag", lambda part: str(int(usr_bits(part.attributes).successful))),
    "T": ("Tries flag", lambda part: str(usr_bits(part.attributes).tries)),
    "P": ("Priority flag", lambda part: str(usr_bits(part.attributes).priority)),
    "A": ("raw 64-bit attribute value", lambda part: f"0x{part.attributes:x}"),
}
_EXAMPLES = """\
examples:
  cgpt show /dev/vda                   the whole table, with priority, tries and success of each /usr
  cgpt show -i 4 -P /dev/vda           one value of one partition
  cgpt add -i 4 -P 2 -T 1 -S 0 disk.img
  cgpt prioritize -i 3 /dev/vda        USR-A before all others
  cgpt find -t coreos-usr /dev/vda
On an Argosy machine the boot loader follows at once. `argosy slots` says the same in words.
"""
_COMMANDS = ("show", "add", "prioritize", "find", "next", "repair", "resize", "create", "boot")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `cgpt`."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words and len(matches := [name for name in _COMMANDS if name.startswith(words[0])]) == 1:
        words[0] = matches[0]
    parser = cli.program("cgpt", "Shows and changes GUID partition tables.", epilog=_EXAMPLES)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for add_command in (_add_show, _add_add, _add_prioritize, _add_find, _add_next):
        add_command(commands)
    for add_command in (_add_repair, _add_resize, _add_create, _add_boot):
        add_command(commands)
    return cli.main(parser, words)


def number(text: str) -> int:
    """A number as in C: decimal, or hexadecimal with 0x."""
    try:
        return int(text, 0)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def _within(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        value = number(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{value} is not between {least} and {most}")
        return value

    return parse


def _command(
    commands: argparse._SubParsersAction[cli.Parser],
    name: str,
    words: str,
    handler: Callable[[argparse.Namespace], int],
    *,
    epilog: str | None = None,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=words,
        description=words,
        epilog=epilog,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(handler=handler)
    return parser


# show


def _add_show(commands: argparse._SubParsersAction[cli.Parser]) -> None:
    parser = _command(commands, "show", "Show partition table and entries", _show)
    parser.add_argument("-n", action="store_true", help="numeric output only")
    parser.add_argument("-v", action="store_true", help="verbose output")
    parser.add_argument("-q", action="store_true", help="quick output")
    parser.add_argument("-d", action="store_true", help="debug output (including invalid headers)")
    parser.add_argument("-i", type=number, default=0, metavar="NUM", help="this partition only; one of:")
    for letter, (words, _) in _ITEMS.items():
        parser.add_argument(f"-{letter}", dest="item", action="store_const", const=letter, help=words)
    parser.add_argument("drive", type=Path, metavar="DRIVE")


def _show(arguments: argparse.Namespace) -> int:
    drive = load(arguments.drive)
    table = drive.decoded.table
    if chosen := arguments.i or drive.partition:
        part = _partition(table, chosen)
        if arguments.item:
            print(_ITEMS[arguments.item][1](part))
        else:
            _print([show.TITLE, *show.entry_lines(part, numeric=arguments.n)])
    elif arguments.q:
        _print(show.quick_lines(table.partitions, numeric=arguments.n))
    else:
        _print(
            show.table_lines(
                table.partitions,
                drive.head,
                drive.tail,
                sectors=drive.sectors,
                numeric=arguments.n,
                details=arguments.v,
                debug=arguments.d,
            )
        )
    if not drive.sound:
        print(_DAMAGED, file=sys.stderr)
    return 0


# add


def _add_add(commands: argparse._SubParsersAction[cli.Parser]) -> None:
    parser = _command(commands, "add", "Add, edit or remove a partition entry", _add, epilog=names())
    flag, small = _within(0, 1), _within(0, 15)
    for letter, kind_of, metavar, words in (
        ("i", number, "NUM", "partition to modify (default is the next available)"),
        ("b", number, "NUM", "beginning sector"),
        ("s", number, "NUM", "size in sectors"),
        ("t", kind, "GUID", "partition type GUID; `unused` removes the partition"),
        ("u", guid_argument, "GUID", "partition unique ID"),
        ("l", str, "LABEL", "label"),
        ("B", flag, "NUM", "Legacy BIOS Bootable flag (0|1)"),
        ("S", flag, "NUM", "Successful flag (0|1)"),
        ("T", small, "NUM", "Tries flag (0-15)"),
        ("P", small, "NUM", "Priority flag (0-15)"),
        ("A", number, "NUM", "raw 64-bit attribute value"),
    ):
        parser.add_argument(f"-{letter}", type=kind_of, metavar=metavar, help=words)
    parser.add_argument("drive", type=Path, metavar="DRIVE")


def _add(arguments: argparse.Namespace) -> int:
    drive = load(arguments.drive)
    _need_sound(drive, "adding anything")
    changes = edit.Changes(
        number=arguments.i or drive.partition,
        begin=arguments.b,
        size=arguments.s,
        kind=arguments.t,
        guid=arguments.u,
        label=arguments.l,
        legacy_bootable=None if arguments.B is None else bool(arguments.B),
        successful=None if arguments.S is None else bool(arguments.S),
        tries=arguments.T,
        priority=arguments.P,
        raw=arguments.A,
    )
    _save(drive, edit.add(drive.decoded.table, changes, uuid.uuid4()))
    return 0


# prioritize


def _add_prioritize(commands: argparse._SubParsersAction[cli.Parser]) -> None:
    parser = _command(commands, "prioritize", "Reorder the priority of all /usr partitions", _prioritize)
    parser.add_argument("-P", type=_within(1, 15), default=0, metavar="NUM", help="highest priority to use")
    parser.add_argument("-i", type=number, default=0, metavar="NUM", help="partition to make the highest")
    parser.add_argument("-f", action="store_true", help="with -i: those with the same priority, too")
    parser.add_argument("drive", type=Path, metavar="DRIVE")


def _prioritize(arguments: argparse.Namespace) -> int:
    drive = load(arguments.drive)
    chosen = arguments.i or drive.partition
    if arguments.f and not chosen:
        raise ArgosyError("the -f option is only useful with the -i option")
    _save(
        drive,
        edit.prioritize(drive.decoded.table, number=chosen, friends=arguments.f, highest=arguments.P),
    )
    return 0


# find


def _add_find(commands: argparse._SubParsersAction[cli.Parser]) -> None:
    parser = _command(commands, "find", "Locate a partition by its GUID or label", _find, epilog=names())
    parser.add_argument("-t", type=kind, metavar="GUID", help="search for partition type GUID")
    parser.add_argument("-u", type=guid_argument, metavar="GUID", help="search for partition unique ID")
    parser.add_argument("-l", metavar="LABEL", help="search for label")
    parser.add_argument("-v", action="store_true", help="be verbose in displaying matches")
    parser.add_argument("-n", action="store_true", help="numeric output only")
    parser.add_argument("-1", dest="only", action="store_true", help="fail if more than one match is found")
    parser.add_argument(
        "-M", type=Path, metavar="FILE", help="the partition must also contain FILE's content"
    )
    parser.add_argument("-O", type=number, default=0, metavar="NUM", help="byte offset of that content")
    parser.add_argument("drives", type=Path, nargs="*", metavar="DRIVE", help="default: all disks")


def _find(arguments: argparse.Namespace) -> int:
    if arguments.t is None and arguments.u is None and arguments.l is None:
        raise ArgosyError("You must specify at least one of -t, -u, or -l")
    content = arguments.M.read_bytes() if arguments.M else b""
    hits = 0
    for path in arguments.drives or all_disks():
        for disk, part in _matching(path, arguments):
            if content and not _contains(disk, part, content, arguments.O):
                continue
            hits += 1
            print(part.number if arguments.n else partition_path(disk, part.number))
            if arguments.v:
                _print(show.entry_lines(part, numeric=arguments.n))
    return 0 if hits == 1 or (hits and not arguments.only) else 1


def _matching(path: Path, arguments: argparse.Namespace) -> list[tuple[Path, Partition]]:
    try:
        drive = load(path)
    except ArgosyError:  # a disk without a partition table has no such partition
        return []
    return [
        (drive.path, part)
        for part in drive.decoded.table.partitions
        if part.guid == arguments.u or part.type_guid == arguments.t or part.label == arguments.l
    ]


def _contains(disk: Path, part: Partition, content: bytes, offset: int) -> bool:
    if offset + len(content) > part.sectors * SECTOR_BYTES:
        return False
    with disk.open("rb") as file:
        file.seek(part.first_lba * SECTOR_BYTES + offset)
        return file.read(len(content)) == content


# next


def _add_next(commands: argparse._SubParsersAction[cli.Parser]) -> None:
    words = "Get the GUID of the /usr to boot next, and take one of its tries"
    parser = _command(commands, "next", words, _next)
    parser.add_argument("drive", type=Path, nargs="?", metavar="DRIVE", help="default: all disks")


def _next(arguments: argparse.Namespace) -> int:
    drives = []
    for path in [arguments.drive] if arguments.drive else all_disks():
        try:
            drives.append(load(path))
        except ArgosyError:
            if arguments.drive:
                raise
    index, part = edit.next_root([drive.decoded.table for drive in drives])
    _save(drives[index], edit.take_try(drives[index].decoded.table, part.number))
    print(part.guid)
    return 0


# repair


def _add_repair(commands: argparse._SubParsersAction[cli.Parser]) -> None:
    parser = _command(commands, "repair", "Repair damaged GPT headers and tables", _repair)
    parser.add_argument("-v", action="store_true", help="verbose")
    parser.add_argument("drive", type=Path, metavar="DRIVE")


def _repair(arguments: argparse.Namespace) -> int:
    drive = load(arguments.drive)
    if arguments.v:
        print("GptSanityCheck() returned 0: GPT_SUCCESS")
    if drive.sound:
        return 0
    save(drive, drive.decoded.table)
    after = load(arguments.drive)
    size = SECTOR_BYTES
    for what, before, now in (
        ("Primary Header", drive.head[size : 2 * size], after.head[size : 2 * size]),
        ("Primary Entries", drive.head[2 * size :], after.head[2 * size :]),
        ("Secondary Entries", drive.tail[:-size], after.tail[:-size]),
        ("Secondary Header", drive.tail[-size:], after.tail[-size:]),
    ):
        if before != now:
            print(f"{what} is updated.")
    return 0


# resize


def _add_resize(commands: argparse._SubParsersAction[cli.Parser]) -> None:
    parser = _command(commands, "resize", "Grow a partition into the free space behind it", _resize)
    parser.add_argument(
        "-m",
        type=number,
        default=_MIN_GROWTH_BYTES,
        metavar="NUM",
        help="do nothing unless the partition can grow by NUM bytes (default 2 MiB)",
    )
    parser.add_argument("-i", type=number, default=0, metavar="NUM", help="the partition, of an image file")
    parser.add_argument("partition", type=Path, metavar="PARTITION", help="/dev/vda9, or an image with -i")


def _resize(arguments: argparse.Namespace) -> int:
    drive = load(arguments.partition)
    chosen = arguments.i or drive.partition
    if not chosen:
        raise ArgosyError(
            f"{arguments.partition} is not a partition", hint="for an image file say which: -i 9"
        )
    least = max(-(-arguments.m // SECTOR_BYTES), 1)
    table = edit.resized(replace(drive.decoded.table, sectors=drive.sectors), chosen, least)
    if table is None:
        return 0
    if drive.path.is_block_device():
        # First the kernel: if it refuses, the table stays as it is.
        tell_kernel(drive.path, _partition(table, chosen))
    _save(drive, table)
    return 0


# create


def _add_create(commands: argparse._SubParsersAction[cli.Parser]) -> None:
    parser = _command(commands, "create", "Create or reset GPT headers and tables", _create)
    parser.add_argument("-c", action="store_true", help="create a disk image file if needed; requires -s")
    parser.add_argument("-s", type=number, default=0, metavar="NUM", help="minimum sectors; extends images")
    parser.add_argument("-z", action="store_true", help="zero the sectors of the GPT table and entries")
    parser.add_argument("-g", type=guid_argument, metavar="GUID", help="the desired disk GUID")
    parser.add_argument("drive", type=Path, metavar="DRIVE")


def _create(arguments: argparse.Namespace) -> int:
    if arguments.c and not arguments.s:
        raise ArgosyError("minimum size (-s) is required with create (-c)")
    sectors = _make_room(arguments.drive, arguments.s, create=arguments.c)
    if arguments.z:
        head, tail = bytes(HEAD_SECTORS * SECTOR_BYTES), bytes(TAIL_SECTORS * SECTOR_BYTES)
    else:
        head, tail = encode(Gpt(arguments.g or uuid.uuid4(), sectors, ()))
    write_table(
        arguments.drive,
        (
            Write(0, head, "the boot sector and the primary copy of the partition table"),
            Write(sectors * SECTOR_BYTES - len(tail), tail, "the backup copy of the partition table"),
        ),
    )
    return 0


def _make_room(path: Path, least_sectors: int, *, create: bool) -> int:
    """The size of the disk in sectors, after an image file was made or extended to `least_sectors`."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0), 0o666)
    except OSError as error:
        raise ArgosyError(f"Can't open {path}: {error.strerror}") from error
    try:
        sectors = os.lseek(descriptor, 0, os.SEEK_END) // SECTOR_BYTES
        if sectors < least_sectors and path.is_file():
            os.ftruncate(descriptor, least_sectors * SECTOR_BYTES)
            sectors = least_sectors
    finally:
        os.close(descriptor)
    if sectors < max(least_sectors, HEAD_SECTORS + TAIL_SECTORS):
        raise ArgosyError(f"{path} is too small: it has {sectors} sectors")
    return sectors


# boot


def _add_boot(commands: argparse._SubParsersAction[cli.Parser]) -> None:
    words = "Edit the PMBR sector for SYSLINUX 3 (Argosy's boot loader is GRUB: do not change its disks)"
    parser = _command(commands, "boot", words, _boot)
    parser.add_argument("-i", type=number, default=0, metavar="NUM", help="set bootable partition")
    parser.add_argument("-b", type=Path, metavar="FILE", help="install boot loader code in the PMBR")
    parser.add_argument("-p", action="store_true", help="create legacy PMBR partition table")
    parser.add_argument("drive", type=Path, metavar="DRIVE")


def _boot(arguments: argparse.Namespace) -> int:
    drive = load(arguments.drive)
    sector = bytearray(drive.head[:SECTOR_BYTES])
    if arguments.p:
        head, _ = encode(drive.decoded.table)
        sector[:] = head[:SECTOR_BYTES]
        sector[444:446] = b"\x1d\x9a"
    if arguments.i:
        sector[424:440] = _partition(drive.decoded.table, arguments.i).guid.bytes_le
    if arguments.b:
        code = arguments.b.read_bytes()[:424]
        sector[: len(code)] = code
    print(upper(show.boot_guid(bytes(sector))))
    if arguments.p or arguments.i or arguments.b:
        save_boot_sector(drive.path, bytes(sector))
    return 0


# what they share


def _partition(table: Gpt, chosen: int) -> Partition:
    for part in table.partitions:
        if part.number == chosen:
            return part
    raise GptError(f"invalid partition number: {chosen}")


def _need_sound(drive: Drive, what: str) -> None:
    if not drive.sound:
        raise ArgosyError(
            "one of the GPT header/entries is invalid.", hint=f"please run 'cgpt repair' before {what}."
        )


def _save(drive: Drive, table: Gpt) -> None:
    """Write, and let the boot loader of this machine know, if this is its disk."""
    save(drive, table)
    if not drive.path.is_block_device():
        return
    try:
        slots = this_machine()
    except NoSlotsError:
        return
    if slots.places.disk == drive.path.resolve():
        slots.follow()


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)

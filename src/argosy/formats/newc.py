"""The archive that Linux unpacks as its initial file system: cpio "newc", as the kernel's
Documentation/driver-api/early-userspace/buffer-format.rst defines it."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from dataclasses import dataclass

_MAGIC = b"070701"
_TRAILER = "TRAILER!!!"


@dataclass(frozen=True, slots=True)
class Member:
    """One file: `mode` holds type and permissions, `data` a file's bytes or a link's target.

    `device` is (major, minor) of a device node.
    """

    path: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def encode(members: Iterable[Member], *, time_s: int = 0) -> bytes:
    """The archive with `members` in their order, all owned by root and of one time."""
    archive = bytearray()
    for inode, member in enumerate(members, 1):
        archive += _record(member, inode, time_s)
    return bytes(archive + _record(Member(_TRAILER, 0), 0, 0))


def folder(path: str, permissions: int = 0o755) -> Member:
    """A folder."""
    return Member(path, stat.S_IFDIR | permissions)


def file(path: str, data: bytes, permissions: int = 0o644) -> Member:
    """A file with its content."""
    return Member(path, stat.S_IFREG | permissions, data)


def link(path: str, target: str) -> Member:
    """A symbolic link."""
    return Member(path, stat.S_IFLNK | 0o777, target.encode())


def character_device(path: str, major: int, minor: int, permissions: int = 0o600) -> Member:
    """A device node, such as /dev/console."""
    return Member(path, stat.S_IFCHR | permissions, device=(major, minor))


def _record(member: Member, inode: int, time_s: int) -> bytes:
    name = member.path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(member.mode) else 1
    # inode, mode, uid, gid, links, time, size, device that holds it, device that it is, name's size, checksum
    fields = (inode, member.mode, 0, 0, links, time_s, len(member.data), 0, 0, *member.device, len(name), 0)
    head = _padded(_MAGIC + b"".join(b"%08X" % field for field in fields) + name)
    return head + _padded(member.data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)

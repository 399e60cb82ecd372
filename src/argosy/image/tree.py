"""A file system tree in memory: what the steps of a build pass on.

Paths have no slash in front. Contents stay where they are (in a tar, in a file) until the tree is written, so
half a gigabyte costs a few megabytes. Steps are functions from tree to tree.
"""

from __future__ import annotations

import stat
import tarfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from argosy.base.errors import ArgosyError

_COPY_BYTES = 1 << 20
_XATTR = "SCHILY.xattr."


@dataclass(frozen=True, slots=True)
class Extent:
    """`size_bytes` bytes at `offset` of a file."""

    path: Path
    offset: int
    size_bytes: int


Content = bytes | Extent


@dataclass(frozen=True, slots=True)
class Folder:
    mode: int = 0o755
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True)
class File:
    """`xattrs` are pax header fields (`SCHILY.xattr.NAME`), passed on as they came."""

    content: Content
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    xattrs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Link:
    target: str


Entry = Folder | File | Link
Tree = dict[str, Entry]


def read(content: Content) -> bytes:
    """All of a content's bytes."""
    if isinstance(content, bytes):
        return content
    with content.path.open("rb") as file:
        file.seek(content.offset)
        return file.read(content.size_bytes)


def text_of(tree: Tree, path: str) -> str:
    """A file's text. Raises `ArgosyError` if the tree has no such file."""
    entry = tree.get(path)
    if not isinstance(entry, File):
        raise ArgosyError(f"the tree has no file /{path}")
    return read(entry.content).decode()


def size_bytes(content: Content) -> int:
    """The size of a content, without reading it."""
    return len(content) if isinstance(content, bytes) else content.size_bytes


def below(tree: Tree, folder: str) -> Tree:
    """The entry `folder` and all that is in it."""
    return {path: entry for path, entry in tree.items() if path == folder or path.startswith(folder + "/")}


def with_parents(tree: Tree) -> Tree:
    """The tree with folders (root's, 0755) added where an entry's parent is missing."""
    parents = {str(parent) for path in tree for parent in Path(path).parents} - {"."}
    return {**{path: Folder() for path in parents if path not in tree}, **tree}


def from_tar(tar: Path, keep: Callable[[str], bool]) -> Tree:
    """The files, folders and links of an uncompressed tar whose paths `keep` accepts.

    Hard links become files of their own. Raises `ArgosyError` for devices and sockets among the kept.
    """
    tree: Tree = {}
    with tarfile.open(tar, "r:") as archive:
        for member in archive:
            path = member.name.removeprefix("./").strip("/")
            if path not in ("", ".") and keep(path):
                tree[path] = _entry(tar, member, tree)
    return tree


def from_folder(folder: Path, prefix: str = "") -> Tree:
    """A source folder: root's, files 0644 or, if executable, 0755; links as they are.

    Folders come with what is in them: an empty one would differ between checkouts, since git keeps none.
    """
    tree: Tree = {}
    for path in sorted(folder.rglob("*")):
        name = f"{prefix}{path.relative_to(folder).as_posix()}"
        if path.is_symlink():
            tree[name] = Link(str(path.readlink()))
        elif path.is_file():
            status = path.stat()
            mode = 0o755 if status.st_mode & stat.S_IXUSR else 0o644
            tree[name] = File(Extent(path, 0, status.st_size), mode)
    return tree


def write_tar(tree: Tree, file: BinaryIO, *, time_s: int, wrote: Callable[[int], None]) -> None:
    """Write the tree as a tar sorted by path, all of one time; `wrote` hears of the bytes as they go."""
    with tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT, bufsize=_COPY_BYTES) as archive:
        for path in sorted(with_parents(tree)):
            _add(archive, path, tree.get(path, Folder()), time_s)
            entry = tree.get(path)
            if isinstance(entry, File):
                wrote(size_bytes(entry.content))


def write_folder(tree: Tree, folder: Path) -> None:
    """Write the tree below `folder`, owned by ourselves, always writable by us."""
    for path in sorted(with_parents(tree)):
        entry, target = tree.get(path, Folder()), folder / path
        if isinstance(entry, Folder):
            target.mkdir(parents=True, exist_ok=True)
        elif isinstance(entry, Link):
            target.symlink_to(entry.target)
        else:
            target.write_bytes(read(entry.content))
            target.chmod(entry.mode & 0o777 | stat.S_IRUSR | stat.S_IWUSR)


def total_bytes(entries: Iterable[Entry]) -> int:
    """The sum of the files' sizes."""
    return sum(size_bytes(entry.content) for entry in entries if isinstance(entry, File))


def _entry(tar: Path, member: tarfile.TarInfo, tree: Tree) -> Entry:
    mode = member.mode & 0o7777
    if member.isdir():
        return Folder(mode, member.uid, member.gid)
    if member.issym():
        return Link(member.linkname)
    if member.islnk():
        target = tree.get(member.linkname.removeprefix("./"))
        if isinstance(target, File):
            return target
    if not member.isreg():
        raise ArgosyError(f"{member.name} is neither file, folder nor link")
    xattrs = {name: value for name, value in member.pax_headers.items() if name.startswith(_XATTR)}
    return File(Extent(tar, member.offset_data, member.size), mode, member.uid, member.gid, xattrs)


def _add(archive: tarfile.TarFile, path: str, entry: Entry, time_s: int) -> None:
    member = tarfile.TarInfo(path)
    member.mtime = time_s
    if isinstance(entry, Link):
        member.type, member.linkname, member.mode = tarfile.SYMTYPE, entry.target, 0o777
        archive.addfile(member)
        return
    member.mode, member.uid, member.gid = entry.mode, entry.uid, entry.gid
    if isinstance(entry, Folder):
        member.type = tarfile.DIRTYPE
        archive.addfile(member)
        return
    member.size = size_bytes(entry.content)
    member.pax_headers = dict(entry.xattrs)
    if isinstance(entry.content, bytes):
        import io

        archive.addfile(member, io.BytesIO(entry.content))
        return
    with entry.content.path.open("rb") as source:
        source.seek(entry.content.offset)
        archive.addfile(member, source)

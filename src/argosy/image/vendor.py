"""From a Debian system's tree to a /usr that stands alone: each function takes a tree and returns one.

The order that `vendor_tree` gives them matters: alternatives are resolved while /etc is still there.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from argosy.base.errors import ArgosyError
from argosy.image.manifest import AddedFile, Manifest
from argosy.image.tree import Entry, File, Link, Tree, below, read, text_of
from argosy.image.trim import trim

FACTORY = "usr/share/factory"
PINNED_IDS = "usr/lib/sysusers.d/argosy.conf"

_LICENCE = re.compile(r"usr/share/doc/([^/]+)/copyright")
_ALTERNATIVES = "/etc/alternatives/"
# PEP 552: a word of flags after the magic number; bit 0 says that a hash follows instead of time and size,
# bit 1, not set here, that it is to be checked.
_PYC_HEADER = slice(4, 16)
_PYC_UNCHECKED_HASH = (1).to_bytes(4, "little") + bytes(8)


def kept_from_packages(path: str) -> bool:
    """What of a package tree the image can come from."""
    return path in ("usr", "etc") or path.startswith(("usr/", "etc/"))


def vendor_tree(tree: Tree, manifest: Manifest, ours: Tree) -> Tree:
    """/usr and /etc of the packages, trimmed, with our files on top."""
    tree = with_licences_aside(tree)
    tree = with_direct_alternatives(tree)
    tree = without_enablement(tree)
    tree = trim(tree, manifest.trims)
    tree = {**tree, **ours}
    tree = with_pinned_ids(tree, parse_sysusers_ids(text_of(tree, PINNED_IDS)))
    return with_unchecked_pyc(with_added(tree, manifest.files))


def with_licences_aside(tree: Tree) -> Tree:
    """Copy each package's copyright file to /usr/share/licenses/PACKAGE, where it survives the trimming."""
    licences: Tree = {}
    for path, entry in tree.items():
        match = _LICENCE.fullmatch(path)
        if match and isinstance(entry, File):
            licences[f"usr/share/licenses/{match[1]}"] = entry
    return {**tree, **licences}


def with_direct_alternatives(tree: Tree) -> Tree:
    """Links through /etc/alternatives point at their end; those whose end is not there go."""
    resolved: Tree = {}
    for path, entry in tree.items():
        if path.startswith("etc/alternatives"):
            continue
        if isinstance(entry, Link) and entry.target.startswith(_ALTERNATIVES):
            end = tree.get(entry.target.lstrip("/"))
            if not isinstance(end, Link) or end.target.lstrip("/") not in tree:
                continue
            entry = Link(posixpath.relpath(end.target, "/" + posixpath.dirname(path)))
        resolved[path] = entry
    return resolved


def without_enablement(tree: Tree) -> Tree:
    """Drop what the packages' scripts enabled: our presets alone decide."""
    prefixes = ("etc/systemd/system/", "etc/systemd/user/")
    return {path: entry for path, entry in tree.items() if not path.startswith(prefixes)}


def with_unchecked_pyc(tree: Tree) -> Tree:
    """Compiled Python files never look at their source's time, which the image does not keep."""

    def unchecked(path: str, entry: Entry) -> Entry:
        if not path.endswith(".pyc") or not isinstance(entry, File):
            return entry
        data = bytearray(read(entry.content))
        data[_PYC_HEADER] = _PYC_UNCHECKED_HASH
        return replace(entry, content=bytes(data))

    return {path: unchecked(path, entry) for path, entry in tree.items()}


def with_added(tree: Tree, files: Iterable[AddedFile]) -> Tree:
    """The manifest's extra files."""
    return {**tree, **{file.path: File(file.data, file.mode) for file in files}}


def factory_etc(tree: Tree) -> Tree:
    """Move /etc to the factory; what is in the factory already is ours and stays."""
    moved = {f"{FACTORY}/{path}": entry for path, entry in below(tree, "etc").items()}
    usr = {path: entry for path, entry in tree.items() if path.startswith("usr/")}
    return {**moved, **usr}


def parse_sysusers_ids(text: str) -> dict[str, dict[str, tuple[int, int]]]:
    """The numbers that sysusers.d(5) lines pin: {"u": {name: (uid, gid)}, "g": {name: (gid, gid)}}.

    A user without a group of its own in the line has one of the same name and number.
    """
    pinned: dict[str, dict[str, tuple[int, int]]] = {"u": {}, "g": {}}
    for line in text.splitlines():
        words = line.split()
        if len(words) < 3 or words[0].rstrip("!") not in ("u", "g"):
            continue
        kind, name, number = words[0].rstrip("!"), words[1], words[2]
        uid, _, gid = number.partition(":")
        if uid.isdigit():
            pinned[kind][name] = (int(uid), int(gid) if gid.isdigit() else int(uid))
            if kind == "u" and not gid:
                pinned["g"][name] = (int(uid), int(uid))
    return pinned


def with_pinned_ids(tree: Tree, pinned: Mapping[str, Mapping[str, tuple[int, int]]]) -> Tree:
    """Users and groups that the packages' scripts numbered as they came get their pinned numbers, and so do
    the files that they own. Raises `ArgosyError` if a number is taken by another name."""
    users = {name: uid for name, (uid, _) in pinned["u"].items()}
    groups = {name: gid for name, (_, gid) in pinned["g"].items()}
    passwd, uids = _renumbered(text_of(tree, "etc/passwd"), users)
    group, gids = _renumbered(text_of(tree, "etc/group"), groups)
    passwd = _with_primary_groups(passwd, gids)

    def owned(entry: Entry) -> Entry:
        if isinstance(entry, Link):
            return entry
        return replace(entry, uid=uids.get(entry.uid, entry.uid), gid=gids.get(entry.gid, entry.gid))

    tree = {path: owned(entry) for path, entry in tree.items()}
    for path, text in (("etc/passwd", passwd), ("etc/group", group)):
        entry = tree[path]
        assert isinstance(entry, File)
        tree[path] = replace(entry, content=text.encode())
    return tree


def _renumbered(text: str, pinned: Mapping[str, int]) -> tuple[str, dict[int, int]]:
    """passwd or group with the third field as pinned, and old numbers to new ones."""
    lines, moved, owners = [], {}, {number: name for name, number in pinned.items()}
    for line in text.splitlines():
        fields = line.split(":")
        name, old = fields[0], int(fields[2])
        new = pinned.get(name, old)
        if owners.get(new, name) != name:
            raise ArgosyError(f"{name} has the number {new}, which is pinned for {owners[new]}")
        if new != old:
            moved[old] = new
        fields[2] = str(new)
        lines.append(":".join(fields))
    return "\n".join(lines) + "\n", moved


def _with_primary_groups(passwd: str, gids: Mapping[int, int]) -> str:
    lines = []
    for line in passwd.splitlines():
        fields = line.split(":")
        fields[3] = str(gids.get(int(fields[3]), int(fields[3])))
        lines.append(":".join(fields))
    return "\n".join(lines) + "\n"

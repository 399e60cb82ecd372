"""The initial file system: busybox, dmsetup, a few modules and `os/initrd/init`, as a packed archive."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from pathlib import Path

from argosy.base.errors import ArgosyError
from argosy.formats import elf, newc
from argosy.image.kernel import Kernel, index_modules, module_closure
from argosy.image.toolbox import Toolbox
from argosy.image.tree import File, Link, Tree, read, write_folder

_PROGRAMS = ("usr/sbin/dmsetup",)
_LIBRARY_FOLDERS = ("usr/lib/x86_64-linux-gnu", "usr/lib64")
_FOLDERS = ("dev", "etc", "proc", "run", "sys", "sysroot", "sysusr", "tmp", "usr", "usr/bin", "usr/sbin")
_LINKS = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}


def build_initrd(
    tree: Tree,
    kernel: Kernel,
    modules: Iterable[str],
    init: bytes,
    toolbox: Toolbox,
    work: Path,
    *,
    time_s: int,
) -> bytes:
    """The initrd for a system whose tree is `tree`, compressed by zstd. `work` is an empty folder."""
    busybox = toolbox.path("usr/bin/busybox").read_bytes()
    members = {
        **{path: newc.folder(path) for path in _FOLDERS},
        **{path: newc.link(path, target) for path, target in _LINKS.items()},
        "dev/console": newc.character_device("dev/console", 5, 1),
        "dev/null": newc.character_device("dev/null", 1, 3, 0o666),
        "init": newc.file("init", init, 0o755),
        "usr/bin/busybox": newc.file("usr/bin/busybox", busybox, 0o755),
        "usr/bin/sh": newc.link("usr/bin/sh", "busybox"),
        # The kernel itself starts this one, for example for a faster SHA-256.
        "usr/sbin/modprobe": newc.link("usr/sbin/modprobe", "../bin/busybox"),
    }
    members |= _programs(tree) | _modules(tree, kernel, modules, toolbox, work / "modules")
    archive = newc.encode(_ordered(members), time_s=time_s)
    plain, packed = work / "initrd", work / "initrd.zst"
    plain.write_bytes(archive)
    toolbox.run("zstd", "-q", "-19", "-T1", "-f", plain, "-o", packed)
    return packed.read_bytes()


def _ordered(members: dict[str, newc.Member]) -> list[newc.Member]:
    """Folders before what is in them, links of / before what lies behind them."""
    parents = {str(parent) for path in members for parent in Path(path).parents} - {"."}
    folders = {path: newc.folder(path) for path in parents if path not in members}
    return [member for _, member in sorted({**folders, **members}.items())]


def _programs(tree: Tree) -> dict[str, newc.Member]:
    """The programs, their interpreter and libraries, each under its final name."""
    members: dict[str, newc.Member] = {}
    waiting = list(_PROGRAMS)
    while waiting:
        path = waiting.pop()
        if path in members:
            continue
        data = _resolved(tree, path)
        members[path] = newc.file(path, data, 0o755)
        needed = elf.needs(data)
        waiting += [_library(tree, name) for name in needed.libraries]
        if needed.interpreter:
            waiting.append(_merged(needed.interpreter.lstrip("/")))
    return members


def _library(tree: Tree, name: str) -> str:
    for folder in _LIBRARY_FOLDERS:
        if f"{folder}/{name}" in tree:
            return f"{folder}/{name}"
    raise ArgosyError(f"the initrd needs {name}, which the image does not have")


def _resolved(tree: Tree, path: str) -> bytes:
    """A file's bytes, through links."""
    entry = tree.get(path)
    for _ in range(8):
        if not isinstance(entry, Link):
            break
        path = _merged(posixpath.normpath(posixpath.join(posixpath.dirname(path), entry.target)).lstrip("/"))
        entry = tree.get(path)
    if not isinstance(entry, File):
        raise ArgosyError(f"the initrd needs /{path}, which the image does not have")
    return read(entry.content)


def _merged(path: str) -> str:
    """A path with the links of / followed."""
    first, _, rest = path.partition("/")
    return f"{_LINKS[first]}/{rest}" if first in _LINKS else path


def _modules(
    tree: Tree, kernel: Kernel, names: Iterable[str], toolbox: Toolbox, work: Path
) -> dict[str, newc.Member]:
    """The modules with an index of their own, which modprobe reads faster than the whole kernel's."""
    lists = (f"{kernel.modules}/modules.{name}" for name in ("order", "builtin", "builtin.modinfo"))
    part = {path: tree[path] for path in (*module_closure(tree, kernel, names), *lists)}
    write_folder(part, work)
    index_modules(work, kernel, toolbox)
    wanted = {*part, *(f"{kernel.modules}/modules.{name}" for name in ("dep", "alias", "softdep"))}
    return {
        path: newc.file(path, (work / path).read_bytes())
        for path in sorted(wanted)
        if not path.endswith((".order", ".modinfo"))
    }

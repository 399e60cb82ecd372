"""The kernel's part of a tree: its file, its version, and its modules, unpacked and indexed anew."""

from __future__ import annotations

import lzma
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from argosy.base.errors import ArgosyError, InputError
from argosy.image.toolbox import Toolbox
from argosy.image.tree import Extent, File, Tree, from_folder, read, text_of

_MODULES = "usr/lib/modules"
_PACKED = ".ko.xz"


@dataclass(frozen=True, slots=True)
class Kernel:
    """`release` is what uname -r says; `modules` is the path of its modules in the tree."""

    release: str
    image: bytes

    @property
    def modules(self) -> str:
        return f"{_MODULES}/{self.release}"


def find_kernel(tree: Tree) -> Kernel:
    """The one kernel of a package tree. Raises `ArgosyError` unless there is exactly one."""
    found = sorted(path for path in tree if path.startswith("boot/vmlinuz-"))
    if len(found) != 1:
        raise ArgosyError(f"the packages bring {len(found)} kernels, one is needed: {' '.join(found)}")
    entry = tree[found[0]]
    assert isinstance(entry, File)
    return Kernel(found[0].removeprefix("boot/vmlinuz-"), read(entry.content))


def with_unpacked_modules(tree: Tree, kernel: Kernel, toolbox: Toolbox, work: Path) -> Tree:
    """Modules as plain .ko: they load faster, and compress far better inside a release and between two.

    `work` is an empty folder, which must stay as long as the tree is used.
    """
    packed = [path for path in tree if path.startswith(kernel.modules + "/") and path.endswith(_PACKED)]
    rest = {path: entry for path, entry in tree.items() if path not in set(packed)}
    with ThreadPoolExecutor() as pool:
        unpacked = dict(pool.map(lambda path: _unpack(tree, path, work), packed))
    return {**rest, **unpacked, **_indexed(tree, kernel, toolbox, work)}


def module_closure(tree: Tree, kernel: Kernel, names: Iterable[str]) -> tuple[str, ...]:
    """The paths (below the tree) of the modules `names` and of what they need, needed ones first.

    A module that is built into the kernel needs no file. Raises `InputError` for one that it does not have.
    """
    needs = _dependencies(text_of(tree, f"{kernel.modules}/modules.dep"))
    built_in = {_name(line) for line in text_of(tree, f"{kernel.modules}/modules.builtin").split()}
    files = {_name(path): path for path in needs}
    ordered: dict[str, None] = {}
    for name in names:
        plain = name.replace("-", "_")
        if plain not in files:
            if plain not in built_in:
                raise InputError(
                    f"kernel {kernel.release} has no module {name!r}", where="[kernel] initrd_modules"
                )
            continue
        for path in (*reversed(needs[files[plain]]), files[plain]):
            ordered[f"{kernel.modules}/{path}"] = None
    return tuple(ordered)


def index_modules(folder: Path, kernel: Kernel, toolbox: Toolbox) -> None:
    """Run depmod on the modules below `folder`, which mirrors a tree."""
    toolbox.run("depmod", "--basedir", folder, "--moduledir", f"/{_MODULES}", kernel.release)


def _unpack(tree: Tree, path: str, work: Path) -> tuple[str, File]:
    entry = tree[path]
    assert isinstance(entry, File)
    target = path.removesuffix(".xz")
    file = work / target
    file.parent.mkdir(parents=True, exist_ok=True)
    data = lzma.decompress(read(entry.content))
    file.write_bytes(data)
    return target, File(Extent(file, 0, len(data)), entry.mode)


def _indexed(tree: Tree, kernel: Kernel, toolbox: Toolbox, work: Path) -> Tree:
    lists = ("modules.order", "modules.builtin", "modules.builtin.modinfo")
    for name in lists:
        entry = tree[f"{kernel.modules}/{name}"]
        assert isinstance(entry, File)
        (work / kernel.modules / name).write_bytes(read(entry.content))
    index_modules(work, kernel, toolbox)
    made = from_folder(work / kernel.modules, kernel.modules + "/")
    return {path: entry for path, entry in made.items() if "/modules." in path}


def _dependencies(text: str) -> dict[str, list[str]]:
    """modules.dep: a module's path, and the paths of all that it needs, nearest first."""
    return {
        path: rest.split() for path, _, rest in (line.partition(":") for line in text.splitlines() if line)
    }


def _name(path: str) -> str:
    return PurePosixPath(path).name.partition(".")[0].replace("-", "_")

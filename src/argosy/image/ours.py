"""What the project itself puts into /usr: the files of `os/usr`, and the code that runs on nodes."""

from __future__ import annotations

from pathlib import Path

from argosy.image.toolbox import Toolbox
from argosy.image.tree import Extent, File, Tree, from_folder, with_parents

SITE = "usr/lib/python3/dist-packages"
NODE_PARTS = ("__init__.py", "base", "formats", "node")


def node_code(package: Path) -> Tree:
    """The Python files that ship, from the folder of the package `argosy`."""
    files = [package / NODE_PARTS[0]]
    for part in NODE_PARTS[1:]:
        files += sorted((package / part).rglob("*.py"))
    return with_parents(
        {
            f"{SITE}/argosy/{file.relative_to(package).as_posix()}": File(
                Extent(file, 0, file.stat().st_size)
            )
            for file in files
        }
    )


def os_files(os_folder: Path) -> Tree:
    """The files of `os/usr`; editors' leftovers and caches stay behind."""
    tree = from_folder(os_folder / "usr", "usr/")
    return {path: entry for path, entry in tree.items() if not path.endswith(("~", ".swp", "__pycache__"))}


def compiled(code: Tree, toolbox: Toolbox, work: Path) -> Tree:
    """`code` with the bytecode of the image's Python beside it, which never looks at times.

    `work` is an empty folder.
    """
    from argosy.image.tree import write_folder

    write_folder(code, work)
    toolbox.run(
        "python3.13",
        *("-S", "-m", "compileall", "-q", "-j", "1"),
        *("--invalidation-mode", "unchecked-hash", "-s", work, "-p", "/", work / SITE),
        env={"PYTHONHOME": str(toolbox.path("usr")), "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    return {**code, **from_folder(work / "usr", "usr/")}

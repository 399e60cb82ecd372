"""What a wheel carries beside the Python code: `os/`, `examples/` and `packages/`, as one tar archive.

A wheel holds neither symbolic links nor the modes of files, and `os/` needs both. `argosy.base.paths` unpacks
the archive where it is needed.
"""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

TREES = ("os", "examples", "packages")


class TreesHook(BuildHookInterface):
    """Packs the trees before a wheel is made; an editable installation uses them where they are."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Make the archive, and add it to the wheel as argosy/_data.tar."""
        if version == "editable":
            return
        archive = Path(self.directory) / "_data.tar"
        archive.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
            for tree in TREES:
                tar.add(Path(self.root) / tree, arcname=tree, filter=_plain)
        build_data["force_include"][str(archive)] = "argosy/_data.tar"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Leave only the wheel behind."""
        (Path(self.directory) / "_data.tar").unlink(missing_ok=True)


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Without times and owners of the machine that builds, so that the same sources give the same bytes."""
    if Path(entry.name).name == "__pycache__":
        return None
    entry.mtime = entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
    return entry

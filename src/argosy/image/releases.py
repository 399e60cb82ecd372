"""The releases that are kept on this host."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from argosy.formats.release import RELEASE_JSON, Release
from argosy.image.build import automatic_mark, read_release, releases_folder

_BLOCK_BYTES = 512


@dataclass(frozen=True, slots=True)
class KeptRelease:
    """A release and the room that it takes on the disk; `automatic` if nobody asked for its version."""

    folder: Path
    release: Release
    size_bytes: int
    automatic: bool


def kept_releases() -> list[KeptRelease]:
    """All releases in `releases_folder()`, the newest first. Raises `InputError` for one that is damaged."""
    folders = [file.parent for file in releases_folder().glob(f"[0-9]*/{RELEASE_JSON}")]
    found = [
        KeptRelease(folder, read_release(folder), _size_bytes(folder), automatic_mark(folder).exists())
        for folder in folders
    ]
    return sorted(found, key=lambda kept: kept.release.parsed_version, reverse=True)


def remove_release(folder: Path) -> None:
    """Remove a release's folder; one that is half removed is no release any more."""
    gone = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(gone, ignore_errors=True)
    folder.rename(gone)
    automatic_mark(folder).unlink(missing_ok=True)
    shutil.rmtree(gone)


def _size_bytes(folder: Path) -> int:
    return sum(path.stat().st_blocks for path in folder.rglob("*")) * _BLOCK_BYTES

"""The digest of all that a release is made from, less its version: equal digests mean equal bytes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from argosy.formats.debcontrol import Package
from argosy.image.keys import Key
from argosy.image.manifest import Manifest
from argosy.image.pack import PACKER
from argosy.image.toolbox import Toolbox

_SOURCES = ("__init__.py", "base", "formats", "node", "image")


def inputs_digest(
    manifest: Manifest,
    packages: tuple[Package, ...],
    toolbox: Toolbox,
    os_folder: Path,
    package: Path,
    channel: str,
    keys: tuple[Key, ...],
) -> str:
    """The digest in hexadecimal. `package` is the folder of the Python package `argosy`."""
    sources = [path for part in _SOURCES for path in _python_files(package / part)]
    value: dict[str, Any] = {
        "channel": channel,
        "keys": [[key.name, key.id, key.private is not None] for key in keys],
        "packer": PACKER,
        "toolbox": toolbox.identity,
        "packages": [[each.name, each.version, each.architecture] for each in packages],
        "manifest": _manifest(manifest),
        "os": _files(os_folder, sorted(os_folder.rglob("*"))),
        "source": _files(package, sources),
    }
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _python_files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


def _manifest(manifest: Manifest) -> dict[str, Any]:
    """What of the manifest has effect; its reasons and places have none."""
    return {
        "suite": manifest.suite,
        "packages": manifest.all_packages,
        "kernel": msgspec.to_builtins(manifest.kernel),
        "trims": [[list(trim.paths), list(trim.keep)] for trim in manifest.trims],
        "units": msgspec.to_builtins(manifest.units),
        "floor": str(manifest.floor),
        "files": [{**asdict(file), "data": hashlib.sha256(file.data).hexdigest()} for file in manifest.files],
    }


def _files(folder: Path, paths: list[Path]) -> list[list[Any]]:
    """Each path's name, kind, executable bit and contents."""
    found: list[list[Any]] = []
    for path in paths:
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found.append([name, "link", str(path.readlink())])
        elif path.is_file() and "__pycache__" not in path.parts:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            found.append([name, "file", bool(path.stat().st_mode & 0o100), digest])
    return found

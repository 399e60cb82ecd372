"""An image's packages, resolved, installed and kept: a tar in the cache with a record of exact versions."""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path

from argosy.base.decode import decode_json, encode_json
from argosy.base.errors import ArgosyError
from argosy.base.files import replace_folder
from argosy.base.progress import Progress
from argosy.formats.debcontrol import Package, parse_status
from argosy.image import mmdebstrap
from argosy.image.manifest import Manifest

_FORMAT = 1
_TAR = "base.tar"
_RECORD = "packages.json"
_STATUS = "./var/lib/dpkg/status"


@dataclass(frozen=True, slots=True)
class Base:
    """A tar of an installed Debian system, and what is in it."""

    tar: Path
    packages: tuple[Package, ...]


def ensure_base(manifest: Manifest, cache: Path, progress: Progress, *, refresh: bool) -> Base:
    """The manifest's packages, resolved and installed if they are not in `cache` or with `refresh`."""
    key = json.dumps([_FORMAT, manifest.suite, manifest.mirrors, manifest.all_packages])
    folder = cache / "base" / hashlib.sha256(key.encode()).hexdigest()[:16]
    if refresh or not (folder / _RECORD).exists():
        with progress.step("install Debian packages") as step:
            _install(manifest, folder, step.note)
    record = folder / _RECORD
    return Base(folder / _TAR, decode_json(record.read_bytes(), tuple[Package, ...], source=str(record)))


def _install(manifest: Manifest, folder: Path, note: mmdebstrap.Note) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    try:
        mmdebstrap.fetch(new / _TAR, "apt", manifest.all_packages, manifest, note)
        (new / _RECORD).write_bytes(encode_json(_installed(new / _TAR), pretty=True))
        replace_folder(folder, new)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _installed(tar: Path) -> tuple[Package, ...]:
    with tarfile.open(tar, "r:") as archive:
        status = archive.extractfile(_STATUS)
        if status is None:
            raise ArgosyError("the package tree has no list of installed packages")
        return parse_status(status.read().decode())

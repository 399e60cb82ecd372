"""Where things of ours live on a workstation: the XDG folders, and the files that come with the program."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tarfile
import tempfile
from pathlib import Path

import argosy
from argosy.base.errors import ArgosyError

_NAME = "argosy"


def data_folder() -> Path:
    """What is worth keeping: releases."""
    return _xdg("XDG_DATA_HOME", ".local/share")


def cache_folder() -> Path:
    """What can be made again: package trees and build tools."""
    return _xdg("XDG_CACHE_HOME", ".cache")


def state_folder() -> Path:
    """What is under way: clusters."""
    return _xdg("XDG_STATE_HOME", ".local/state")


def config_folder() -> Path:
    """What the user chose, and must not lose: keys."""
    return _xdg("XDG_CONFIG_HOME", ".config")


def package_folder() -> Path:
    """The Python package `argosy` itself."""
    return Path(argosy.__file__).parent


def shipped(name: str) -> Path:
    """A folder or file that comes with the program (below `os`, `examples` or `packages`).

    In a checkout it lies beside the sources. An installed package carries these trees as an archive, because
    a wheel keeps no symbolic links; it is unpacked into the cache. Raises `ArgosyError` if it is not there.
    """
    archive = package_folder() / "_data.tar"
    folder = _unpacked(archive) if archive.exists() else package_folder().parent.parent
    if not (folder / name).exists():
        raise ArgosyError(f"{name!r} is missing beside the program", hint="install Argosy again, or clone it")
    return folder / name


def _unpacked(archive: Path) -> Path:
    """The archive's content, in a folder of the cache that is named for the archive's bytes."""
    folder = cache_folder() / "shipped" / hashlib.sha256(archive.read_bytes()).hexdigest()[:16]
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, ignore_cleanup_errors=True) as temporary:
            with tarfile.open(archive) as tar:
                # Our own archive is trusted. Debian 12's Python 3.11.2 has no filters, and asks for none.
                tar.extraction_filter = getattr(tarfile, "fully_trusted_filter", None)
                tar.extractall(temporary)
            Path(temporary).chmod(0o755)
            with contextlib.suppress(OSError):  # another process was first: the same bytes
                Path(temporary).rename(folder)
    return folder


def _xdg(variable: str, default: str) -> Path:
    """The XDG base directory specification: a relative path in the variable is to be ignored."""
    value = os.environ.get(variable, "")
    return (Path(value) if value.startswith("/") else Path.home() / default) / _NAME

"""Programs of Debian packages, unpacked once into the cache: nothing is installed or started on this host."""

from __future__ import annotations

import fcntl
import shutil
from pathlib import Path

from argosy.base.paths import cache_folder
from argosy.base.run import run

_LOADER = "ld-linux-x86-64.so.2"
_LIBRARIES = ("/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu")  # Debian 12's packages use both


def program(suite: str, package: str, path: str) -> list[str]:
    """The words that run `path` of `package` in Debian `suite` with its own libraries."""
    folder = _unpacked(suite, package)
    return _words(folder, folder, path)


def rooted_program(suite: str, package: str, path: str) -> list[str]:
    """The same, but the program sees the package's files as `/`: it finds its own /etc there."""
    folder = _unpacked(suite, package)
    return ["unshare", "--map-root-user", f"--root={folder}", *_words(folder, "", path)]


def _words(folder: str, prefix: str, path: str) -> list[str]:
    libraries = [name for name in _LIBRARIES if Path(folder + name, _LOADER).exists()]
    search = ":".join(prefix + name for name in _LIBRARIES)
    return [f"{prefix}{libraries[0]}/{_LOADER}", "--library-path", search, prefix + path]


def _unpacked(suite: str, package: str) -> str:
    cache = cache_folder() / "tests"
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / f"{package}-{suite}"
    with (cache / f"{package}-{suite}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            fresh = cache / f"{package}-{suite}.new"
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir()
            # By way of a tar: mmdebstrap's folder would belong to other user ids if we are not root.
            options = ["--quiet", "--variant=extract", f"--include={package}"]
            run(["mmdebstrap", *options, suite, fresh / "all.tar"], timeout_s=300)
            run(["tar", "-x", "--no-same-owner", "--exclude=./dev", "-C", fresh, "-f", fresh / "all.tar"])
            (fresh / "all.tar").unlink()
            fresh.rename(folder)
    return str(folder)

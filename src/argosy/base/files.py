"""Files that are whole or not there: atomic replacement and locks.

A reader never sees a half-written file, and what `replace_file` returned from survives a power cut.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from argosy.base.errors import ArgosyError


class LockedError(ArgosyError):
    """Another process holds the lock."""


def replace_file(path: Path, data: bytes, *, mode: int = 0o644, owner: tuple[int, int] | None = None) -> None:
    """Replace `path` by `data` in one step, durably. `owner` is (uid, gid); the default is ourselves.

    The folder must exist. A symbolic link at `path` is replaced, not followed.
    """
    with replacing(path) as temporary, temporary.open("wb") as file:
        os.fchmod(file.fileno(), mode)
        if owner is not None:
            os.fchown(file.fileno(), *owner)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` to fill with a file; it takes `path`'s place if the block succeeds."""
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    temporary.touch(mode=0o600, exist_ok=False)
    try:
        yield temporary
        temporary.replace(path)
        sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def replace_folder(path: Path, new: Path) -> None:
    """Put the folder `new` (beside `path`) in `path`'s place; what was there before is removed.

    Between the two renames `path` does not exist: a reader finds the old folder, none, or the new one.
    """
    import shutil  # costs the programs of a boot time, which need only single files

    old = path.with_name(f".{path.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if path.exists():
        path.rename(old)
    new.rename(path)
    sync_folder(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def link_or_copy(source: Path, target: Path, *, hint: str | None = None) -> None:
    """Make `target` the same file as `source`; on another file system a copy, sparse and with shared blocks.

    What was at `target` is replaced in one step. Both names are of one file: it may be replaced, not changed.
    Raises `ArgosyError` with `hint` if `source` is missing.
    """
    with replacing(target) as temporary:
        temporary.unlink()
        try:
            temporary.hardlink_to(source)
        except FileNotFoundError as error:
            raise ArgosyError(f"{source} is missing", hint=hint) from error
        except OSError:
            from argosy.base.run import run  # costs the programs of a boot time, which copy nothing

            run(["cp", "--reflink=auto", "--sparse=always", "--", source, temporary])


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    _sync(folder, os.O_DIRECTORY)


def sync_renamed(path: Path) -> None:
    """Make a file durable under a name that it has just been given.

    On FAT the folder is not enough: a file's size and first cluster are kept beside its name, and a new name
    has neither until the file itself is synced again.
    """
    _sync(path, 0)
    sync_folder(path.parent)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(path: Path, *, busy: str) -> Iterator[None]:
    """Hold an exclusive lock on the file `path` (made if missing); raises `LockedError(busy)` if it is taken.

    The kernel frees the lock when the process ends, however it ends. The holder may remove the file.
    """
    descriptor = _open_locked(path)
    if descriptor is None:
        raise LockedError(busy, hint="wait for it to end, then try again")
    try:
        yield
    finally:
        os.close(descriptor)


def _open_locked(path: Path) -> int | None:
    """The open file at `path` with a lock on it; None if another has the lock.

    The file that was opened may have been removed by its last holder meanwhile: then another one counts.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_ino == os.fstat(descriptor).st_ino:
                    return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        os.close(descriptor)


@contextlib.contextmanager
def holding(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on the file `path` (made if missing), waiting for whoever has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)

"""`argosy build`: a release folder, made or found.

`ensure_release` is what other rooms call; `verify_release` makes a release again and compares.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from argosy.base import paths
from argosy.base.errors import ArgosyError, InputError
from argosy.base.files import LockedError, locked, replace_file, replace_folder
from argosy.base.progress import Progress
from argosy.base.run import CommandError
from argosy.formats import release as release_format
from argosy.formats.payload import PayloadError
from argosy.formats.release import CHANNELS, RELEASE_JSON, Release
from argosy.formats.version import Version, parse_version, version_of_day
from argosy.image.assemble import Inputs, assemble, digests
from argosy.image.choose import choose_version
from argosy.image.inputs import inputs_digest
from argosy.image.keys import Key, ensure_keys, keys_folder, trusted_keys
from argosy.image.manifest import load
from argosy.image.packages import ensure_base
from argosy.image.payload import check_payload
from argosy.image.toolbox import ensure_toolbox

DEFAULT_CHANNEL = "stable"

_WORK = "work."
_NEEDED_CACHE_BYTES = 2500 << 20
_NEEDED_RELEASE_BYTES = 1500 << 20
_FULL_BYTES = 16 << 20
_LOCK_POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class Request:
    """What is wanted. Default version: the day's; default folder: the version's in `releases_folder()`; keys
    come from `keys_folder()` unless another folder is given."""

    version: Version | None = None
    channel: str = DEFAULT_CHANNEL
    out: Path | None = None
    manifest: Path | None = None
    keys: Path | None = None
    refresh: bool = False


@dataclass(frozen=True, slots=True)
class Built:
    """A release and where it is; `reused` if it was there already."""

    folder: Path
    release: Release
    reused: bool


@dataclass(frozen=True, slots=True)
class Verified:
    """The files that a new build of the same inputs makes otherwise, those that `release.json` does not
    describe, and why machines would refuse the payload ("" if they would not)."""

    not_reproduced: tuple[str, ...]
    altered: tuple[str, ...]
    refused: str


def releases_folder() -> Path:
    """Where releases are kept, one folder for each version."""
    return paths.data_folder() / "releases"


def automatic_mark(folder: Path) -> Path:
    """The file beside a release's folder that says that nobody asked for this version: it may go one day."""
    return folder.with_name(f".{folder.name}.automatic")


def read_release(folder: Path) -> Release:
    """A release folder's description. Raises `InputError` if the folder is none."""
    path = folder / RELEASE_JSON
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{folder} is not a release folder: {error.strerror}", hint="argosy build makes one"
        ) from error
    return release_format.decode(data, source=str(path))


def ensure_release(request: Request, progress: Progress, *, today: date | None = None) -> Built:
    """The wanted release, built unless it is there, made from the same inputs.

    Raises `InputError` for a manifest that is not valid, `ArgosyError` for what else a user can mend.
    Whatever happens, the release folder is whole or as it was.
    """
    if request.channel not in CHANNELS:
        raise InputError(f"{request.channel!r} is not a channel", hint=f"there are {', '.join(CHANNELS)}")
    cache = paths.cache_folder()
    _check_space(cache, _NEEDED_CACHE_BYTES)
    with _alone(cache, progress), _plain_disk_full(cache):
        inputs = _inputs(request, cache, progress, today or datetime.now(UTC).date())
        folder = request.out or releases_folder() / str(inputs.version)
        there = _release_at(folder)
        if there and there.inputs == inputs.digest and there.version == str(inputs.version):
            if request.version:
                automatic_mark(folder).unlink(missing_ok=True)
            return Built(folder, there, True)
        _check_free(folder, there)
        _check_space(folder.parent, _NEEDED_RELEASE_BYTES)
        release = _build(inputs, folder, cache, progress)
        if request.version or request.out:
            automatic_mark(folder).unlink(missing_ok=True)
        else:
            automatic_mark(folder).touch()
        return Built(folder, release, False)


def release_sizes(built: Built, progress: Progress) -> dict[str, int]:
    """What people compare, in bytes: /usr, kernel, initrd, and the disk image packed for a download.

    Packing (zstd, level 9) takes seconds, so its result is remembered.
    """
    release, cache = built.release, paths.cache_folder()
    known = cache / "packed" / release.file(release_format.DISK_IMAGE).sha256
    if not known.exists():
        known.parent.mkdir(parents=True, exist_ok=True)
        with _alone(cache, progress), _work_folder(cache) as work, _plain_disk_full(cache):
            replace_file(known, str(_packed_bytes(built.folder, work, cache, progress)).encode())
    return {
        "usr_bytes": release.usr.size_bytes,
        "kernel_bytes": release.file(release_format.KERNEL).size_bytes,
        "initrd_bytes": release.file(release_format.INITRD).size_bytes,
        "packed_bytes": int(known.read_text()),
    }


def _packed_bytes(folder: Path, work: Path, cache: Path, progress: Progress) -> int:
    manifest = load(paths.shipped("os") / "manifest.toml")
    toolbox = ensure_toolbox(manifest, cache, progress, refresh=False)
    packed = work / "packed"
    with progress.step("measure the packed size"):
        toolbox.run("zstd", "-q", "-9", "-T0", folder / release_format.DISK_IMAGE, "-o", packed)
    return packed.stat().st_size


def verify_release(
    folder: Path, manifest: Path | None, progress: Progress, *, keys: Path | None = None
) -> Verified:
    """Make the release in `folder` again, elsewhere, and compare file by file.

    Raises `ArgosyError` if what it was made from is no longer what is here: then nothing can be said.
    """
    release = read_release(folder)
    cache = paths.cache_folder()
    request = Request(release.parsed_version, release.channel, folder, manifest, keys)
    with _alone(cache, progress), _work_folder(cache) as work, _plain_disk_full(cache):
        inputs = _inputs(request, cache, progress, date.min)
        if inputs.digest != release.inputs:
            raise ArgosyError(
                f"release {release.version} was made from other packages, sources, keys or settings",
                hint="verify it with the checkout, manifest, keys and cache that it was built with",
            )
        out = work / "out"
        out.mkdir()
        again = assemble(inputs, out, work, progress)
        with progress.step("compare"):
            present = digests(folder, (file.name for file in release.files))
    refused = _payload_refused(folder / release_format.PAYLOAD, inputs.keys, progress)
    rebuilt = {file.name: file for file in again.files}
    return Verified(
        not_reproduced=tuple(file.name for file in release.files if rebuilt.get(file.name) != file),
        altered=tuple(now.name for now, then in zip(present, release.files, strict=True) if now != then),
        refused=refused,
    )


def _payload_refused(payload: Path, keys: tuple[Key, ...], progress: Progress) -> str:
    try:
        check_payload(payload, trusted_keys(keys), progress)
    except PayloadError as error:
        return str(error)
    return ""


def _inputs(request: Request, cache: Path, progress: Progress, today: date) -> Inputs:
    os_folder, package = paths.shipped("os"), paths.package_folder()
    manifest = load(os_folder / "manifest.toml", *([request.manifest] if request.manifest else []))
    toolbox = ensure_toolbox(manifest, cache, progress, refresh=request.refresh)
    base = ensure_base(manifest, cache, progress, refresh=request.refresh)
    keys = ensure_keys(request.keys or keys_folder())
    digest = inputs_digest(manifest, base.packages, toolbox, os_folder, package, request.channel, keys)
    choice = (
        choose_version(_existing(request.out), digest, wanted=request.version, today=version_of_day(today))
        if today != date.min
        else None
    )
    version = choice.version if choice else request.version
    assert version is not None
    return Inputs(manifest, base, toolbox, os_folder, package, version, request.channel, keys, digest)


def _existing(out: Path | None) -> dict[Version, str]:
    """The releases that are there, and the digests of their inputs."""
    folders = [out] if out else sorted(releases_folder().glob("[0-9]*"))
    releases = [release for folder in folders if (release := _release_at(folder))]
    return {parse_version(release.version): release.inputs for release in releases}


def _release_at(folder: Path) -> Release | None:
    """The release in a folder, if there is a whole one: all files, of the right sizes."""
    if not (folder / RELEASE_JSON).exists():
        return None
    release = read_release(folder)
    for file in release.files:
        path = folder / file.name
        if not path.exists() or path.stat().st_size != file.size_bytes:
            return None
    return release


def _build(inputs: Inputs, folder: Path, cache: Path, progress: Progress) -> Release:
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    try:
        with _work_folder(cache) as work, _plain_disk_full(cache, new):
            release = assemble(inputs, new, work, progress)
        replace_folder(folder, new)
        return release
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _check_free(folder: Path, there: Release | None) -> None:
    """Never replace a folder that holds something else than a release."""
    if there is None and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        if (folder / RELEASE_JSON).exists():
            return
        raise InputError(f"{folder} is there and is not a release", hint="name an empty or a new folder")


@contextlib.contextmanager
def _alone(cache: Path, progress: Progress) -> Iterator[None]:
    """One build at a time: another one waits."""
    cache.mkdir(parents=True, exist_ok=True)
    lock = cache / "build.lock"
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(lock, busy="another build is running"))
        except LockedError:
            with progress.step("wait for another build"):
                while not _try_enter(stack, lock):
                    time.sleep(_LOCK_POLL_S)
        for left_over in cache.glob(f"{_WORK}*"):
            shutil.rmtree(left_over, ignore_errors=True)
        yield


def _try_enter(stack: contextlib.ExitStack, lock: Path) -> bool:
    try:
        stack.enter_context(locked(lock, busy="another build is running"))
        return True
    except LockedError:
        return False


@contextlib.contextmanager
def _work_folder(cache: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=_WORK, dir=cache) as name:
        yield Path(name)


@contextlib.contextmanager
def _plain_disk_full(*folders: Path) -> Iterator[None]:
    """A full disk is something that a user can mend, wherever it showed.

    Tools tell it in their own ways, some not at all: when one fails, the room in `folders` decides.
    """
    full = ArgosyError("the disk is full", hint="free some space, then try again; nothing half-made is left")
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise full from error
        raise
    except CommandError as error:
        if any(shutil.disk_usage(folder).free < _FULL_BYTES for folder in folders):
            raise full from error
        raise


def _check_space(folder: Path, needed_bytes: int) -> None:
    """Raises `ArgosyError` if the file system that `folder` is, or will be, on has less room than needed."""
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(there).free
    if free < needed_bytes:
        raise ArgosyError(
            f"{there} has {free >> 20} MiB free, a build needs {needed_bytes >> 20} MiB",
            hint="free some space, or set XDG_CACHE_HOME and XDG_DATA_HOME to folders that have it",
        )

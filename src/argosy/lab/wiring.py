"""The lab as the commands use it: this user's clusters, the real drivers, releases from the image room."""

from __future__ import annotations

from pathlib import Path

from argosy.base import paths
from argosy.base.errors import InputError
from argosy.base.progress import Progress
from argosy.formats.version import parse_version
from argosy.image import build
from argosy.image.manifest import load
from argosy.image.toolbox import ensure_toolbox
from argosy.lab.cluster import Lab, ReleaseChoice
from argosy.lab.driver import Driver
from argosy.lab.model import DriverName
from argosy.lab.nspawn.driver import NspawnDriver
from argosy.lab.qemu.driver import QemuDriver
from argosy.lab.releases import prune_automatic
from argosy.lab.store import Store


def open_store() -> Store:
    """This user's clusters."""
    return Store(paths.state_folder() / "clusters")


def open_lab(progress: Progress) -> Lab:
    """This user's clusters, with what it takes to change them."""
    drivers: dict[DriverName, Driver] = {
        DriverName.QEMU: QemuDriver(paths.cache_folder(), progress),
        DriverName.NSPAWN: NspawnDriver(),
    }
    return Lab(open_store(), drivers, lambda selector: find_release(selector, progress), progress)


def find_release(selector: str | None, progress: Progress) -> ReleaseChoice:
    """A release by version or folder; without a selector what `argosy build` makes, built if needed."""
    if selector is None:
        built = build.ensure_release(build.Request(), progress)
        if not built.reused:
            prune_automatic(open_store(), progress)
        return ReleaseChoice(built.release.version, built.folder)
    folder = Path(selector)
    if not folder.is_dir():
        folder = build.releases_folder() / str(_version(selector))
    if not folder.is_dir():
        made = sorted(path.name for path in build.releases_folder().glob("[0-9]*"))
        raise InputError(
            f"there is no release {selector}",
            hint=f"these exist: {', '.join(made)}" if made else "`argosy build` makes one",
        )
    return ReleaseChoice(build.read_release(folder).version, folder)


def static_busybox(progress: Progress) -> Path:
    """A busybox that needs no libraries, from the tools that build images."""
    toolbox = ensure_toolbox(
        load(paths.shipped("os") / "manifest.toml"), paths.cache_folder(), progress, refresh=False
    )
    return toolbox.path("usr/bin/busybox")


def _version(selector: str) -> object:
    try:
        return parse_version(selector)
    except InputError as error:
        raise InputError(
            f"{selector!r} is neither a version nor a folder", hint="for example --release 4891.0.0"
        ) from error

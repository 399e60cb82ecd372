"""Where clusters are kept: `$XDG_STATE_HOME/argosy/clusters/<name>`, one folder each.

`cluster.json` is written first and decides everything; a folder without it is what an interrupted `up` or
`destroy` left, in which nothing ever ran or nothing runs any more.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from argosy.base.decode import decode_json, encode_json
from argosy.base.errors import ArgosyError, InputError
from argosy.base.files import LockedError, locked, replace_file
from argosy.lab.model import Cluster, Site

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
_PORTS_WAIT_S = 10.0


class Store:
    """The clusters of one user. `runtime` is the parent of their folders for sockets."""

    def __init__(self, folder: Path, runtime: Path = Path("/tmp")) -> None:
        self._folder = folder
        self._runtime = runtime

    def names(self) -> list[str]:
        """The clusters that exist."""
        return sorted(file.parent.name for file in self._folder.glob("*/cluster.json"))

    def site(self, name: str) -> Site | None:
        """The cluster of that name, if it exists."""
        file = self._folder / checked(name) / "cluster.json"
        try:
            data = file.read_bytes()
        except FileNotFoundError:
            return None
        cluster = decode_json(data, Cluster, source=str(file))
        return Site(cluster, file.parent, self._runtime / f"argosy-{os.getuid()}-{cluster.id}")

    def existing(self, name: str) -> Site:
        """The cluster of that name; raises `InputError` if there is none."""
        site = self.site(name)
        if site is None:
            others = ", ".join(self.names())
            raise InputError(
                f"there is no cluster {name!r}",
                hint=f"these exist: {others}" if others else "`argosy up` makes one",
            )
        return site

    def save(self, cluster: Cluster, files: Mapping[str, bytes] | None = None) -> Site:
        """Write `cluster.json`, making the folder if it is missing, and before it the `files` beside it."""
        folder = self._folder / cluster.name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, content in (files or {}).items():
            replace_file(folder / name, content, mode=0o600)
        replace_file(folder / "cluster.json", encode_json(cluster, pretty=True))
        return self.existing(cluster.name)

    @contextlib.contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Keep other commands from changing this cluster; raises `LockedError` if one is at it."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = self._folder / f"{checked(name)}.lock"
        with locked(file, busy=f"another command is working on cluster {name!r}"):
            try:
                yield
            finally:
                if not (self._folder / name).exists():
                    file.unlink()

    @contextlib.contextmanager
    def choosing_ports(self) -> Iterator[frozenset[int]]:
        """The ports of all clusters; until the block ends nobody else chooses any."""
        deadline = time.monotonic() + _PORTS_WAIT_S
        with contextlib.ExitStack() as stack:
            while True:
                try:
                    stack.enter_context(
                        locked(self._folder / ".ports.lock", busy="another command is choosing ports")
                    )
                    break
                except LockedError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.05)
            yield frozenset(port for name in self.names() for port in self._ports(name))

    def make_runtime(self, site: Site) -> None:
        """Make the folder for sockets, which only we may enter."""
        site.runtime.mkdir(mode=0o700, exist_ok=True)
        found = site.runtime.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise ArgosyError(f"{site.runtime} belongs to someone else", hint="remove it, then try again")

    def remove(self, site: Site) -> None:
        """Remove a cluster's folders. Refuses while something is mounted below them."""
        for mounted in _mount_points():
            if mounted.is_relative_to(site.folder):
                raise ArgosyError(f"{mounted} is still mounted", hint=f"umount {mounted}, then try again")
        shutil.rmtree(site.runtime, ignore_errors=True)
        self.remove_leftovers(site.cluster.name)

    def remove_leftovers(self, name: str) -> bool:
        """Remove the folder that an interrupted command left; False if there is none."""
        folder = self._folder / checked(name)
        if not folder.exists():
            return False
        shutil.rmtree(folder)
        return True

    def _ports(self, name: str) -> Iterator[int]:
        site = self.site(name)
        if site:
            yield site.cluster.server_port
            for machine in site.cluster.machines:
                yield from (machine.ssh_port, machine.service_port)


def checked(name: str) -> str:
    """`name` if it can name a cluster; raises `InputError` otherwise."""
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} cannot name a cluster",
            hint="use up to 32 lower-case letters, digits and hyphens, for example `test-2`",
        )
    return name


def _mount_points() -> list[Path]:
    """Field 5 of each line of proc_pid_mountinfo(5), in which white space is written in octal."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [Path(line.split()[4].encode().decode("unicode_escape")) for line in lines]

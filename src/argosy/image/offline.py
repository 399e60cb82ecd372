"""systemd's own tools at work on a tree: users from sysusers.d, enabled units from presets.

Both leave their result in /etc, which becomes the factory's: what they would do at every first boot is done
once, here, and follows the release.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from argosy.image.toolbox import Toolbox
from argosy.image.tree import File, Tree, from_folder, write_folder

_NEEDED = ("etc/systemd/", "usr/lib/systemd/system", "usr/lib/sysusers.d/")
_USER_FILES = {
    "etc/passwd": (0o644, 0),
    "etc/group": (0o644, 0),
    "etc/shadow": (0o640, 42),
    "etc/gshadow": (0o640, 42),
}


def with_users_and_units(tree: Tree, toolbox: Toolbox, work: Path, *, time_s: int) -> Tree:
    """The tree with the users of sysusers.d in /etc/passwd and its kin, and links to enabled units.

    `work` is an empty folder.
    """
    part = {path: entry for path, entry in tree.items() if path.startswith(_NEEDED) or path in _USER_FILES}
    write_folder(part, work)
    toolbox.run("systemd-sysusers", f"--root={work}", env={"SOURCE_DATE_EPOCH": str(time_s)})
    toolbox.run("systemctl", f"--root={work}", "preset-all")
    made = from_folder(work / "etc", "etc/")
    enabled = {path: entry for path, entry in made.items() if path.startswith("etc/systemd/system/")}
    return {**tree, **enabled, **_user_files(made)}


def _user_files(made: Tree) -> Tree:
    files: Tree = {}
    for path, (mode, gid) in _USER_FILES.items():
        entry = made[path]
        assert isinstance(entry, File)
        files[path] = replace(entry, mode=mode, gid=gid)
    return files

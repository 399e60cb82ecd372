"""The /usr partition's image: EROFS without compression, then dm-verity's superblock and hash tree."""

from __future__ import annotations

import os
import re
from pathlib import Path

from argosy.base.errors import ArgosyError
from argosy.base.progress import Step
from argosy.formats.release import UsrImage
from argosy.formats.version import Version
from argosy.image.disk_layout import USR_SLOT_BYTES
from argosy.image.identity import derived_salt, derived_uuid
from argosy.image.toolbox import Toolbox
from argosy.image.tree import Folder, Tree, write_tar

_BLOCK_BYTES = 4096
_ROOT_HASH = re.compile(rb"^Root hash:\s+([0-9a-f]{64})$", re.MULTILINE)


def build_usr(
    tree: Tree, version: Version, toolbox: Toolbox, image: Path, work: Path, step: Step
) -> UsrImage:
    """Write `image` from the tree of /usr (its paths start with `usr`).

    Raises `ArgosyError` if it does not fit into a slot. `work` is an empty folder.
    """
    tar = work / "usr.tar"
    inside = {
        ".": Folder(),
        **{path.removeprefix("usr/"): entry for path, entry in tree.items() if path != "usr"},
    }
    with tar.open("wb") as file:
        write_tar(inside, file, time_s=version.epoch_s, wrote=step.advance)
    toolbox.run(
        "mkfs.erofs",
        *("--quiet", "--tar=f", f"-b{_BLOCK_BYTES}", "--all-time", f"-T{version.epoch_s}"),
        *(f"-U{derived_uuid(version, 'usr')}", "-Lusr", image, tar),
    )
    tar.unlink()
    return _with_hash_tree(image, version, toolbox)


def _with_hash_tree(image: Path, version: Version, toolbox: Toolbox) -> UsrImage:
    offset = -(-image.stat().st_size // _BLOCK_BYTES) * _BLOCK_BYTES
    os.truncate(image, offset)
    salt = derived_salt(version)
    made = toolbox.run(
        "veritysetup",
        *("format", f"--salt={salt}", f"--uuid={derived_uuid(version, 'verity')}", "--hash=sha256"),
        *(f"--data-blocks={offset // _BLOCK_BYTES}", f"--hash-offset={offset}", image, image),
    )
    root_hash = _ROOT_HASH.search(made.stdout)
    if not root_hash:
        raise ArgosyError("veritysetup printed no root hash")
    size = image.stat().st_size
    if size > USR_SLOT_BYTES:
        raise ArgosyError(
            f"/usr has {size >> 20} MiB with its hash tree, a slot has {USR_SLOT_BYTES >> 20} MiB",
            hint="name fewer packages in the manifest, or trim more",
        )
    return UsrImage(size, offset, root_hash[1].decode(), salt)

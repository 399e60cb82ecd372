"""Debian packages into a tar: the edge to mmdebstrap(1), as root or, in a user namespace, as anybody."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from argosy.base.errors import ArgosyError, InputError
from argosy.base.run import CommandError, find_program, stream
from argosy.image.manifest import Manifest

Note = Callable[[str], None]

_UNKNOWN_PACKAGE = re.compile(
    r"E: (?:Unable to locate package (\S+)|Package '([^']+)' has no installation candidate"
    r"|Couldn't find any package by (?:glob|regex) '([^']+)')"
)
_DISK_FULL = re.compile(r"No space left on device|not enough free disk space")
_NETWORK = re.compile(
    r"Temporary failure resolving|Could not (?:connect|resolve)|Failed to fetch|Network is unreachable"
)
# A fixed time for files that package scripts write, so that the tar of the same packages has the same times.
_EPOCH_S = "1372636800"


def fetch(tar: Path, variant: str, packages: Sequence[str], manifest: Manifest, note: Note) -> None:
    """Write `packages` and what they need to `tar`: unpacked only (variant `extract`) or installed (`apt`).

    Raises `InputError` for a package that Debian does not have, `ArgosyError` for what else a user can mend.
    """
    lines: list[str] = []

    def hear(line: str) -> None:
        lines.append(line)
        note(line.removeprefix("I: ").rstrip("."))

    try:
        # It leaves temporary folders of its own in the current folder, which may not be ours to write.
        work = Path(tempfile.gettempdir())
        stream(_command(tar, variant, packages, manifest), hear, env=_environment(), cwd=work)
    except CommandError as error:
        raise _explained("\n".join(lines), manifest) or error from error


def _command(tar: Path, variant: str, packages: Sequence[str], manifest: Manifest) -> list[str]:
    program = find_program("mmdebstrap")
    if program is None:
        raise ArgosyError("mmdebstrap is not installed", hint="argosy setup installs what a build needs")
    return [
        str(program),
        f"--mode={_mode()}",
        f"--variant={variant}",
        "--verbose",
        "--format=tar",
        "--architectures=amd64",
        "--skip=cleanup/reproducible/machine-id",
        '--aptopt=Acquire::Languages "none"',
        f"--include={','.join(packages)}",
        manifest.suite,
        str(tar),
        *manifest.mirrors,
    ]


def _mode() -> str:
    if os.geteuid() == 0:
        return "root"
    if find_program("newuidmap") is None:
        raise ArgosyError(
            "building as an ordinary user needs newuidmap",
            hint="argosy setup installs it (Debian's package uidmap)",
        )
    return "unshare"


def _environment() -> dict[str, str]:
    # INITRD=No: the kernel package's script would build an initrd that nobody uses.
    return {"SOURCE_DATE_EPOCH": _EPOCH_S, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive", "INITRD": "No"}


def _explained(output: str, manifest: Manifest) -> ArgosyError | None:
    unknown = _UNKNOWN_PACKAGE.search(output)
    if unknown:
        name = unknown[1] or unknown[2] or unknown[3]
        return InputError(
            f"Debian {manifest.suite} has no package {name!r}",
            where=manifest.places.get(name),
            hint="correct the name in the manifest; `apt-cache search` knows the names",
        )
    if _DISK_FULL.search(output):
        return ArgosyError(
            "the disk is full", hint=f"free some space in {os.environ.get('TMPDIR', '/tmp')}, then try again"
        )
    if _NETWORK.search(output):
        return ArgosyError(
            "Debian's packages cannot be downloaded",
            hint="is the network there? A mirror can be named in a manifest: [debian] mirrors = [...]",
        )
    if "subuid" in output or "subgid" in output:
        return ArgosyError(
            "building as an ordinary user needs a range of user ids",
            hint="as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER",
        )
    return None

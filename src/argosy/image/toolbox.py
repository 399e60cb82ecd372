"""The build tools: programs out of Debian packages, unpacked in the cache and run with their own C library.

A release's bytes then depend on the toolbox, not on what the host has installed, and nothing needs root.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from argosy.base.errors import ArgosyError
from argosy.base.files import replace_folder
from argosy.base.progress import Progress
from argosy.base.run import Argument, Completed, run
from argosy.image import mmdebstrap
from argosy.image.manifest import Manifest

PACKAGES = {
    "busybox-static": "the initrd's shell and tools",
    "cryptsetup-bin": "veritysetup: /usr's hash tree",
    "dosfstools": "mkfs.vfat: the EFI system partition",
    "e2fsprogs": "mke2fs: OEM and ROOT",
    "erofs-utils": "mkfs.erofs: /usr",
    "grub-common": "grub-mkimage",
    "grub-efi-amd64-bin": "GRUB's modules for UEFI",
    "grub-pc-bin": "GRUB's modules for BIOS",
    "kmod": "depmod",
    "libpython3.13-stdlib": "compiles our Python files for the image's Python",
    "mtools": "files into the EFI system partition without mounting it",
    "python3.13-minimal": "the image's Python",
    "systemd": "systemctl and systemd-sysusers on a tree",
    "zstd": "packs the initrd",
}

_FORMAT = 1
_IDENTITY = "identity"
_LIBRARIES = ("usr/lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu/systemd")


@dataclass(frozen=True, slots=True)
class Toolbox:
    """`identity` is the digest of the packages that were unpacked."""

    folder: Path
    identity: str

    def path(self, name: str) -> Path:
        """Where a file of the toolbox is. Raises `ArgosyError` if it is not there."""
        found = self.folder / name
        if not found.exists():
            raise ArgosyError(f"the toolbox has no {name}", hint="argosy build --refresh fetches it anew")
        return found

    def run(
        self, program: str, *arguments: Argument, env: Mapping[str, str] | None = None, check: bool = True
    ) -> Completed:
        """Run one of the toolbox's programs to its end."""
        libraries = ":".join(str(self.folder / path) for path in _LIBRARIES)
        surroundings = {
            "LC_ALL": "C",
            "TZ": "UTC0",
            "GCONV_PATH": str(self.folder / "usr/lib/x86_64-linux-gnu/gconv"),
            "MTOOLSRC": "/dev/null",
            **(env or {}),
        }
        loader = self.path("usr/lib64/ld-linux-x86-64.so.2")
        words = [loader, "--library-path", libraries, self._program(program), *arguments]
        return run(words, env=surroundings, check=check)

    def _program(self, name: str) -> Path:
        for folder in ("usr/bin", "usr/sbin"):
            if (self.folder / folder / name).exists():
                return self.folder / folder / name
        raise ArgosyError(f"the toolbox has no program {name}", hint="argosy build --refresh fetches it anew")


def ensure_toolbox(manifest: Manifest, cache: Path, progress: Progress, *, refresh: bool) -> Toolbox:
    """The toolbox for the manifest's suite and mirrors, fetched if it is not in `cache` or with `refresh`."""
    key = json.dumps([_FORMAT, manifest.suite, manifest.mirrors, sorted(PACKAGES)])
    folder = cache / "toolbox" / hashlib.sha256(key.encode()).hexdigest()[:16]
    identity = folder / _IDENTITY
    if refresh or not identity.exists():
        with progress.step("fetch build tools") as step:
            _fetch(manifest, folder, step.note)
    return Toolbox(folder, identity.read_text())


def _fetch(manifest: Manifest, folder: Path, note: mmdebstrap.Note) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    try:
        tar = new / "toolbox.tar"
        mmdebstrap.fetch(tar, "extract", sorted(PACKAGES), manifest, note)
        note("unpacking")
        run(
            ["tar", "-x", "--no-same-owner", "--no-same-permissions", "-C", new, "--exclude=./dev", "-f", tar]
        )
        digest = hashlib.sha256(tar.read_bytes()).hexdigest()
        tar.unlink()
        (new / _IDENTITY).write_text(digest)
        replace_folder(folder, new)
    finally:
        shutil.rmtree(new, ignore_errors=True)

"""How large a release is: on disk, packed for the wire, and its initrd."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from argosy.base.progress import Progress
from argosy.base.run import run
from argosy.image.build import read_release

# What the documents of the original system say of it.
ORIGINAL_USR_MB = 500
ORIGINAL_INSTALLER_MB = 211
_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Result:
    """Sizes in megabytes (10^6 bytes), and ratios against the original's /usr and installer."""

    usr_mb: float
    packed_release_mb: float
    initrd_mb: float
    usr_ratio: float
    packed_ratio: float


def measure(release: Path, progress: Progress) -> Result:
    """Pack the whole disk image as it would be downloaded, and compare."""
    description = read_release(release)
    usr_mb = description.usr.hash_offset_bytes / _MB
    with progress.step("pack the release"):
        packed = run(["sh", "-c", 'zstd -q -9 -T0 --long=27 -c "$1" | wc -c', "sh", release / "disk.img"])
    packed_mb = int(packed.text) / _MB
    return Result(
        usr_mb=usr_mb,
        packed_release_mb=packed_mb,
        initrd_mb=(release / "initrd.img").stat().st_size / _MB,
        usr_ratio=usr_mb / ORIGINAL_USR_MB,
        packed_ratio=packed_mb / ORIGINAL_INSTALLER_MB,
    )

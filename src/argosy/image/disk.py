"""The disk image: partition table, boot loader, EFI system partition, /usr in slot A, empty OEM and ROOT."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from argosy.base.errors import ArgosyError
from argosy.formats import gpt
from argosy.formats.gpt import SECTOR_BYTES, Gpt
from argosy.formats.version import Version
from argosy.image.bootloader import BiosLoader
from argosy.image.identity import derived_uuid
from argosy.image.toolbox import Toolbox

_COPY_BYTES = 1 << 20


def write_disk(
    image: Path,
    table: Gpt,
    version: Version,
    loader: BiosLoader,
    esp_files: Mapping[str, bytes],
    usr: Path,
    toolbox: Toolbox,
    work: Path,
) -> None:
    """Write `image`, a sparse file of the table's size. `work` is an empty folder."""
    head, tail = gpt.encode(table, boot_code=loader.boot_code)
    esp = _esp(table, version, esp_files, toolbox, work)
    with image.open("wb") as disk:
        disk.truncate(table.sectors * SECTOR_BYTES)
        disk.write(head)
        disk.seek((table.sectors - gpt.TAIL_SECTORS) * SECTOR_BYTES)
        disk.write(tail)
        disk.seek(table.partition("BIOS-BOOT").first_lba * SECTOR_BYTES)
        disk.write(loader.core)
    _place(image, table, "EFI-SYSTEM", esp)
    _place(image, table, "USR-A", usr)
    for label in ("OEM", "ROOT"):
        _place(image, table, label, _ext4(table, version, label, toolbox, work))


def _place(image: Path, table: Gpt, label: str, content: Path) -> None:
    """Copy a file to the start of a partition, leaving holes where it has zeros."""
    partition = table.partition(label)
    if content.stat().st_size > partition.sectors * SECTOR_BYTES:
        raise ArgosyError(f"{content.name} does not fit into the partition {label}")
    with content.open("rb") as source, image.open("r+b") as disk:
        disk.seek(partition.first_lba * SECTOR_BYTES)
        while chunk := source.read(_COPY_BYTES):
            if chunk.count(0) == len(chunk):
                disk.seek(len(chunk), os.SEEK_CUR)
            else:
                disk.write(chunk)


def _empty(path: Path, table: Gpt, label: str) -> Path:
    with path.open("wb") as file:
        file.truncate(table.partition(label).sectors * SECTOR_BYTES)
    return path


def _esp(table: Gpt, version: Version, files: Mapping[str, bytes], toolbox: Toolbox, work: Path) -> Path:
    """The EFI system partition: FAT32 in clusters of 1 KiB, which 128 MiB need to be FAT32."""
    image = _empty(work / "esp", table, "EFI-SYSTEM")
    serial = f"{derived_uuid(version, 'esp').int & 0xFFFFFFFF:08x}"
    times = {"SOURCE_DATE_EPOCH": str(version.epoch_s)}
    toolbox.run(
        "mkfs.vfat", "--invariant", "-F", "32", "-s", "2", "-n", "EFI-SYSTEM", "-i", serial, image, env=times
    )
    source = work / "esp-files"
    for name, data in files.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(data)
    for path in (source, *source.rglob("*")):
        os.utime(path, (version.epoch_s, version.epoch_s))
    toolbox.run("mcopy", "-smpQ", "-i", image, *sorted(source.iterdir()), "::/", env=times)
    shutil.rmtree(source)
    return image


def _ext4(table: Gpt, version: Version, label: str, toolbox: Toolbox, work: Path) -> Path:
    """An empty ext4. Its tables are zeros in a sparse file: nothing is left for the kernel to initialise."""
    image = _empty(work / label, table, label)
    uuid, seed = (derived_uuid(version, f"{label} {what}") for what in ("uuid", "hash seed"))
    toolbox.run(
        "mke2fs",
        *("-q", "-F", "-t", "ext4", "-L", label, "-U", str(uuid), "-b", "4096", "-m", "1"),
        *("-E", f"hash_seed={seed},root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0,nodiscard"),
        image,
        env={
            "E2FSPROGS_FAKE_TIME": str(version.epoch_s),
            "MKE2FS_CONFIG": str(toolbox.path("etc/mke2fs.conf")),
        },
    )
    return image

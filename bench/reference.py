"""The reference for boots: a plain Debian root on ext4 with the same packages, kernel, firmware and GRUB.

Nothing of it is tuned: Debian's own initrd, units and presets, as `mmdebstrap` leaves them. It starts
networkd, ssh and a single-member etcd, and is healthy when etcd says so.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import uuid
from dataclasses import replace
from pathlib import Path

from argosy.base import paths
from argosy.base.files import replace_folder
from argosy.base.progress import Progress
from argosy.base.run import run, stream
from argosy.formats import gpt
from argosy.image.manifest import Manifest, load
from argosy.image.toolbox import Toolbox, ensure_toolbox
from bench.machine import MARK

_ROOT_SECTORS = 4 << 21
_BOOT = """\
serial --unit=0 --speed=115200
terminal_output serial
set timeout=1
menuentry "Debian" {
  linux /coreos/vmlinuz-a %s rw root=LABEL=ROOT
  initrd /coreos/initrd-a
}
"""
_FILES = {
    "etc/fstab": "LABEL=ROOT / ext4 defaults 0 1\n",
    "etc/hostname": "reference\n",
    "etc/systemd/network/20-host.network": (
        "[Match]\nName=en*\n[Network]\nAddress=10.0.2.15/24\nGateway=10.0.2.2\nLinkLocalAddressing=no\n"
    ),
    "etc/systemd/system/bench.service": (
        "[Unit]\nAfter=etcd.service ssh.service\nWants=etcd.service\n"
        "[Service]\nExecStart=/usr/bin/bench-mark\n[Install]\nWantedBy=multi-user.target\n"
    ),
    "usr/bin/bench-mark": (
        "#!/bin/sh\n"
        "until curl -fs http://127.0.0.1:2379/health | grep -q '\"true\"'; do sleep 0.5; done\n"
        "systemctl is-system-running --wait >/dev/null\n"
        "used=$(free -m | awk '/^Mem:/ {print $3}')\n"
        f'echo "{MARK} $used" >/dev/console\n'
    ),
}
_ENABLED = "systemd-networkd systemd-resolved systemd-timesyncd ssh etcd bench"


def reference_disk(release: Path, progress: Progress) -> Path:
    """The reference's disk image, made from a release's disk (its partition table, GRUB and ESP) once."""
    manifest = load(paths.shipped("os") / "manifest.toml")
    toolbox = ensure_toolbox(manifest, paths.cache_folder(), progress, refresh=False)
    disk_digest = hashlib.sha256((release / "release.json").read_bytes()).hexdigest()
    key = hashlib.sha256(json.dumps([disk_digest, _BOOT, _FILES, _ENABLED]).encode()).hexdigest()[:16]
    folder = paths.cache_folder() / "bench" / key
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as work:
            made = Path(work) / "made"
            made.mkdir()
            with progress.step("make the reference"):
                _make(release, made, Path(work), manifest, toolbox, progress)
            replace_folder(folder, made)
    return folder / "disk.img"


def _make(
    release: Path, out: Path, work: Path, manifest: Manifest, toolbox: Toolbox, progress: Progress
) -> None:
    with progress.step("install Debian packages") as step:
        _install(work / "root", work / "files", manifest, step.note)
    boot = work / "boot"
    boot.mkdir()
    (kernel,) = (work / "root/boot").glob("vmlinuz-*")
    (initrd,) = (work / "root/boot").glob("initrd.img-*")
    shutil.copyfile(kernel, boot / "vmlinuz-a")
    shutil.copyfile(initrd, boot / "initrd-a")
    arguments = " ".join(manifest.kernel.arguments)
    (boot / "grub.cfg").write_text(_BOOT % arguments)
    root = work / "root.img"
    with root.open("wb") as file:
        file.truncate(_ROOT_SECTORS * gpt.SECTOR_BYTES)
    toolbox.run(
        *("mke2fs", "-q", "-F", "-t", "ext4", "-L", "ROOT", "-d", work / "root", root),
        env={"MKE2FS_CONFIG": "/dev/null"},
    )
    _assemble(release / "disk.img", out / "disk.img", root, boot, toolbox)


def _install(root: Path, files: Path, manifest: Manifest, note: object) -> None:
    for name, text in _FILES.items():
        (files / name).parent.mkdir(parents=True, exist_ok=True)
        (files / name).write_text(text)
    (files / "usr/bin/bench-mark").chmod(0o755)
    command = [
        *("mmdebstrap", "--variant=apt", f"--include={','.join(manifest.all_packages)},initramfs-tools"),
        f"--customize-hook=sync-in {files} /",
        f'--customize-hook=chroot "$1" systemctl enable {_ENABLED}',
        *(manifest.suite, str(root), *manifest.mirrors),
    ]
    stream(command, lambda line: note(line.removeprefix("I: ")) if callable(note) else None)


def _assemble(template: Path, disk: Path, root: Path, boot: Path, toolbox: Toolbox) -> None:
    """The release's disk with ROOT made larger and filled, and other files on its EFI system partition."""
    run(["cp", "--sparse=always", template, disk])
    sectors = template.stat().st_size // gpt.SECTOR_BYTES
    with disk.open("r+b") as file:
        head = file.read(gpt.HEAD_SECTORS * gpt.SECTOR_BYTES)
        file.seek((sectors - gpt.TAIL_SECTORS) * gpt.SECTOR_BYTES)
        decoded = gpt.decode(head, file.read(), sectors=sectors)
        table = _with_large_root(decoded.table)
        head, tail = gpt.encode(table, boot_code=decoded.boot_code)
        file.truncate(table.sectors * gpt.SECTOR_BYTES)
        file.seek(0)
        file.write(head)
        file.seek((table.sectors - gpt.TAIL_SECTORS) * gpt.SECTOR_BYTES)
        file.write(tail)
    at = table.partition("ROOT").first_lba * gpt.SECTOR_BYTES
    run(["dd", f"if={root}", f"of={disk}", "bs=1M", "conv=notrunc,sparse", "oflag=seek_bytes", f"seek={at}"])
    esp = f"{disk}@@{table.partition('EFI-SYSTEM').first_lba * gpt.SECTOR_BYTES}"
    toolbox.run("mcopy", "-oQ", "-i", esp, boot / "vmlinuz-a", boot / "initrd-a", "::/coreos/")
    toolbox.run("mcopy", "-oQ", "-i", esp, boot / "grub.cfg", "::/coreos/grub/")


def _with_large_root(table: gpt.Gpt) -> gpt.Gpt:
    root = table.partition("ROOT")
    first = root.first_lba
    larger = replace(root, last_lba=first + _ROOT_SECTORS - 1, guid=uuid.uuid4())
    others = tuple(larger if partition.label == "ROOT" else partition for partition in table.partitions)
    return gpt.grown(
        replace(table, partitions=others), max(table.sectors, larger.last_lba + 1 + gpt.TAIL_SECTORS)
    )

"""Disks for tests of the boot loader: a release's, with slots changed by hand, booted without a cluster."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from argosy.formats import bootenv
from argosy.formats.bootenv import BootEnvironment
from argosy.formats.gpt import SECTOR_BYTES
from argosy.formats.release import DISK_IMAGE
from argosy.formats.version import Version
from argosy.image.disk_layout import disk_layout
from argosy.image.toolbox import Toolbox
from argosy.lab.qemu.command import Accelerator, processor

PATIENCE_S = 300
_POLL_S = 0.2
_ESP_START_BYTES = 64 << 20
_ENVIRONMENT = "coreos/grub/grubenv"
WATCHDOG = ("-device", "i6300esb", "-action", "watchdog=reset")


@dataclass(frozen=True)
class BootDisk:
    """A copy of a release's disk, in `folder`."""

    toolbox: Toolbox
    folder: Path

    @property
    def image(self) -> Path:
        return self.folder / "disk.img"

    def copy(self, release: Path) -> None:
        subprocess.run(["cp", "--sparse=always", release / DISK_IMAGE, self.image], check=True)

    def read(self, path: str) -> bytes:
        """A file of the EFI system partition."""
        target = self.folder / "read"
        target.unlink(missing_ok=True)
        self.toolbox.run("mcopy", "-i", self._esp, f"::/{path}", target)
        return target.read_bytes()

    def write(self, path: str, data: bytes) -> None:
        source = self.folder / "write"
        source.write_bytes(data)
        self.toolbox.run("mcopy", "-o", "-i", self._esp, source, f"::/{path}")

    def remove(self, path: str) -> None:
        self.toolbox.run("mdel", "-i", self._esp, f"::/{path}")

    @contextlib.contextmanager
    def unreadable(self, name: str) -> Iterator[None]:
        """Have a file of the EFI system partition begin outside of it. `name` is as FAT has it: INITRD-B."""
        with self.image.open("r+b") as disk:
            disk.seek(_esp_bytes())
            position = _esp_bytes() + disk.read(_ESP_START_BYTES).index(name.encode().ljust(11))
            disk.seek(position)
            entry = disk.read(32)
            # The first cluster of a FAT32 file: bytes 20 and 21 (high), 26 and 27 (low) of its entry.
            changed = entry[:20] + b"\xff\x0f" + entry[22:26] + b"\xf0\xff" + entry[28:]
            disk.seek(position)
            disk.write(changed)
        yield
        with self.image.open("r+b") as disk:
            disk.seek(position)
            disk.write(entry)

    def copy_partition(self, source: str, target: str) -> None:
        """Copy the content of a partition to another of the same size."""
        table = disk_layout(Version(0))
        first, second = table.partition(source), table.partition(target)
        with self.image.open("rb") as reader, self.image.open("r+b") as writer:
            reader.seek(first.first_lba * SECTOR_BYTES)
            writer.seek(second.first_lba * SECTOR_BYTES)
            for _ in range(first.sectors * SECTOR_BYTES >> 20):
                chunk = reader.read(1 << 20)
                writer.write(chunk) if chunk.strip(b"\0") else writer.seek(len(chunk), 1)

    def environment(self) -> BootEnvironment:
        return bootenv.decode(self.read(_ENVIRONMENT))

    def remember(self, environment: BootEnvironment) -> None:
        """Write what the boot loader remembers."""
        self.write(_ENVIRONMENT, bootenv.encode(environment))

    @property
    def _esp(self) -> str:
        return f"{self.image}@@{_esp_bytes()}"


def credential_option(folder: Path, name: str, text: str) -> list[str | Path]:
    """A machine whose systemd is given a credential; its file is in `folder`."""
    (folder / name).write_text(text)
    return ["-fw_cfg", f"name=opt/io.systemd.credentials/{name},file={folder / name}"]


def _esp_bytes() -> int:
    return disk_layout(Version(0)).partition("EFI-SYSTEM").first_lba * SECTOR_BYTES


@dataclass
class Running:
    """A virtual machine that boots a disk; what it says on its serial port is in `log`."""

    disk: BootDisk
    log: Path
    options: Sequence[str | Path] = ()
    process: subprocess.Popen[bytes] = field(init=False)

    def __enter__(self) -> Running:
        words: list[str | Path] = [
            *("qemu-system-x86_64", *processor(Accelerator.TCG), "-smp", "2", "-m", "1024"),
            *("-nodefaults", "-no-user-config", "-display", "none", "-device", "virtio-rng-pci"),
            *("-drive", f"if=none,id=d,file={self.disk.image},format=raw"),
            *("-device", "virtio-blk-pci,drive=d", "-serial", f"file:{self.log}"),
            *self.options,
        ]
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=sys.stderr)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def wait_for(self, pattern: str, *, count: int = 1) -> str:
        """Wait until it has said so `count` times; all that it said."""
        ends = time.monotonic() + PATIENCE_S
        while time.monotonic() < ends:
            said = self.said
            if len(re.findall(pattern, said)) >= count:
                return said
            assert self.process.poll() is None, f"the machine is off; it said:\n{said[-3000:]}"
            time.sleep(_POLL_S)
        pytest.fail(f"{pattern!r} not {count} times in {PATIENCE_S} s; it said:\n{self.said[-3000:]}")

    def wait_off(self) -> str:
        """Wait until it has powered itself off; all that it said."""
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            pytest.fail(f"it did not power off; it said:\n{self.said[-3000:]}")
        return self.said


def uefi_options(folder: Path) -> list[str]:
    """A machine with UEFI firmware, whose variables are in `folder`."""
    variables = folder / "variables"
    shutil.copyfile("/usr/share/OVMF/OVMF_VARS_4M.fd", variables)
    return [
        *("-drive", "format=raw,if=pflash,unit=0,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd"),
        *("-drive", f"format=raw,if=pflash,unit=1,file={variables}"),
    ]

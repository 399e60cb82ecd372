"""Versions for virtual machines to update to: broken ones, made in seconds from the parts of a good one."""

from __future__ import annotations

import enum
from dataclasses import replace
from pathlib import Path

from argosy.base.progress import Silent
from argosy.formats import newc, slotcfg
from argosy.formats.payload import BOOT, INITRD, USR, VMLINUZ
from argosy.formats.release import PAYLOAD
from argosy.formats.version import Version
from argosy.image.build import read_release
from argosy.image.keys import ensure_keys, keys_folder
from argosy.image.pack import Source
from argosy.image.payload import Info, make_payload, release_parts

HANG_S = 20
# What never gets as far as /usr need not bring one.
_SOME_USR = bytes(1 << 20)


class Fault(enum.Enum):
    """What is wrong with a version."""

    KERNEL = "a kernel that is none"
    USR = "a /usr other than the one that was signed for"
    HANG = "an initrd that hangs"
    NONE = "nothing: the same system under another version"


def make_version(release: Path, version: Version, fault: Fault, folder: Path) -> Path:
    """A signed payload of `release` (a folder) with a fault, called `version`. Its file is in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    described = read_release(release)
    parts = release_parts(release, described)
    parts |= _changed(parts, fault)
    parts[BOOT] = _boot(parts[BOOT], version, fault)
    info = Info(version, described.channel, described.kernel)
    target = folder / PAYLOAD
    make_payload(parts, info, ensure_keys(keys_folder()), target, Silent())
    return target


def _changed(parts: dict[str, Source], fault: Fault) -> dict[str, Source]:
    match fault:
        case Fault.KERNEL:
            return {VMLINUZ: b"no kernel\n" * 1000, USR: _SOME_USR}
        case Fault.USR:
            return {USR: _SOME_USR}
        case Fault.HANG:
            return {INITRD: _hanging(parts[INITRD]), USR: _SOME_USR}
        case Fault.NONE:
            return {}


def _hanging(initrd: Source) -> bytes:
    """A second archive behind the initrd's own: in place of a program, one that never ends."""
    assert isinstance(initrd, Path)
    data = initrd.read_bytes()
    hangs = newc.file("usr/sbin/dmsetup", b"#!/bin/busybox sh\nsleep 9999\n", 0o755)
    return data + bytes(-len(data) % 4) + newc.encode([hangs])


def _boot(boot: Source, version: Version, fault: Fault) -> bytes:
    """What boots it. The watchdog of a version that hangs is a hasty one: a test waits for it three times."""
    assert isinstance(boot, bytes)
    config = replace(slotcfg.decode(boot), version=str(version))
    if fault is Fault.HANG:
        config = replace(config, arguments=(*config.arguments, f"rd.watchdog={HANG_S}"))
    return slotcfg.encode(config)

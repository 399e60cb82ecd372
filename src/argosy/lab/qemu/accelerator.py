"""Whether KVM really runs our kernel here.

/dev/kvm alone says little: inside some virtual machines it is there, and kernels hang on it. So the release's
own kernel and initrd are booted once (`argosy.probe`: the initrd says so and powers off). The answer holds
for that kernel until the host boots again.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from argosy.base.decode import decode_json, encode_json
from argosy.base.errors import InputError
from argosy.base.files import replace_file
from argosy.base.progress import Progress
from argosy.base.run import CommandError, run
from argosy.lab import process
from argosy.lab.qemu.command import Accelerator, probe_command

_KVM = Path("/dev/kvm")
_PROBE_OK = b"ARGOSY-PROBE-OK"
_PROBE_TIMEOUT_S = 12.0
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class _Known:
    boot_id: str
    kernel_sha256: str
    accelerator: Accelerator


def choose(cluster_id: str, kernel: Path, initrd: Path, cache: Path, progress: Progress) -> Accelerator:
    """KVM if it boots `kernel`, else TCG. `cache` is a file that remembers the last answer."""
    if not os.access(_KVM, os.R_OK | os.W_OK):
        return Accelerator.TCG
    boot_id = _BOOT_ID.read_text().strip()
    digest = hashlib.sha256(kernel.read_bytes() + initrd.read_bytes()).hexdigest()
    known = _remembered(cache)
    if known and (known.boot_id, known.kernel_sha256) == (boot_id, digest):
        return known.accelerator
    with progress.step("trying KVM") as step:
        found = Accelerator.KVM if _boots(cluster_id, kernel, initrd) else Accelerator.TCG
        step.note("works" if found is Accelerator.KVM else "does not boot our kernel here: emulating instead")
    cache.parent.mkdir(parents=True, exist_ok=True)
    replace_file(cache, encode_json(_Known(boot_id, digest, found)))
    return found


def _boots(cluster_id: str, kernel: Path, initrd: Path) -> bool:
    try:
        done = run(
            probe_command(kernel, initrd),
            check=False,
            timeout_s=_PROBE_TIMEOUT_S,
            env=process.environment(cluster_id, "probe"),
        )
    except CommandError:
        return False
    return _PROBE_OK in done.stdout


def _remembered(cache: Path) -> _Known | None:
    try:
        return decode_json(cache.read_bytes(), _Known, source=str(cache))
    except (FileNotFoundError, InputError):
        return None

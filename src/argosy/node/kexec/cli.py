"""`kexec-load`: started by systemd when an orderly reboot begins and update.conf has REBOOT_METHOD=kexec.

If it leaves `LOADED`, the shutdown ends in the loaded kernel; else in an ordinary reboot.
"""

from __future__ import annotations

import sys
from pathlib import Path

from argosy.base.errors import ArgosyError, describe
from argosy.node.kexec.load import OEM, load_next, read_oem
from argosy.node.slots import esp
from argosy.node.slots.store import this_machine
from argosy.node.updateconf import read_settings

LOADED = Path("/run/argosy/kexec-loaded")
# /boot and /usr/share/oem may be gone already. The unit has mounts of its own.
_MOUNTS = Path("/run/argosy/kexec")


def main() -> int:
    """Entry point of /usr/lib/argosy/kexec-load."""
    try:
        if read_settings().reboot_method != "kexec":
            return 0
        _load()
    except ArgosyError as error:
        print(describe(error, "kexec-load"), file=sys.stderr)
        print("rebooting through firmware and boot loader instead", file=sys.stderr)
        return error.exit_code
    return 0


def _load() -> None:
    oem_configuration = read_oem(OEM, _MOUNTS / "oem")
    with esp.mounted(esp.device(), _MOUNTS / "esp") as folder:
        loaded = load_next(this_machine(folder), oem_configuration)
    LOADED.touch()
    print(f"rebooting into slot {loaded.slot.upper()}, version {loaded.version}, by kexec")

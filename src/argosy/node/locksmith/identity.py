"""The edge: who this machine is."""

from __future__ import annotations

import socket
from pathlib import Path

from argosy.base.errors import ArgosyError
from argosy.node.locksmith.model import Identity

_MACHINE_ID = Path("/etc/machine-id")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def identity() -> Identity:
    """This machine's, in this boot. Raises `ArgosyError`."""
    try:
        machine_id = _MACHINE_ID.read_text().strip()
    except OSError as error:
        raise ArgosyError("Cannot read machine-id", hint=f"{_MACHINE_ID}: {error.strerror}") from error
    if not machine_id:
        raise ArgosyError("Cannot read machine-id", hint=f"{_MACHINE_ID} is empty")
    return Identity(machine_id, _BOOT_ID.read_text().strip(), socket.gethostname())

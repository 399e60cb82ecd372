"""The edge: who is at a terminal of this machine, and telling them something.

Terminals are those of /dev/pts that belong to a user: what ssh or a multiplexer opened. Root's are consoles
of containers, and what sudo opens beside its user's.
"""

from __future__ import annotations

import contextlib
import os
import pwd
from pathlib import Path

FOLDER = Path("/dev/pts")


def at_terminals(folder: Path = FOLDER) -> dict[Path, str]:
    """Terminals and the names of their users, without root."""
    found = {}
    for path in sorted(folder.glob("[0-9]*")):
        with contextlib.suppress(FileNotFoundError):
            if uid := path.stat().st_uid:
                found[path] = _name(uid)
    return found


def tell(text: str, folder: Path = FOLDER) -> None:
    """Write to all terminals; one that takes nothing is left out."""
    for path in at_terminals(folder):
        with contextlib.suppress(OSError):
            terminal = os.open(path, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
            try:
                os.write(terminal, f"\r\n{text}\r\n".encode())
            finally:
                os.close(terminal)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)

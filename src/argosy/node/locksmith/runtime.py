"""The edge: files under /run, which are there until the next boot."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import TypeVar

import msgspec

from argosy.base.decode import encode_json
from argosy.base.errors import ArgosyError
from argosy.base.files import LockedError, locked, replace_file
from argosy.formats.rebootwhy import State, Why
from argosy.node.locksmith.model import Memory, Strategy

log = logging.getLogger(__name__)

T = TypeVar("T")

FOLDER = Path("/run/locksmith")
COORDINATOR = Path("/run/update-engine/coordinator.conf")


class Runtime:
    """What locksmithd remembers and says, and what users told it."""

    def __init__(self, folder: Path = FOLDER, coordinator: Path = COORDINATOR) -> None:
        self.folder = folder
        self._coordinator = coordinator

    def alone(self) -> contextlib.AbstractContextManager[None]:
        """Only one locksmithd runs. Raises `LockedError`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return locked(self.folder / "lock", busy="another locksmithd runs on this machine")

    def is_running(self) -> bool:
        """Whether a locksmithd runs."""
        if not (self.folder / "lock").exists():
            return False
        try:
            with self.alone():
                return False
        except (LockedError, PermissionError):
            return True

    def memory(self) -> Memory:
        """What was remembered; a damaged file says nothing."""
        return self._read("memory.json", Memory) or Memory()

    def remember(self, memory: Memory) -> None:
        """Keep it, for a locksmithd that comes after a crash."""
        self._write("memory.json", memory)

    def postponed_until_s(self) -> float | None:
        """Until when users put the reboot off, on the clock of this boot."""
        return self._read("postponed.json", float)

    def postpone(self, until_s: float) -> None:
        """Put the reboot off. Raises `ArgosyError` the second time."""
        if self.postponed_until_s() is not None:
            raise ArgosyError(
                "the reboot was put off once already",
                hint="REBOOT_STRATEGY=off in /etc/coreos/update.conf keeps this machine from rebooting",
            )
        self._write("postponed.json", until_s)

    def why(self) -> Why | None:
        """The last answer to why."""
        return self._read("why.json", Why)

    def tell(self, why: Why) -> None:
        """Answer why, until further notice."""
        self._write("why.json", why)

    def coordinate(self, strategy: Strategy | None, state: State) -> None:
        """The state file, in the original's words and order."""
        self._coordinator.parent.mkdir(parents=True, exist_ok=True)
        text = f"NAME=locksmithd\nSTRATEGY={strategy or ''}\nSTATE={state}\n"
        replace_file(self._coordinator, text.encode())

    def _read(self, name: str, kind: type[T]) -> T | None:
        path = self.folder / name
        try:
            return msgspec.json.decode(path.read_bytes(), type=kind)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            log.warning("%s is damaged: %s", path, error)
            return None

    def _write(self, name: str, value: object) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        replace_file(self.folder / name, encode_json(value))

"""How far an update has got: a small file that makes it resumable, and tells of an unfinished one.

It is there from before the first write until the update is armed or given up. `operations_done` counts, in
the payload's order, what is certainly on the disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from argosy.base.decode import decode_json, encode_json
from argosy.base.errors import InputError
from argosy.base.files import replace_file, sync_folder


@dataclass(frozen=True, slots=True)
class Progress:
    """An unfinished update: `signed_sha256` names the payload, by its header and manifest."""

    signed_sha256: str
    slot: str
    operations_done: int


class Journal:
    """The file. Every change is durable when the method returns."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def exists(self) -> bool:
        """Whether an update is unfinished."""
        return self._path.exists()

    def read(self) -> Progress | None:
        """What is unfinished; None if nothing is, or the file is not ours (then all is done anew)."""
        try:
            return decode_json(self._path.read_bytes(), Progress, source=str(self._path))
        except (FileNotFoundError, InputError):
            return None

    def write(self, progress: Progress) -> None:
        """Remember it."""
        replace_file(self._path, encode_json(progress))

    def remove(self) -> None:
        """Nothing is unfinished."""
        self._path.unlink(missing_ok=True)
        sync_folder(self._path.parent)

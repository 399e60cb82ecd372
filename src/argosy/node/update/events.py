"""What the update service is to hear, kept on disk until it has heard it."""

from __future__ import annotations

from pathlib import Path

from argosy.base.decode import decode_json, encode_json
from argosy.base.errors import InputError
from argosy.base.files import replace_file
from argosy.formats.omaha.model import Event

KEPT = 50
_REASON_CHARACTERS = 500


class EventQueue:
    """Events in their order. When the service stays away for long, the oldest are forgotten."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def waiting(self) -> tuple[Event, ...]:
        """The events that are still to be told. A file that is not ours holds none."""
        try:
            return decode_json(self._path.read_bytes(), tuple[Event, ...], source=str(self._path))
        except (FileNotFoundError, InputError):
            return ()

    def add(self, *events: Event) -> None:
        """Remember events, durably. Raises `OSError`."""
        if events:
            self._write((*self.waiting(), *events))

    def told(self, events: tuple[Event, ...]) -> None:
        """The service has heard these."""
        waiting = self.waiting()
        if events and waiting[: len(events)] == events:
            self._write(waiting[len(events) :])

    def _write(self, events: tuple[Event, ...]) -> None:
        replace_file(self._path, encode_json(events[-KEPT:]))


def short(reason: str) -> str:
    """A reason that fits into an attribute: one line, not endless."""
    return " ".join(reason.split())[:_REASON_CHARACTERS]

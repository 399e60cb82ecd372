"""The edge: /var/lib/update_engine, what the engine remembers from one start to the next."""

from __future__ import annotations

import logging
from pathlib import Path

from argosy.base.decode import decode_json, encode_json
from argosy.base.errors import InputError
from argosy.base.files import replace_file
from argosy.node.update.events import EventQueue
from argosy.node.update.journal import Journal
from argosy.node.update.model import State

log = logging.getLogger(__name__)

FOLDER = Path("/var/lib/update_engine")


class Store:
    """The files of one folder, which is made if it is missing."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.journal = Journal(folder / "progress.json")
        self.events = EventQueue(folder / "events.json")
        self._state = folder / "state.json"

    def read(self) -> State:
        """What is remembered; nothing, if the file is missing or not ours."""
        try:
            return decode_json(self._state.read_bytes(), State, source=str(self._state))
        except FileNotFoundError:
            return State()
        except InputError as error:
            log.warning("what was remembered is lost, and starts anew: %s", error)
            return State()

    def write(self, state: State) -> None:
        """Remember, durably. Raises `OSError`."""
        replace_file(self._state, encode_json(state))

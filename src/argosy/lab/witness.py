"""Who watches while something else happens, and keeps a log of what was seen."""

from __future__ import annotations

import json
import threading
from abc import ABC, abstractmethod
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from typing import Self


class Witness(ABC):
    """Watches from its start to its end, in a thread of its own; used as a context manager.

    `log` gets a line of JSON for whatever is seen. What goes wrong in the thread is raised at the end.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name=type(self).__name__)
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    @abstractmethod
    def _watch(self, log: TextIO) -> None:
        """Watch until `_end` is set."""

    def _run(self) -> None:
        try:
            with self._log.open("w") as log:
                self._watch(log)
        except BaseException as failure:
            self._failure = failure


def write(log: TextIO, seen: Any) -> None:
    """One line, of a dataclass."""
    log.write(json.dumps(asdict(seen)) + "\n")
    log.flush()


def now() -> str:
    """The time in logs: UTC, ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")

"""The edge: tells the update service how far a download is, beside the work, which it does not slow down."""

from __future__ import annotations

import threading

from argosy.formats.omaha.model import Progress, Stage, Withdrawn
from argosy.node.update import omaha
from argosy.node.update.problems import UpdateError, withdrawn_problem
from argosy.node.update.tasks import InstallTask

_EVERY_S = 3.0
_TIMEOUT_S = 10.0


class Teller:
    """A thread of its own from the first word until `end`; it tells nothing if the service reads nothing.

    `line` is held by whoever speaks to the service, so that it hears everything in its order.
    """

    def __init__(self, task: InstallTask, every_s: float = _EVERY_S) -> None:
        self.line = threading.Lock()
        self._task = task
        self._every_s = every_s
        self._current: Progress | None = None
        self._withdrawn: Withdrawn | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="teller", daemon=True)

    def moved(self, position: int) -> None:
        """So many bytes are here. Raises `UpdateError` if the service has withdrawn the version."""
        if self._withdrawn:
            raise UpdateError(withdrawn_problem(self._withdrawn.version, self._withdrawn.reason))
        share = min(100 * position // max(self._task.offer.size_bytes, 1), 100)
        self._say(Progress(Stage.DOWNLOADING, self._task.offer.version, share))

    def verifying(self) -> None:
        """All is here, and read back."""
        self._say(Progress(Stage.VERIFYING, self._task.offer.version))

    def end(self) -> None:
        """Say no more; what is being said now is said to its end."""
        with self.line:
            self._ended.set()

    def _say(self, progress: Progress) -> None:
        if not self._task.tells_progress:
            return
        self._current = progress
        if not self._thread.is_alive() and not self._ended.is_set():
            self._thread.start()

    def _run(self) -> None:
        told = None
        while not self._ended.wait(self._every_s):
            current = self._current
            if current is None or current == told:
                continue
            with self.line:
                if self._ended.is_set():
                    return
                answer = omaha.ask(
                    self._task.server, omaha.request(self._task.machine, progress=self._current), _TIMEOUT_S
                )
            told = current if answer.heard else told
            self._withdrawn = answer.withdrawn or self._withdrawn

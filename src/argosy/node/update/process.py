"""The edge: the worker as a process of its own. Proxies come with its environment: no `ps` shows them.

Only the last word before a reboot is said by the daemon itself: a process would not be up in time.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Protocol

from argosy.base.decode import decode_json, encode_json
from argosy.base.errors import ArgosyError
from argosy.base.lean import with_openssl
from argosy.base.run import converse
from argosy.node.update.model import Answer
from argosy.node.update.tasks import CheckTask, Report, Task

log = logging.getLogger(__name__)

_CHECK_TIMEOUT_S = 300.0
_LAST_WORD_S = 5.0


class Worker(Protocol):
    """Who does the tasks."""

    async def do(self, task: Task, proxies: Mapping[str, str], tell: Callable[[Report], None]) -> None:
        """Do a task, and tell how it goes. Raises `ArgosyError` if it ended without a result."""

    def last_word(self, task: CheckTask, proxies: Mapping[str, str]) -> Answer | None:
        """Say how far an update is, and nothing after that. None if there was no answer in time."""


class WorkerProcess:
    """`Worker` in a process that ends with its task."""

    async def do(self, task: Task, proxies: Mapping[str, str], tell: Callable[[Report], None]) -> None:
        """A check is given some minutes; an installation ends by itself, however slow the line is."""
        code = await converse(
            [sys.executable, "-I", "-m", "argosy.node.update.worker"],
            lambda line: tell(decode_json(line, Report, source="worker")),
            stdin=encode_json(task),
            env=environment(proxies),
            timeout_s=None if task.install else _CHECK_TIMEOUT_S,
        )
        if code != 0:
            raise ArgosyError(f"the worker ended with {code}", hint="the journal has its last words")

    def last_word(self, task: CheckTask, proxies: Mapping[str, str]) -> Answer | None:
        """In a thread that is left alone if it takes long: the machine does not wait for it."""
        answers: list[Answer] = []

        def ask() -> None:
            with_openssl()
            os.environ.update(environment(proxies))
            from argosy.node.update import omaha

            message = omaha.request(task.machine, progress=task.progress)
            answers.append(omaha.ask(task.server, message, _LAST_WORD_S))

        thread = threading.Thread(target=ask, name="last word", daemon=True)
        thread.start()
        thread.join(_LAST_WORD_S)
        return answers[0] if answers else None


def environment(proxies: Mapping[str, str]) -> dict[str, str]:
    """urllib's variables; an empty one in small letters makes it forget the one in capitals."""
    return {f"{scheme}_proxy": proxies.get(scheme, "") for scheme in ("http", "https", "no")}

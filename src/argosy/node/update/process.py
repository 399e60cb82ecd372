"""The edge: the worker as a process of its own. Proxies come with its environment: no `ps` shows them."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from typing import Protocol

from argosy.base.decode import decode_json, encode_json
from argosy.base.errors import ArgosyError
from argosy.base.run import converse
from argosy.node.update.tasks import Report, Task

log = logging.getLogger(__name__)

_CHECK_TIMEOUT_S = 300.0


class Worker(Protocol):
    """Who does the tasks."""

    async def do(self, task: Task, proxies: Mapping[str, str], tell: Callable[[Report], None]) -> None:
        """Do a task, and tell how it goes. Raises `ArgosyError` if it ended without a result."""


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


def environment(proxies: Mapping[str, str]) -> dict[str, str]:
    """urllib's variables; an empty one in small letters makes it forget the one in capitals."""
    return {f"{scheme}_proxy": proxies.get(scheme, "") for scheme in ("http", "https", "no")}

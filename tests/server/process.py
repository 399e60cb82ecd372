"""`argosy serve` as a process of its own, started and ended as a user or systemd would."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from argosy.base.run import start_detached
from argosy.server.database import sqlite_url


@dataclass
class Server:
    """A server on loopback with its database in `folder`; it takes a free port, and keeps it.

    The keys that it trusts are in `folder` too.
    """

    folder: Path
    port: int = 0
    pid: int = 0

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.end(signal.SIGKILL)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def keys(self) -> Path:
        return self.folder / "keys"

    @property
    def token_file(self) -> Path:
        return self.folder / "server-token"

    @property
    def token(self) -> str:
        return self.token_file.read_text().strip()

    @property
    def log(self) -> str:
        path = self.folder / "server.log"
        return path.read_text() if path.exists() else ""

    def start(self) -> None:
        """Run it, and return once it answers."""
        before = len(self.log)
        words = ["serve", "--listen", f"127.0.0.1:{self.port}"]
        words += ["--database", sqlite_url(self.folder / "server.sqlite")]
        self.pid = start_detached(
            [sys.executable, "-m", "argosy", *words],
            log=self.folder / "server.log",
            env={"ARGOSY_KEYS": str(self.keys)},
        )
        deadline = time.monotonic() + 60
        while not (found := re.search(r"listening on http://127\.0\.0\.1:(\d+)\n", self.log[before:])):
            assert os.waitpid(self.pid, os.WNOHANG) == (0, 0), self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)
        self.port = int(found[1])

    def end(self, number: signal.Signals) -> int:
        """End it by a signal; returns its exit code, negative if the signal ended it."""
        if not self.pid:
            return 0
        os.kill(self.pid, number)
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)

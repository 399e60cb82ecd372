"""A cluster of three containers, of one test's own."""

from __future__ import annotations

import sys
from pathlib import Path

from argosy.base.run import Completed, run

MACHINES = ("core-01", "core-02", "core-03")


class Containers:
    """Someone who runs `argosy` for the cluster `name`, whose files are in `state`."""

    def __init__(self, name: str, state: Path) -> None:
        self._name = name
        self._env = {"XDG_STATE_HOME": str(state)}

    def argosy(self, word: str, *words: str | Path) -> Completed:
        command = [sys.executable, "-m", "argosy", word, "--name", self._name, *words]
        return run(command, env=self._env, check=False, timeout_s=600)

    def ssh(self, machine: str, line: str) -> str:
        """What a command prints there; nothing if the machine is down, or the command fails."""
        done = self.argosy("ssh", machine, "--", line)
        return done.text if done.returncode == 0 else ""

    def boot(self, machine: str) -> str:
        """Which boot it is in; empty if it is down."""
        return self.ssh(machine, "cat /proc/sys/kernel/random/boot_id")

    def boots(self) -> dict[str, str]:
        """Of all machines."""
        return {name: self.boot(name) for name in MACHINES}

"""Does etcd keep its quorum? Whichever machine answers is asked every two seconds, and a log is kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from argosy.base.run import CommandError, run
from argosy.lab import ssh
from argosy.lab.model import Machine, Site
from argosy.lab.witness import Witness, now, write

EVERY_S = 2.0
# While members choose a leader, what they are asked waits: two elections fit into this.
PATIENCE_S = 15.0
_ANSWER_WITHIN_S = 20.0


@dataclass(frozen=True, slots=True)
class Sample:
    """When (UTC, ISO 8601), and whose member read something through the quorum in time; None: nobody's."""

    at: str
    by: str | None


class QuorumWatch(Witness):
    """`samples` and `without` (how many of them found no quorum) may be read at any time."""

    def __init__(
        self,
        ask: Callable[[str], bool],
        machines: Iterable[str],
        log: Path,
        *,
        every_s: float = EVERY_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        super().__init__(log)
        self._ask = ask
        self._machines = list(machines)
        self._every_s = every_s
        self._patience_s = patience_s
        self.samples = 0
        self.without = 0

    def _watch(self, log: TextIO) -> None:
        while not self._end.wait(self._every_s):
            sample = Sample(now(), self._look())
            self.samples += 1
            self.without += sample.by is None
            write(log, sample)

    def _look(self) -> str | None:
        """Asks first who answered last; all again, until the patience is at its end."""
        deadline = time.monotonic() + self._patience_s
        while True:
            for name in list(self._machines):
                if self._ask(name):
                    self._machines.remove(name)
                    self._machines.insert(0, name)
                    return name
            if time.monotonic() > deadline:
                return None
            time.sleep(min(1.0, self._patience_s / 10))


def question(port: int = 2379) -> str:
    """A line for bash on a member's machine: exits with 0 if the member can read through the quorum.

    That is what /health does (etcd 3.5, server/etcdserver/api/etcdhttp). bash alone asks: any other program
    costs an emulated machine more than the answer.
    """
    return (
        f"exec 3<>/dev/tcp/127.0.0.1/{port} && printf 'GET /health HTTP/1.0\\r\\n\\r\\n' >&3"
        """ && { read -r -d '' answer <&3; [[ $answer == *'"health":"true"'* ]]; }"""
    )


def over_ssh(site: Site) -> Callable[[str], bool]:
    """Ask the member of a machine of the cluster, by the machine's name."""
    machines: dict[str, Machine] = {machine.name: machine for machine in site.cluster.machines}

    def ask(name: str) -> bool:
        machine = machines[name]
        words = ssh.command(site, machine, [question()])
        try:
            done = run(words, env=ssh.environment(site, machine), check=False, timeout_s=_ANSWER_WITHIN_S)
        except CommandError:
            ssh.close(site, machine)
            return False
        return done.returncode == 0

    return ask

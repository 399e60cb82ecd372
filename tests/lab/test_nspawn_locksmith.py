"""Machines that reboot in turn while all goes wrong: locksmithd is killed, the holder loses its power."""

from __future__ import annotations

import base64
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from argosy.base.run import Completed, run

pytestmark = [pytest.mark.root, pytest.mark.timeout(900)]

_MACHINES = ("core-01", "core-02", "core-03")
_WITHIN_S = 400.0
_KEY = "coreos.com/updateengine/rebootlock/semaphore"


class Site:
    """A cluster of three, of this test alone."""

    def __init__(self, state: Path) -> None:
        self._env = {"XDG_STATE_HOME": str(state)}

    def argosy(self, word: str, *words: str | Path) -> Completed:
        command = [sys.executable, "-m", "argosy", word, "--name", "locks", *words]
        return run(command, env=self._env, check=False, timeout_s=600)

    def ssh(self, machine: str, line: str) -> str:
        """What a command prints there; nothing if the machine is down."""
        done = self.argosy("ssh", machine, "--", line)
        return done.text if done.returncode == 0 else ""

    def boots(self) -> dict[str, str]:
        return {name: self.ssh(name, "cat /proc/sys/kernel/random/boot_id") for name in _MACHINES}

    def hosts_that_hold(self) -> list[str]:
        """The names of the holders, as whichever machine answers first says it."""
        for name in _MACHINES:
            if answer := self.ssh(name, "locksmithctl status --json"):
                return [holder["host"] for holder in json.loads(answer)["holders"]]
        return ["nobody answers"]

    def most_holders_ever(self) -> int:
        """From etcd's history of the semaphore."""
        command = f"timeout 5 etcdctl watch {_KEY} --rev=1 -w json; true"
        answers = [json.loads(line) for line in self.ssh("core-01", command).splitlines()]
        values = [event["kv"]["value"] for answer in answers for event in answer["Events"]]
        assert len(values) >= 2 * len(_MACHINES), "each machine took and gave back the lock"
        return max(len(_semaphore(value)["holders"] or ()) for value in values)


def _semaphore(value: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = json.loads(base64.b64decode(value))
    return found


@pytest.fixture
def site(tmp_path: Path, release: Path) -> Iterator[Site]:
    site = Site(tmp_path / "state")
    try:
        up = site.argosy("up", "--driver", "nspawn", "-n", "3", "--release", release)
        assert up.returncode == 0, up.stderr.decode()
        yield site
    finally:
        site.argosy("destroy")


def test_all_reboot_one_after_another_whatever_is_killed(site: Site) -> None:
    before = site.boots()
    for name in _MACHINES:
        site.ssh(name, "sudo locksmithctl send-need-reboot")
    cut = ""
    deadline = time.monotonic() + _WITHIN_S
    while True:
        assert time.monotonic() < deadline, [site.ssh(name, "locksmithctl why") for name in _MACHINES]
        holders = site.hosts_that_hold()
        boots = site.boots()
        if not holders and all(boots[name] not in ("", before[name]) for name in _MACHINES):
            break
        if holders and holders[0] in _MACHINES and not cut:
            # In whichever state it is: about to go down, down, or on its way back.
            cut = holders[0]
            assert site.argosy("kill", cut).returncode == 0
            time.sleep(5)
            assert site.hosts_that_hold() == [cut]
            assert site.argosy("start", cut).returncode == 0
        for name in _MACHINES:
            site.ssh(name, "sudo systemctl kill --signal=KILL locksmithd")
        time.sleep(2)
    assert cut
    assert site.most_holders_ever() == 1

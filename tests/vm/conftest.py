"""One cluster of three virtual machines for all tests that need one: booting it takes minutes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from argosy.base.progress import Silent
from argosy.image.build import Request, ensure_release, read_release
from argosy.lab.model import Machine, Site
from argosy.lab.store import Store

MACHINES = ("core-01", "core-02", "core-03")
COMMAND_TIMEOUT_S = 1500
PATIENCE_S = 300.0


def eventually(what: Callable[[], bool]) -> None:
    """Wait until it is so; an emulated machine on a busy host takes its time."""
    deadline = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(1)


@dataclass(frozen=True)
class Argosy:
    """The command `argosy`, as a user runs it, with a state folder of its own."""

    state: Path

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "XDG_STATE_HOME": str(self.state)}

    def try_(self, *words: str, timeout_s: float = COMMAND_TIMEOUT_S) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "argosy", *words],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )

    def __call__(self, *words: str) -> str:
        done = self.try_(*words)
        assert done.returncode == 0, (
            f"argosy {' '.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
        return done.stdout

    def on(self, machine: str, *words: str) -> str:
        return self("ssh", machine, "--", *words).strip()

    def status(self) -> Any:
        done = self.try_("status", "--json")
        status = json.loads(done.stdout)
        assert done.returncode == (0 if status["healthy"] else 1)
        return status

    @property
    def site(self) -> Site:
        return Store(self.state / "argosy" / "clusters").existing("argosy")

    def machine(self, name: str) -> Machine:
        machine = self.site.machine(name)
        assert machine
        return machine


@pytest.fixture(scope="module")
def cluster(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Argosy]:
    """Three machines that are a healthy cluster with the sample service."""
    argosy = Argosy(tmp_path_factory.mktemp("state"))
    try:
        argosy("up", "--release", str(release), "--example", "hello")
        yield argosy
    finally:
        argosy("destroy")


@pytest.fixture(scope="session")
def second(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a newer release of the same sources. Workers that run side by side share it."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    first = read_release(release).parsed_version
    request = Request(replace(first, patch=first.patch + 1), out=folder / "second")
    return ensure_release(request, Silent()).folder

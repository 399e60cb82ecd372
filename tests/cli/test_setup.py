"""`argosy setup` on this host, which the tests' own set-up has prepared: nothing may be left to do."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

SETUP = [sys.executable, "-m", "argosy", "setup"]


@pytest.mark.parametrize("options", [["--check"], ["--yes"], ["--tests", "--check"]])
def test_a_prepared_host_has_nothing_to_do(options: list[str]) -> None:
    done = subprocess.run([*SETUP, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("nothing to do: this host has all")


def test_nothing_to_do_is_said_at_once() -> None:
    """Half a second on a quiet host; other tests may keep the cores busy, so processor time is counted."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(SETUP, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5

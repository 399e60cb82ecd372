"""`argosy setup` on this host, which the tests' own set-up has prepared: nothing may be left to do."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

SETUP = [sys.executable, "-m", "argosy", "setup"]


@pytest.mark.parametrize("options", [["--check"], ["--yes"], ["--tests", "--check"]])
def test_a_prepared_host_has_nothing_to_do(options: list[str]) -> None:
    done = subprocess.run([*SETUP, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("nothing to do: this host has all")


def test_nothing_to_do_is_said_at_once() -> None:
    seconds = []
    for _ in range(5):
        started = time.monotonic()
        subprocess.run(SETUP, stdin=subprocess.DEVNULL, capture_output=True, check=True)
        seconds.append(time.monotonic() - started)
    assert min(seconds) < 0.5

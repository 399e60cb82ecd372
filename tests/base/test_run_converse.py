"""A process that is talked to beside other work."""

from __future__ import annotations

import asyncio
import os
import sys
import time

import pytest

from argosy.base.run import CommandError, converse

ECHO = "import sys\nfor line in sys.stdin: print(line.upper(), end='', flush=True)\nsys.exit(3)"


def test_lines_and_exit_code() -> None:
    lines: list[str] = []
    code = asyncio.run(converse([sys.executable, "-c", ECHO], lines.append, stdin=b"one\ntwo\n"))
    assert (code, lines) == (3, ["ONE", "TWO"])


def test_a_process_that_does_not_listen_is_no_fault() -> None:
    assert asyncio.run(converse(["true"], print, stdin=b"x" * 1_000_000)) == 0


def test_it_ends_in_time() -> None:
    began_s = time.monotonic()
    with pytest.raises(CommandError, match=r"took longer than 0\.2 s"):
        asyncio.run(converse(["sleep", "60"], print, stdin=b"", timeout_s=0.2))
    assert time.monotonic() - began_s < 5


def test_it_ends_with_who_waits_for_it() -> None:
    pids: list[str] = []

    async def body() -> None:
        program = "import os,time; print(os.getpid(), flush=True); time.sleep(60)"
        task = asyncio.create_task(converse([sys.executable, "-c", program], pids.append, stdin=b""))
        while not pids:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(body())
    with pytest.raises(ProcessLookupError):
        os.kill(int(pids[0]), 0)


def test_what_is_not_there() -> None:
    with pytest.raises(CommandError, match="is not installed"):
        asyncio.run(converse(["/no/such/program"], print, stdin=b""))

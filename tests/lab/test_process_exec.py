"""A marked process is found also in the instant in which it becomes another program."""

from __future__ import annotations

import os
from pathlib import Path

from argosy.lab import process


def test_found_while_it_executes_other_programs(tmp_path: Path) -> None:
    script = tmp_path / "again"
    script.write_text('[ "$1" -gt 0 ] || exec sleep 60\nexec sh "$0" $(($1 - 1))\n')
    pid = process.spawn("exec-test", "chain", ["sh", script, "1500"], log=tmp_path / "log")
    seen = 0
    try:
        while "sleep" not in Path(f"/proc/{pid}/comm").read_text():
            assert [found.pid for found in process.find("exec-test") if found.pid == pid] == [pid]
            seen += 1
    finally:
        process.end(process.find("exec-test"), grace_s=0)
        os.waitpid(pid, 0)
    assert seen > 20

from __future__ import annotations

from pathlib import Path

import pytest

from argosy.base.run import run


def test_a_command_reads_a_file_without_our_reading_it(tmp_path: Path) -> None:
    file = tmp_path / "input"
    file.write_bytes(b"\0\n" * 100_000)
    assert run(["cat"], stdin=file).stdout == file.read_bytes()
    assert run(["cat"], stdin=b"bytes").stdout == b"bytes"
    assert run(["cat"]).stdout == b""


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        run(["cat"], stdin=tmp_path / "missing")

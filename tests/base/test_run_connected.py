"""Processes that talk through a socket."""

from __future__ import annotations

import pytest

from argosy.base.run import CommandError, start_connected


def test_what_is_written_comes_back_and_the_end_is_seen() -> None:
    with start_connected(["cat"]) as channel:
        channel.sendall(b"there and back")
        assert channel.recv(100) == b"there and back"


def test_the_end_of_the_process_is_the_end_of_the_stream() -> None:
    with start_connected(["printf", "%s", "all"]) as channel:
        assert channel.recv(100) == b"all"
        assert channel.recv(100) == b""


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(CommandError, match="not installed"):
        start_connected(["no-such-program"])

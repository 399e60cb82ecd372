"""Fixtures of the server's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.server.process import Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A running server, for this test alone."""
    with Server(tmp_path) as server:
        yield server

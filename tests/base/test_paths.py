"""The folders of ours, and the files that come with the program; from a wheel: tests/cli/test_install.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from argosy.base import paths
from argosy.base.errors import ArgosyError

REPOSITORY = Path(__file__).parents[2]


def test_shipped_files_are_those_of_the_checkout() -> None:
    assert paths.shipped("packages/debian.txt") == REPOSITORY / "packages/debian.txt"


def test_a_missing_file_is_an_error_for_a_person() -> None:
    with pytest.raises(ArgosyError, match="missing beside the program"):
        paths.shipped("no-such-folder")


def test_xdg_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.setenv("XDG_STATE_HOME", "/var/state")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert paths.state_folder() == Path("/var/state/argosy")
    assert paths.cache_folder() == Path("/home/ann/.cache/argosy")
    assert paths.data_folder() == Path("/home/ann/.local/share/argosy")

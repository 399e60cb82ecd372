"""The files that come with the program are found in this checkout. (tests/cli/test_install.py: in a wheel.)"""

from __future__ import annotations

from pathlib import Path

import pytest

from argosy.base.data import data_path
from argosy.base.errors import ArgosyError

REPOSITORY = Path(__file__).parents[2]


def test_found_beside_the_source() -> None:
    assert data_path("packages/debian.txt") == REPOSITORY / "packages/debian.txt"


def test_missing_is_an_error_for_a_person() -> None:
    with pytest.raises(ArgosyError, match="lacks `no-such-folder`"):
        data_path("no-such-folder")

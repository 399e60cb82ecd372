"""Tables: aligned, and nothing in them steers a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.cli.columns import print_columns, visible


def test_columns(capsys: pytest.CaptureFixture[str]) -> None:
    print_columns([("NAME", "WHY"), ("a", "x"), ("longer", "\x1b[2Jy\n")])
    assert (
        capsys.readouterr().out
        == "NAME    WHY\na       x\nlonger  \N{REPLACEMENT CHARACTER}[2Jy\N{REPLACEMENT CHARACTER}\n"
    )


@given(st.text())
def test_what_is_shown_is_printable(text: str) -> None:
    assert visible(text).isprintable()
    assert len(visible(text)) == len(text)

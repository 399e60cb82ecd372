"""What the journal gets, and what a terminal gets."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import logging, sys
from argosy.base.log import set_up_logging
set_up_logging(verbose="-v" in sys.argv)
logger = logging.getLogger("a.room")
logger.debug("detail")
logger.info("two\\nlines")
logger.warning("careful")
logger.error("broken")
"""


def logged(*argv: str, **env: str) -> list[str]:
    environment = {key: value for key, value in os.environ.items() if key != "JOURNAL_STREAM"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *argv],
        env={**environment, **env},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_journal_lines_all_carry_their_priority() -> None:
    assert logged(JOURNAL_STREAM="8:1") == ["<6>two", "<6>lines", "<4>careful", "<3>broken"]


@pytest.mark.parametrize(("argv", "first"), [((), "two"), (("-v",), "detail")])
def test_a_terminal_gets_plain_text(argv: tuple[str, ...], first: str) -> None:
    lines = logged(*argv)
    assert lines[0] == first
    assert lines[-2:] == ["careful", "broken"]

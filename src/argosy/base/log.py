"""Logging to standard error, for the journal or a terminal.

Under systemd every line carries its priority as sd-daemon(3) defines (`<3>` error ... `<7>` debug), so that
`journalctl -p err` works. No secret is ever logged.
"""

from __future__ import annotations

import logging
import os
import sys

_PRIORITY = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}


class _JournalFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{_PRIORITY.get(record.levelno, 6)}>"
        return "\n".join(prefix + line for line in super().format(record).splitlines())


def set_up_logging(*, verbose: bool = False) -> None:
    """Send all loggers' records to standard error; called once, by a program's entry point."""
    handler = logging.StreamHandler(sys.stderr)
    under_journal = "JOURNAL_STREAM" in os.environ
    handler.setFormatter(
        _JournalFormatter("%(message)s") if under_journal else logging.Formatter("%(message)s")
    )
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler], force=True)

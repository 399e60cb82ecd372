"""What apt says about its progress (pure)."""

from __future__ import annotations

import re
from dataclasses import dataclass

# apt's doc/progress-reporting: `dlstatus:PACKAGE:PERCENT:TEXT`, `pmstatus:...`, for APT::Status-Fd.
_STATUS = re.compile(r"(dlstatus|pmstatus|pmerror|pmconffile):([^:]*(?::\D[^:]*)?):([0-9.]+):(.*)")


@dataclass(frozen=True, slots=True)
class AptStatus:
    """How far apt is: `share` (0 to 1) counts downloads as the first half, installation as the second."""

    share: float
    text: str


def parse_status(line: str) -> AptStatus | None:
    """A line of APT::Status-Fd; None for any other line."""
    match = _STATUS.fullmatch(line.strip())
    if match is None:
        return None
    kind, _, percent, text = match.groups()
    share = min(float(percent), 100.0) / 200
    return AptStatus(share if kind == "dlstatus" else 0.5 + share, text)

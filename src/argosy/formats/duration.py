"""Durations as Go writes them (`time.ParseDuration`): `1h30m`, `90s`, `1.5h`."""

from __future__ import annotations

import re

_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+")


def parse_duration_s(text: str) -> float:
    """Seconds, 0 or more. Raises `ValueError`."""
    text = text.strip()
    if text == "0":
        return 0.0
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"`{text}` is not a duration such as 30m, 1h30m or 90s")
    return sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(text))


def spoken(seconds: float) -> str:
    """A duration for people: `40 s`, `12 min`, `3 h`, `5 days`."""
    if seconds < 100:
        return f"{max(0, round(seconds))} s"
    if seconds < 100 * 60:
        return f"{round(seconds / 60)} min"
    if seconds < 48 * 3600:
        return f"{round(seconds / 3600)} h"
    return f"{round(seconds / 86400)} days"

"""Reboot windows: when a machine may reboot. Pure; `now` carries the machine's time zone.

As in the original, a window begins at a time of the local clock, on one day of the week or on each, and lasts
for a length of real time, whatever the clock does meanwhile. Its end does not belong to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from argosy.formats.duration import parse_duration_s

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_START = re.compile(r"(?:([A-Za-z]+)\s+)?(\d{1,2}):(\d{1,2})")
_AHEAD_DAYS = 8


@dataclass(frozen=True, slots=True)
class Window:
    """`weekday` counts from Monday, 0; None is each day."""

    weekday: int | None
    start: time
    length_s: float

    def __str__(self) -> str:
        day = "" if self.weekday is None else f"{_DAYS[self.weekday].title()} "
        return f"{day}{self.start:%H:%M} for {timedelta(seconds=self.length_s)}"


def parse_windows(starts: str, lengths: str) -> tuple[Window, ...]:
    """`Mon 04:00, Thu 04:00` and `1h, 2h`, or one length for all. Raises `ValueError`."""
    if not starts and not lengths:
        return ()
    if not starts or not lengths:
        raise ValueError("REBOOT_WINDOW_START and REBOOT_WINDOW_LENGTH belong together: set both or neither")
    begins = [_parse_start(each) for each in starts.split(",")]
    seconds = [_parse_length_s(each) for each in lengths.split(",")]
    if len(seconds) == 1:
        seconds *= len(begins)
    if len(seconds) != len(begins):
        raise ValueError(f"{len(begins)} windows have {len(seconds)} lengths: write one, or one for each")
    return tuple(Window(day, start, length_s) for (day, start), length_s in zip(begins, seconds, strict=True))


def open_until(windows: Sequence[Window], now: datetime) -> datetime | None:
    """When the window that is open now ends, the last one if several are; None if none is open."""
    ends = [end for window in windows for start, end in _occurrences(window, now) if start <= now < end]
    return max(ends, default=None)


def next_open(windows: Sequence[Window], now: datetime) -> datetime | None:
    """When the next window begins after `now`."""
    starts = [start for window in windows for start, _ in _occurrences(window, now) if start > now]
    return min(starts, default=None)


def _occurrences(window: Window, now: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The window's occurrences around `now`: all that may be open, and the next one."""
    behind_days = int(window.length_s // 86400) + 2
    today = now.date()
    for offset in range(-min(behind_days, _AHEAD_DAYS), _AHEAD_DAYS + 1):
        day = today + timedelta(days=offset)
        if window.weekday in (None, day.weekday()):
            # Through UTC: differences between two times of one zone ignore its changes of the clock.
            start = datetime.combine(day, window.start, tzinfo=now.tzinfo).astimezone(UTC)
            yield start, start + timedelta(seconds=window.length_s)


def _parse_start(text: str) -> tuple[int | None, time]:
    match = _START.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"`{text.strip()}` is not the start of a window, such as 04:00 or Thu 04:00")
    day, hour, minute = match[1], int(match[2]), int(match[3])
    if day is not None and day.lower() not in _DAYS:
        raise ValueError(f"`{day}` is not a day: write one of {', '.join(each.title() for each in _DAYS)}")
    if hour > 23 or minute > 59:
        raise ValueError(f"`{hour}:{minute:02}` is not a time of day")
    return (None if day is None else _DAYS.index(day.lower())), time(hour, minute)


def _parse_length_s(text: str) -> float:
    length_s = parse_duration_s(text)
    if length_s <= 0:
        raise ValueError(f"a window of length `{text.strip()}` is never open")
    # Longer than the time to its next start, it is always open.
    return min(length_s, 7 * 86400.0)

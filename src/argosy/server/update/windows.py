"""Times of the week when updates may begin. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from argosy.base.errors import InputError
from argosy.formats.updateapi import DAYS, Window

_WEEK = 7


def zone(name: str) -> ZoneInfo:
    """The timezone of this name. Raises `InputError` if there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InputError(
            f"there is no timezone {name!r}", hint="for example Europe/Berlin, America/New_York or UTC"
        ) from error


def next_opening(windows: Sequence[Window], timezone: str, now: datetime) -> datetime | None:
    """When the next window opens, in its timezone; None if one is open at `now`, or there are no windows.

    A clock that is put forward or back moves the ends of a window with it: 02:00 is 02:00 on the wall.
    """
    if not windows:
        return None
    here = zone(timezone)
    spans = [span for window in windows for span in _spans(window, here, now.astimezone(here).date())]
    if any(start <= now < end for start, end in spans):
        return None
    return min(start for start, _ in spans if start > now).astimezone(here)


def _spans(window: Window, here: ZoneInfo, today: date) -> Iterator[tuple[datetime, datetime]]:
    """The window's times from yesterday, when it may have begun, to a week from now."""
    start, end = time.fromisoformat(window.start), time.fromisoformat(window.end)
    for offset in range(-1, _WEEK + 2):
        day = today + timedelta(days=offset)
        if DAYS[day.weekday()] in window.days:
            last = day if end > start else day + timedelta(days=1)
            span = _moment(day, start, here), _moment(last, end, here)
            if span[0] < span[1]:  # An hour that the clocks skip can leave nothing of it.
                yield span


def _moment(day: date, clock: time, here: ZoneInfo) -> datetime:
    # In UTC: datetimes of one zone would be compared by their clocks, which summer time puts back.
    return datetime.combine(day, clock, here).astimezone(UTC)

"""When updates may begin: days, nights that end on the next day, clocks that are put forward and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.base.errors import InputError
from argosy.formats.updateapi import DAYS, Window, parse_window
from argosy.server.update.windows import next_opening, zone


def opening(windows: str, timezone: str, now: str) -> str | None:
    """The next opening; `windows` are separated by `;`, `now` is in UTC."""
    found = next_opening(
        [parse_window(window) for window in windows.split(";") if window],
        timezone,
        datetime.fromisoformat(now).replace(tzinfo=UTC),
    )
    return f"{found.astimezone(UTC):%Y-%m-%d %H:%M}" if found else None


@pytest.mark.parametrize(
    ("windows", "timezone", "now", "expected"),
    [
        ("", "UTC", "2026-11-22 12:00", None),
        ("02:00-05:00", "UTC", "2026-11-22 02:00", None),
        ("02:00-05:00", "UTC", "2026-11-22 04:59", None),
        ("02:00-05:00", "UTC", "2026-11-22 05:00", "2026-11-23 02:00"),
        # A Sunday.
        ("mon-fri 09:00-17:00", "UTC", "2026-11-22 12:00", "2026-11-23 09:00"),
        ("mon-fri 09:00-17:00", "America/New_York", "2026-11-23 13:59", "2026-11-23 14:00"),
        ("mon-fri 09:00-17:00", "Europe/Berlin", "2026-11-27 16:30", "2026-11-30 08:00"),
        # Into the next day, and into the next week.
        ("sun 22:00-04:00", "UTC", "2026-11-23 03:59", None),
        ("sun 22:00-04:00", "UTC", "2026-11-23 04:00", "2026-11-29 22:00"),
        ("sat,sun 00:00-24:00", "UTC", "2026-11-22 23:59", None),
        ("sat,sun 00:00-24:00", "UTC", "2026-11-23 00:00", "2026-11-28 00:00"),
        ("mon 00:00-24:00", "Asia/Kolkata", "2026-11-22 18:30", None),
        ("wed 10:00-11:00;tue 20:00-21:00", "UTC", "2026-11-22 00:00", "2026-11-24 20:00"),
        # Berlin puts its clocks forward on 2027-03-28 at 02:00 and back on 2026-10-25 at 03:00.
        ("01:30-03:30", "Europe/Berlin", "2027-03-28 00:29", "2027-03-28 00:30"),
        ("01:30-03:30", "Europe/Berlin", "2027-03-28 01:29", None),
        ("01:30-03:30", "Europe/Berlin", "2027-03-28 01:30", "2027-03-28 23:30"),
        (
            "02:30-03:10",
            "Europe/Berlin",
            "2027-03-28 00:00",
            "2027-03-29 00:30",
        ),  # left out: it would end first
        ("01:30-03:30", "Europe/Berlin", "2026-10-24 23:30", None),
        ("01:30-03:30", "Europe/Berlin", "2026-10-25 02:29", None),
        ("01:30-03:30", "Europe/Berlin", "2026-10-25 02:30", "2026-10-26 00:30"),
    ],
)
def test_the_next_opening(windows: str, timezone: str, now: str, expected: str | None) -> None:
    assert opening(windows, timezone, now) == expected


clocks = st.times().map(lambda time: f"{time:%H:%M}")
windows = st.builds(
    Window,
    st.sets(st.sampled_from(DAYS), min_size=1).map(lambda days: tuple(d for d in DAYS if d in days)),
    clocks,
    clocks,
)
moments = st.datetimes(datetime(2026, 1, 1), datetime(2028, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))
zones = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"])


@given(st.lists(windows, min_size=1, max_size=3), zones, moments)
def test_the_opening_is_within_eight_days_and_open(
    chosen: list[Window], timezone: str, now: datetime
) -> None:
    found = next_opening(chosen, timezone, now)
    if found is None:
        return
    assert timedelta(0) < found - now <= timedelta(days=8)
    assert next_opening(chosen, timezone, found) is None


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../../etc/passwd", "Europe"])
def test_a_timezone_that_is_none(name: str) -> None:
    with pytest.raises(InputError, match="no timezone"):
        zone(name)

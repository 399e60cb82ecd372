"""Windows: tables, and what holds for all of them, in zones that change their clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.formats.duration import parse_duration_s, spoken
from argosy.node.locksmith.windows import next_open, open_until, parse_windows

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = [UTC, BERLIN, ZoneInfo("America/New_York"), ZoneInfo("Australia/Lord_Howe"), ZoneInfo("Asia/Kolkata")]


@pytest.mark.parametrize(
    ("starts", "lengths", "now", "is_open"),
    [
        ("04:00", "1h", "2026-11-22 04:00", True),
        ("04:00", "1h", "2026-11-22 04:59", True),
        ("04:00", "1h", "2026-11-22 05:00", False),
        ("04:00", "1h", "2026-11-22 03:59", False),
        ("23:30", "1h", "2026-11-22 00:29", True),
        ("23:30", "1h", "2026-11-22 00:30", False),
        ("Sun 04:00", "1h", "2026-11-22 04:30", True),  # a Sunday
        ("sun 4:0", "1h", "2026-11-22 04:30", True),
        ("Mon 04:00", "1h", "2026-11-22 04:30", False),
        ("Sat 23:00", "2h", "2026-11-22 00:30", True),
        ("Mon 04:00, Sun 04:00", "1h", "2026-11-22 04:30", True),
        ("04:00,16:00", "1h,2h", "2026-11-22 17:30", True),
        ("04:00,16:00", "1h,2h", "2026-11-22 05:30", False),
        ("Sun 00:00", "168h", "2026-11-25 12:00", True),
        ("04:00", "36h", "2026-11-22 03:00", True),
    ],
)
def test_open(starts: str, lengths: str, now: str, is_open: bool) -> None:
    windows = parse_windows(starts, lengths)
    assert (open_until(windows, datetime.fromisoformat(now).replace(tzinfo=BERLIN)) is not None) == is_open


@pytest.mark.parametrize(
    ("starts", "lengths", "word"),
    [
        ("04:00", "", "both or neither"),
        ("", "1h", "both or neither"),
        ("Monday 04:00", "1h", "not a day"),
        ("24:00", "1h", "not a time of day"),
        ("04:60", "1h", "not a time of day"),
        ("4", "1h", "not the start"),
        ("04:00", "1", "not a duration"),
        ("04:00", "-1h", "not a duration"),
        ("04:00", "0", "never open"),
        ("04:00,05:00,06:00", "1h,2h", "3 windows have 2 lengths"),
    ],
)
def test_refused(starts: str, lengths: str, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        parse_windows(starts, lengths)


def test_no_windows() -> None:
    assert parse_windows("", "") == ()


def test_an_hour_that_comes_twice_and_one_that_never_comes() -> None:
    """Berlin, 2026: 29 March has no 02:30, 25 October has two."""
    window = parse_windows("02:30", "30m")
    spring = datetime(2026, 3, 29, 3, 30, tzinfo=BERLIN)
    assert open_until(window, spring) is not None
    first = datetime(2026, 10, 25, 2, 30, fold=0, tzinfo=BERLIN)
    again = datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=BERLIN)
    assert open_until(window, first) is not None
    assert open_until(window, again) is None
    long = parse_windows("01:30", "2h")
    end = open_until(long, datetime(2026, 10, 25, 1, 30, tzinfo=BERLIN))
    assert end == datetime(2026, 10, 25, 1, 30, tzinfo=BERLIN).astimezone(UTC) + timedelta(hours=2)


STARTS = st.builds(
    "{}{:02}:{:02}".format,
    st.sampled_from(["", "Mon ", "Wed ", "sat ", "SUN "]),
    st.integers(0, 23),
    st.integers(0, 59),
)
LENGTHS = st.integers(1, 9 * 24 * 60).map("{}m".format)
TIMES = st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.sampled_from(ZONES))


@given(st.lists(STARTS, min_size=1, max_size=4), LENGTHS, TIMES)
def test_after_now_or_open_now(starts: list[str], length: str, now: datetime) -> None:
    windows = parse_windows(",".join(starts), length)
    end = open_until(windows, now)
    opens = next_open(windows, now)
    assert opens is not None
    # Each window begins at least once a week, an hour of clock change apart.
    assert timedelta() < opens - now.astimezone(UTC) <= timedelta(days=7, hours=1)
    assert open_until(windows, opens.astimezone(now.tzinfo)) is not None
    if end is not None:
        assert end > now
        moment_before = end - timedelta(microseconds=1)
        assert open_until(windows, moment_before.astimezone(now.tzinfo)) is not None
    else:
        # Nothing opens in between.
        middle = now.astimezone(UTC) + (opens - now.astimezone(UTC)) / 2
        assert open_until(windows, middle.astimezone(now.tzinfo)) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("500ms", 0.5),
        ("0", 0),
        (".5m", 30),
        ("1m1us", 60.000001),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "1d", "-1h", "1h 30m", "h", "1e3s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration_s(text)


def test_durations_for_people() -> None:
    assert [spoken(seconds) for seconds in (-1, 40, 700, 3 * 3600, 5 * 86400)] == [
        "0 s",
        "40 s",
        "12 min",
        "3 h",
        "5 days",
    ]

"""The REST interface's text forms: windows and names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.base.decode import decode_json, encode_json
from argosy.base.errors import InputError
from argosy.formats.updateapi import DAYS, GroupChange, Window, is_name, parse_window, show_window

clocks = st.builds(lambda hour, minute: f"{hour:02d}:{minute:02d}", st.integers(0, 23), st.integers(0, 59))
windows = st.builds(
    Window,
    st.sets(st.sampled_from(DAYS), min_size=1).map(lambda chosen: tuple(d for d in DAYS if d in chosen)),
    clocks,
    clocks,
)


@given(windows)
def test_a_window_survives_its_text(window: Window) -> None:
    assert parse_window(show_window(window)) == window


@pytest.mark.parametrize(
    "text", ["mon-fri 22:00-04:00", "sat,sun 00:00-24:00", "mon-wed,fri,sun 01:00-02:00"]
)
def test_windows_are_shown_as_they_are_typed(text: str) -> None:
    assert show_window(parse_window(text)) == text


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("02:00-05:00", Window(DAYS, "02:00", "05:00")),
        ("Mon-Fri 22:00-04:00", Window(("mon", "tue", "wed", "thu", "fri"), "22:00", "04:00")),
        ("fri-mon 00:00-24:00", Window(("mon", "fri", "sat", "sun"), "00:00", "00:00")),
        ("sun,wed 09:30-10:00", Window(("wed", "sun"), "09:30", "10:00")),
    ],
)
def test_windows(text: str, window: Window) -> None:
    assert parse_window(text) == window


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mon",
        "mon- 1:00-2:00",
        "25:00-26:00",
        "24:00-01:00",
        "mon tue 10:00-11:00",
        "10:00",
        "xyz 10:00-11:00",
    ],
)
def test_not_a_window(text: str) -> None:
    with pytest.raises(InputError, match="is not a time of the week"):
        parse_window(text)


def test_a_change_says_only_what_changes() -> None:
    assert encode_json(GroupChange(safe_mode=True)) == b'{"safe_mode":true}'
    assert decode_json(b'{"windows": []}', GroupChange, source="a test") == GroupChange(windows=())


@pytest.mark.parametrize(
    ("text", "good"),
    [("stable", True), ("my.own-1_x", True), ("", False), ("a/b", False), ("-a", False), ("a" * 65, False)],
)
def test_names(text: str, good: bool) -> None:
    assert is_name(text) is good

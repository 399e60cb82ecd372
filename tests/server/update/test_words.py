"""Words for people, and the text forms that people type."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.base.errors import InputError
from argosy.formats.updateapi import DAYS, Policy, Window
from argosy.server.update.words import (
    ago_words,
    duration_words,
    machine_name,
    parse_duration_s,
    parse_rate,
    policy_words,
)

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@given(st.integers(1, 10**8))
def test_a_duration_survives_its_words(seconds: int) -> None:
    assert parse_duration_s(duration_words(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15min", 900), ("15m", 900), ("1h", 3600), ("2 d", 172800)]
)
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "0s", "-1h", "1.5h", "1 week", "90", "h", "1h30m"])
def test_not_a_duration(text: str) -> None:
    with pytest.raises(InputError, match="is not a length of time"):
        parse_duration_s(text)


@pytest.mark.parametrize(
    ("text", "rate"),
    [("10/1h", (10, 3600)), ("1/d", (1, 86400)), ("5 / 10min", (5, 600)), ("off", (0, 3600))],
)
def test_rates(text: str, rate: tuple[int, int]) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "0/1h", "10", "10/", "/1h", "-1/1h", "10/1x", "x/1h"])
def test_not_a_rate(text: str) -> None:
    with pytest.raises(InputError):
        parse_rate(text)


def test_policies() -> None:
    assert policy_words(Policy()) == ("1 h to finish",)
    policy = Policy(
        updates_enabled=False,
        rate_updates=3,
        rate_period_s=600,
        update_timeout_s=5400,
        windows=(Window(DAYS, "02:00", "05:00"), Window(("sat",), "00:00", "00:00")),
        timezone="Europe/Berlin",
        safe_mode=True,
    )
    assert policy_words(policy) == (
        "paused",
        "one machine first",
        "at most 3 in 10 min",
        "only 02:00-05:00 or sat 00:00-24:00 (Europe/Berlin)",
        "90 min to finish",
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "just now"),
        (0, "just now"),
        (59, "just now"),
        (60, "1 min ago"),
        (7199, "1 h ago"),
        (200000, "2 d ago"),
    ],
)
def test_ago(seconds: int, text: str) -> None:
    assert ago_words(NOW, NOW - timedelta(seconds=seconds)) == text


def test_names_of_machines() -> None:
    assert machine_name("3f9a51c2d8e94b7a", "") == "3f9a51c2"
    assert machine_name("{3F9A51C2-d8e9}", "rack4-07") == "rack4-07 (3F9A51C2)"

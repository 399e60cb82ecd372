"""When to ask the update service, and how long to leave a payload alone that failed: pure.

The numbers are update_engine's. All times are seconds of the boot clock (CLOCK_BOOTTIME), which goes on while
the machine sleeps and knows no jumps: a clock set wrong neither hurries nor delays an update.
"""

from __future__ import annotations

FIRST_CHECK_S = 7 * 60.0
INTERVAL_S = 45 * 60.0
FUZZ_S = 5 * 60.0
LONGEST_INTERVAL_S = 4 * 3600.0
SHORTEST_POLL_S = 60.0
LONGEST_POLL_S = 24 * 3600.0
LATE_START_S = 60.0
DAY_S = 86400.0
LONGEST_PAYLOAD_BACKOFF_DAYS = 16
PAYLOAD_FUZZ_S = 6 * 3600.0


def first_check_s(now_s: float, chance: float) -> float:
    """When to ask first: 7 +-5 minutes after boot. `chance` is in [0, 1).

    An engine that starts later than that (it was stopped) asks within a minute.
    """
    due_s = FIRST_CHECK_S + _fuzz(FUZZ_S, chance)
    return due_s if due_s > now_s else now_s + LATE_START_S * chance


def next_check_s(
    now_s: float,
    chance: float,
    *,
    busy_answers: int = 0,
    poll_s: int | None = None,
    wait_s: int | None = None,
) -> float:
    """When to ask again: after 45 +-5 minutes, or what the service asked for.

    `busy_answers` counts the answers in a row that said the service is overloaded or broken (HTTP 429, 5xx);
    each doubles the interval, to 4 hours at most. `poll_s` is the answer's PollInterval, `wait_s` its
    Retry-After; both are kept within a minute and a day.
    """
    interval_s = INTERVAL_S if poll_s is None else _bounded(poll_s, SHORTEST_POLL_S, LONGEST_POLL_S)
    fuzz_s = min(FUZZ_S, interval_s / 9)
    if busy_answers:
        longest_s = max(interval_s, LONGEST_INTERVAL_S)
        interval_s = min(interval_s * 2.0 ** min(busy_answers, 16), longest_s)
    if wait_s is not None:
        interval_s = max(interval_s, _bounded(wait_s, 0, LONGEST_POLL_S))
    return now_s + interval_s + _fuzz(fuzz_s, chance)


def payload_backoff_s(failures: int, chance: float) -> float:
    """How long a payload is left alone after its `failures`th failure: 1, 2, 4... 16 days +-6 hours."""
    days = min(2.0 ** min(failures - 1, 10), LONGEST_PAYLOAD_BACKOFF_DAYS)
    return days * DAY_S + _fuzz(PAYLOAD_FUZZ_S, chance)


def _fuzz(width_s: float, chance: float) -> float:
    return (chance * 2 - 1) * width_s


def _bounded(value: float, least: float, most: float) -> float:
    return min(max(value, least), most)

"""Policies, keys, times and sizes in words, the same on the page and on the command line."""

from __future__ import annotations

import re
from datetime import datetime

from argosy.base.errors import InputError
from argosy.formats.updateapi import Group, Key, Package, Policy, State, show_window

_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
_SECONDS = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"([1-9][0-9]{0,8})(s|min|m|h|d)")
_RATE = re.compile(r"([0-9]{1,9})/([0-9a-z]+)")

# Those first that an operator should look at.
STATES = (
    State.FELL_BACK,
    State.FAILED,
    State.PROBING,
    State.REBOOTING,
    State.INSTALLED,
    State.DOWNLOADED,
    State.DOWNLOADING,
    State.OFFERED,
    State.WAITING,
    State.CURRENT,
)


def duration_words(seconds: int) -> str:
    """`1 h`, `90 min`, `2 d`: the largest unit that fits exactly."""
    for unit, size_s in _UNITS:
        if seconds % size_s == 0 and seconds >= size_s:
            return f"{seconds // size_s} {unit}"
    return f"{seconds} s"


def parse_duration_s(text: str) -> int:
    """`90s`, `15min`, `1h`, `2d`. Raises `InputError`."""
    match = _DURATION.fullmatch(text.replace(" ", ""))
    if not match:
        raise InputError(f"{text!r} is not a length of time", hint="for example 90s, 15min, 1h or 2d")
    return int(match[1]) * _SECONDS[match[2]]


def parse_rate(text: str) -> tuple[int, int]:
    """`10/1h` as (updates, seconds); `off`: (0, an hour), which is no limit. Raises `InputError`."""
    if text == "off":
        return 0, 3600
    match = _RATE.fullmatch(text.replace(" ", ""))
    if not match or match[1] == "0":
        raise InputError(f"{text!r} is not a rate", hint="for example 10/1h: ten updates an hour; or `off`")
    period = match[2] if match[2][0].isdigit() else f"1{match[2]}"
    return int(match[1]), parse_duration_s(period)


def policy_words(policy: Policy) -> tuple[str, ...]:
    """What the policy asks for, one rule each; what is as usual is left out."""
    rules = [] if policy.updates_enabled else ["paused"]
    if policy.safe_mode:
        rules.append("one machine first")
    if policy.waves:
        rules.append(f"in waves of {', '.join(policy.waves)}, then the rest")
    if policy.at_once:
        rules.append(f"at most {policy.at_once} at once")
    if policy.rate_updates:
        rules.append(f"at most {policy.rate_updates} in {duration_words(policy.rate_period_s)}")
    if policy.windows:
        windows = " or ".join(map(show_window, policy.windows))
        rules.append(f"only {windows} ({policy.timezone})")
    if policy.poll_s:
        rules.append(f"asked about every {duration_words(policy.poll_s)}")
    rules.append(f"{duration_words(policy.update_timeout_s)} to finish")
    return tuple(rules)


def counts_words(group: Group) -> str:
    """`1 fell back, 3 current`, or `no machines`."""
    counted = [(group.counts.get(state.value, 0), state) for state in STATES]
    return ", ".join(f"{number} {state.value}" for number, state in counted if number) or "no machines"


def key_words(key: Key) -> str:
    """A key's name and id; a development key is called one."""
    return f"{key.name} {key.id}" + (" (development key)" if key.development else "")


def keys_words(package: Package) -> str:
    """The keys that signed a package."""
    return ", ".join(map(key_words, package.keys)) or "no key of ours"


def size_words(size_bytes: int) -> str:
    """`148.2 MB`."""
    return f"{size_bytes / 1e6:.1f} MB"


def ago_words(now: datetime, then: datetime) -> str:
    """`just now`, `4 min ago`, `3 h ago`, `2 d ago`."""
    seconds = (now - then).total_seconds()
    for unit, size_s in _UNITS[:-1]:
        if seconds >= size_s:
            return f"{int(seconds // size_s)} {unit} ago"
    return "just now"


def machine_name(id_: str, alias: str) -> str:
    """What people call a machine: its alias, and enough of its id."""
    short = id_.strip("{}")[:8]
    return f"{alias} ({short})" if alias else short

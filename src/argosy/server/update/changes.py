"""What operators may change, and how that is told. Pure."""

from __future__ import annotations

import re
from dataclasses import replace

from msgspec import UNSET

from argosy.base.errors import InputError
from argosy.formats import updateapi as api
from argosy.formats.shares import check_amount
from argosy.formats.version import parse_version
from argosy.server.update.catalogue import ROLLBACK, Application
from argosy.server.update.model import Channel, ConflictError, Group, NotFoundError, Package
from argosy.server.update.ordering import order
from argosy.server.update.windows import zone

_APPLICATION = re.compile(r"[A-Za-z0-9{}._-]{1,64}")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_STOCK_VERSION = re.compile(r"[0-9]+(\.[0-9]+){1,3}[A-Za-z0-9.+_-]{0,32}")
_LONGEST_PERIOD_S = 31 * 86400
_MOST_WAVES = 20
SHORTEST_POLL_S = 60
LONGEST_POLL_S = 86400


def earlier(known: Application, channel: Channel, version: str | None) -> Package:
    """What a channel had before its package: the last of an older version, or that `version`."""
    if channel.package is None:
        raise ConflictError(f"the channel {channel.name} has nothing to roll back from")
    now = order(channel.package.version)
    if version is not None and order(version) >= now:
        raise ConflictError(f"{version} is not older than {channel.name}'s {channel.package.version}")
    for turn in reversed(known.turns.get(channel.name, [])):
        if order(turn.version) < now and version in (None, turn.version):
            return known.packages[turn.sha256]
    raise ConflictError(
        f"{channel.name} never had {version}" if version else f"{channel.name} had nothing older before",
        hint="a channel goes back only to what it had",
    )


def check_turn(channel: Channel, package: Package, action: str) -> None:
    """Check that a channel may take a package. Raises `ConflictError`."""
    if order(package.version) < order(channel.floor):
        raise ConflictError(
            f"{package.version} is below the floor of {channel.name}, which is {channel.floor}"
        )
    if channel.package and action != ROLLBACK and order(package.version) <= order(channel.package.version):
        raise ConflictError(
            f"{channel.name} has {channel.package.version}, which is not older than {package.version}",
            hint="to go back, roll the channel back: argosy rollback-channel",
        )


def changed_channel(known: Application, channel: Channel, change: api.ChannelChange) -> Channel:
    """The channel as it will be. Raises `InputError`, `NotFoundError` or `ConflictError`."""
    if change.floor is not UNSET:
        parse_version(change.floor)
        if channel.package and order(change.floor) > order(channel.package.version):
            raise ConflictError(
                f"the floor {change.floor} is above what {channel.name} has: {channel.package.version}"
            )
        if order(change.floor) < order(channel.floor):
            raise ConflictError(
                f"the floor of {channel.name} is {channel.floor}: machines remember it, it cannot be lowered"
            )
        channel = replace(channel, floor=change.floor)
    if change.milestones is not UNSET:
        channel = replace(channel, milestones=_milestones(known, change.milestones))
    return channel


def _milestones(known: Application, versions: tuple[str, ...]) -> tuple[Package, ...]:
    found = [package for package in known.packages.values() if package.version in versions]
    missing = set(versions) - {package.version for package in found}
    if missing:
        raise NotFoundError(f"there is no package of version {min(missing)}", hint="upload its payload first")
    return tuple(sorted(found, key=lambda package: order(package.version)))


def channel_words(before: Channel | None, channel: Channel) -> str:
    """A change of a channel, for the events."""
    milestones = ", ".join(package.version for package in channel.milestones) or "none"
    made = "has" if before else "was made, with"
    return f"the channel {channel.name} {made} the floor {channel.floor}; not to be skipped: {milestones}"


def check_policy(policy: api.Policy) -> None:
    """Check what the types leave open. Raises `InputError`."""
    zone(policy.timezone)
    if policy.rate_updates < 0 or not 1 <= policy.rate_period_s <= _LONGEST_PERIOD_S:
        raise InputError("a rate is a number of updates in a period of up to 31 days")
    if len(policy.waves) > _MOST_WAVES:
        raise InputError(f"there are at most {_MOST_WAVES} waves")
    for amount in (*policy.waves, *([policy.at_once] if policy.at_once else [])):
        check_amount(amount)
    if policy.poll_s and not SHORTEST_POLL_S <= policy.poll_s <= LONGEST_POLL_S:
        raise InputError("machines ask once in a minute at most, and once in a day at least")
    if not 1 <= policy.update_timeout_s <= _LONGEST_PERIOD_S:
        raise InputError("an update's timeout is up to 31 days")
    for window in policy.windows:
        if not window.days or api.parse_window(api.show_window(window)) != window:
            raise InputError(
                "a window has days, a start and an end",
                hint='for example {"days": ["mon"], "start": "22:00", "end": "04:00"}',
            )


def check_stock_names(app: str, version: str, name: str) -> None:
    """Check what an operator calls a stock payload. Raises `InputError`."""
    for what, text, pattern in (
        ("application id", app, _APPLICATION),
        ("version", version, _STOCK_VERSION),
        ("file name", name, _FILE),
    ):
        if not pattern.fullmatch(text):
            raise InputError(f"{text[:80]!r} is not a valid {what}")


def group_words(before: Group | None, now: Group) -> str:
    """A change of a group, for the events."""
    if before is None:
        return f"the group {now.name} was made; it follows {now.channel.name}"
    words = []
    if before.channel.name != now.channel.name:
        words.append(f"follows {now.channel.name}")
    if before.policy.updates_enabled != now.policy.updates_enabled:
        words.append("updates again" if now.policy.updates_enabled else "is paused")
    names = [name for name in api.Policy.__slots__ if name != "updates_enabled"]
    changed = [name for name in names if getattr(before.policy, name) != getattr(now.policy, name)]
    if changed:
        words.append("has another policy: " + ", ".join(changed))
    return f"the group {now.name} {' and '.join(words)}"

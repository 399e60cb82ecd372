"""May this machine update now, to what, and why (not)? Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from argosy.formats.updateapi import State, Stop
from argosy.server.update.model import Activity, Asker, Channel, Decision, Grant, Group, Package
from argosy.server.update.ordering import order
from argosy.server.update.waves import at_once_limit, count, late, overdue, wave_limit
from argosy.server.update.windows import next_opening
from argosy.server.update.words import machine_name


def decide(asker: Asker, group: Group, activity: Activity, now_s: float) -> Decision:
    """The answer to a machine of `group` that asks for an update.

    What stands against any update of this machine comes first, then what stands against this version, then
    what stands against beginning now; so the reason is the one that would last longest.
    """
    found = _next_package(asker, group.channel)
    if isinstance(found, Decision):
        return found
    if found.version in asker.bad:
        return Decision(
            State.FELL_BACK, f"{found.version} failed on this machine: {asker.bad[found.version]}"
        )
    refusal = _off(group) or _stopped(group, found) or _unwanted(asker, found)
    if refusal:
        return Decision(State.WAITING, refusal)
    if asker.grant and asker.grant.version == found.version:
        return Decision(State.OFFERED, f"goes on with its update to {found.version}", found)
    others = _others(asker, group, activity)
    refusal = late_words(group, found.version, others, now_s) or outside_windows(group, now_s)
    if refusal:
        return Decision(State.WAITING, refusal)
    if turn := _not_its_turn(group, found, replace(activity, open=others), now_s):
        return Decision(State.WAITING, turn, soon=True)
    refusal = _too_many(group, activity, now_s) or _too_many_overdue(group, others.values(), now_s)
    if refusal:
        return Decision(State.WAITING, refusal)
    return Decision(
        State.OFFERED, f"{found.version} was offered: {_kind(asker, group, found)}", found, fresh=True
    )


def _others(asker: Asker, group: Group, activity: Activity) -> dict[str, Grant]:
    """The other machines' open grants, as far as the policy looks at them."""
    policy = group.policy
    if not (policy.waves or policy.at_once or policy.safe_mode or policy.rate_updates):
        return {}
    return {machine: grant for machine, grant in activity.open.items() if machine != asker.id}


def withdrawal(group: Group, version: str) -> str:
    """Why a machine that was given `version`, and does not run it yet, is not to take it; empty if it may."""
    if version in group.stopped:
        return stopped_words(group, group.stopped[version])
    if version in group.channel.withdrawn:
        return f"{group.channel.name} was rolled back from {version}"
    return ""


def stopped_words(group: Group, stop: Stop) -> str:
    """Why a version is not given out any more."""
    if not stop.machine:
        return f"{stop.version} was withdrawn from the group {group.name}: {stop.reason}"
    who = machine_name(stop.machine, stop.host)
    return f"{stop.version} was stopped for the group {group.name}: on {who}, {stop.reason}"


def late_words(group: Group, version: str, open_: Mapping[str, Grant], now_s: float) -> str:
    """Why a version waits for a machine that has not come back; empty if it does not."""
    guarded = group.policy.waves or group.policy.at_once
    found = late(group, version, open_, now_s) if guarded else None
    if found is None:
        return ""
    return (
        f"{found.name} took {version}, was {found.state.value}, and has not been heard of "
        f"since {_clock(found.heard_s)}: look at it, then let the group retry"
    )


def _next_package(asker: Asker, channel: Channel) -> Package | Decision:
    """What the machine should run next, or the decision that it needs nothing."""
    target = channel.package
    if target is None:
        return Decision(State.WAITING, f"nothing was published to {channel.name} yet")
    if asker.version == target.version:
        return Decision(State.CURRENT, f"runs {target.version}, which is what {channel.name} has")
    mine = order(asker.version)
    if mine >= order(target.version):
        if asker.version not in channel.withdrawn:
            return Decision(
                State.CURRENT,
                f"runs {asker.version}, which is not older than {channel.name}'s {target.version}",
            )
        found = target
    else:
        found = next(
            (step for step in channel.milestones if mine < order(step.version) < order(target.version)),
            target,
        )
    if order(found.version) < order(channel.floor):
        return Decision(
            State.WAITING, f"{found.version} is below the floor of {channel.name}, which is {channel.floor}"
        )
    return found


def _off(group: Group) -> str:
    return "" if group.policy.updates_enabled else f"updates are paused for the group {group.name}"


def _stopped(group: Group, package: Package) -> str:
    stop = group.stopped.get(package.version)
    return stopped_words(group, stop) if stop else ""


def _unwanted(asker: Asker, package: Package) -> str:
    if not package.version.startswith(asker.prefix):
        return f"wants only versions that begin with {asker.prefix}, and the next is {package.version}"
    if package.ours != asker.ours:
        whose = ("CoreOS's", "Argosy") if asker.ours else ("Argosy's", "CoreOS")
        return f"{package.version} is in {whose[0]} format, and this machine runs {whose[1]}"
    if package.arch and asker.arch and package.arch != asker.arch:
        return f"{package.version} is for {package.arch}, this machine is {asker.arch}"
    return ""


def outside_windows(group: Group, now_s: float) -> str:
    """Until when updates do not begin in the group; empty if they may now."""
    policy = group.policy
    opening = next_opening(policy.windows, policy.timezone, datetime.fromtimestamp(now_s, UTC))
    if opening is None:
        return ""
    return f"the group {group.name} updates again from {opening:%a %Y-%m-%d %H:%M} ({policy.timezone})"


def _not_its_turn(group: Group, package: Package, others: Activity, now_s: float) -> str:
    """Which other machines come before it."""
    return (
        _not_first(group, package, others.open.values(), now_s)
        or _next_wave(group, package, others)
        or _too_many_at_once(group, others, now_s)
    )


def _not_first(group: Group, package: Package, others: Iterable[Grant], now_s: float) -> str:
    """In safe mode one machine takes a version at a time, until one has reported to run it."""
    if not group.policy.safe_mode or package.version in group.proven:
        return ""
    first = next((grant for grant in others if grant.version == package.version), None)
    if first is None:
        return ""
    if overdue(first, group, now_s):
        return (
            f"{first.name} was to try {package.version} first and has not been heard of "
            f"since {_clock(first.heard_s)}: look at it, then let the group retry"
        )
    return f"{first.name} tries {package.version} first"


def _next_wave(group: Group, package: Package, others: Activity) -> str:
    """So many machines take a version; when all of them run it, more do."""
    counted = count(others, package.version)
    limit = wave_limit(group.policy, counted, others.machines)
    if limit is None or counted.given < limit:
        return ""
    if limit == 1:
        first = next(grant for grant in others.open.values() if grant.version == package.version)
        return f"{first.name} takes {package.version} first"
    return (
        f"{limit} machines of the group {group.name} take {package.version} before the others; "
        f"{counted.done} of them run it"
    )


def _too_many_at_once(group: Group, others: Activity, now_s: float) -> str:
    """Those who are late do not count: they may never come back."""
    limit = at_once_limit(group.policy, others.machines)
    if limit is None:
        return ""
    busy = [grant for grant in others.open.values() if not overdue(grant, group, now_s)]
    if len(busy) < limit:
        return ""
    who = ", ".join(grant.name for grant in busy[:3]) + (", ..." if len(busy) > 3 else "")
    return f"{who} update{'s' if len(busy) == 1 else ''}, and not more than {limit} may at once"


def _too_many(group: Group, activity: Activity, now_s: float) -> str:
    policy = group.policy
    if not policy.rate_updates:
        return ""
    begun = [at for at in activity.begun_s if at > now_s - policy.rate_period_s]
    if len(begun) < policy.rate_updates:
        return ""
    free_s = begun[-policy.rate_updates] + policy.rate_period_s
    return (
        f"{policy.rate_updates} machines of the group {group.name} began to update within "
        f"{_span(policy.rate_period_s)}, which is its rate; the next may at {_clock(free_s)}"
    )


def _too_many_overdue(group: Group, others: Iterable[Grant], now_s: float) -> str:
    """Machines that vanish while updating are a bad sign: with as many as the rate, no more begin."""
    limit = group.policy.rate_updates
    found = [grant for grant in others if limit and overdue(grant, group, now_s)]
    if not limit or len(found) < limit:
        return ""
    return (
        f"{len(found)} machines of the group {group.name} did not finish their updates in time, "
        f"among them {found[0].name}: look at them, then let the group retry"
    )


def _kind(asker: Asker, group: Group, package: Package) -> str:
    channel = group.channel
    if channel.package is None or package.version != channel.package.version:
        return f"it must not be skipped on the way from {asker.version}"
    if order(package.version) < order(asker.version):
        return f"{channel.name} was rolled back from {asker.version}"
    return f"{channel.name} has it"


def _clock(at_s: float) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M} UTC"


def _span(seconds: int) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"

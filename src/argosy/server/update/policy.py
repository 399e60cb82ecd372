"""May this machine update now, to what, and why (not)? Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from argosy.formats.updateapi import State
from argosy.server.update.model import Activity, Asker, Channel, Decision, Grant, Group, Package
from argosy.server.update.ordering import order
from argosy.server.update.windows import next_opening


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
    others = (
        [grant for machine, grant in activity.open.items() if machine != asker.id]
        if (group.policy.safe_mode or group.policy.rate_updates)
        else []
    )
    refusal = (
        _outside_windows(group, now_s)
        or _not_first(group, found, others, now_s)
        or _too_many(group, activity, now_s)
        or _too_many_overdue(group, others, now_s)
    )
    if refusal:
        return Decision(State.WAITING, refusal)
    return Decision(
        State.OFFERED, f"{found.version} was offered: {_kind(asker, group, found)}", found, fresh=True
    )


def overdue(grant: Grant, group: Group, now_s: float) -> bool:
    """Whether the machine should have finished, or at least said something, by now."""
    return now_s - grant.heard_s > group.policy.update_timeout_s


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
    if stop is None:
        return ""
    return f"{package.version} was stopped for the group {group.name}: on {stop.machine}, {stop.reason}"


def _unwanted(asker: Asker, package: Package) -> str:
    if not package.version.startswith(asker.prefix):
        return f"wants only versions that begin with {asker.prefix}, and the next is {package.version}"
    if package.ours != asker.ours:
        whose = ("CoreOS's", "Argosy") if asker.ours else ("Argosy's", "CoreOS")
        return f"{package.version} is in {whose[0]} format, and this machine runs {whose[1]}"
    if package.arch and asker.arch and package.arch != asker.arch:
        return f"{package.version} is for {package.arch}, this machine is {asker.arch}"
    return ""


def _outside_windows(group: Group, now_s: float) -> str:
    policy = group.policy
    opening = next_opening(policy.windows, policy.timezone, datetime.fromtimestamp(now_s, UTC))
    if opening is None:
        return ""
    return f"the group {group.name} updates again from {opening:%a %Y-%m-%d %H:%M} ({policy.timezone})"


def _not_first(group: Group, package: Package, others: Iterable[Grant], now_s: float) -> str:
    """In safe mode one machine takes a version at a time, until one has reported to run it."""
    if not group.policy.safe_mode or package.version in group.proven:
        return ""
    first = next((grant for grant in others if grant.version == package.version), None)
    if first is None:
        return ""
    if overdue(first, group, now_s):
        return (
            f"{first.machine} was to try {package.version} first and has not been heard of "
            f"since {_clock(first.heard_s)}: look at it, then let the group retry"
        )
    return f"{first.machine} tries {package.version} first"


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
    late = [grant for grant in others if limit and overdue(grant, group, now_s)]
    if not limit or len(late) < limit:
        return ""
    return (
        f"{len(late)} machines of the group {group.name} did not finish their updates in time, "
        f"among them {late[0].machine}: look at them, then let the group retry"
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

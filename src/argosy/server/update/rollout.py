"""How a group gets on with the version that its channel has, to be seen and waited for. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from argosy.formats import updateapi as api
from argosy.formats.updateapi import RolloutState, State
from argosy.server.update.model import Activity, Grant, Group
from argosy.server.update.ordering import order
from argosy.server.update.policy import late_words, outside_windows, stopped_words
from argosy.server.update.waves import Count, count, late, overdue, wave

Population = Mapping[tuple[str, State], int]
"""How many machines of a group that were seen lately run a version, and are in a state."""


@dataclass(frozen=True, slots=True)
class _Sums:
    """Of the group's machines; `counted` is of those that were granted the version."""

    machines: int
    running: int
    counted: Count


def rollout(group: Group, activity: Activity, population: Population, now_s: float) -> api.Rollout:
    """The rollout, without its machines."""
    target = group.channel.package
    version = target.version if target else None
    sums = _Sums(
        machines=sum(population.values()),
        running=sum(number for (its, state), number in population.items() if on_target(group, its, state)),
        counted=count(activity, version) if version else Count(0, 0),
    )
    shown = api.Rollout(
        app=group.app,
        group=group.name,
        channel=group.channel.name,
        version=version,
        state=RolloutState.ROLLING,
        reason="",
        now=datetime.fromtimestamp(now_s, UTC),
        machines_total=sums.machines,
        machines_done=sums.running,
        machines_taking=sums.counted.given - sums.counted.done,
        wave=wave(group.policy, sums.counted, sums.machines),
    )
    return _judged(shown, group, activity, sums, now_s)


def on_target(group: Group, version: str, state: State) -> bool:
    """Whether a machine that runs `version` has what its group gets, and is done with it."""
    target = group.channel.package
    if target is None or state is State.PROBING:
        return False
    if version == target.version:
        return True
    return order(version) >= order(target.version) and version not in group.channel.withdrawn


def as_seen(
    machine: api.Machine, group: Group, grant: Grant | None, given_s: float, now_s: float
) -> api.Machine:
    """A machine's last words, in the light of what happened since it spoke.

    `given_s` is when the group's channel took its version.
    """
    target = group.channel.package
    if grant and overdue(grant, group, now_s):
        since = f"{machine.seen:%Y-%m-%d %H:%M} UTC"
        return replace(machine, reason=f"has not been heard of since {since}; then: {machine.reason}")
    if target is None or on_target(group, machine.version, machine.state):
        return machine
    unaware = machine.state is State.WAITING and machine.seen.timestamp() < given_s
    if machine.state is State.CURRENT or unaware:
        reason = f"has not asked since {target.version} was given to {group.channel.name}"
        return replace(machine, state=State.WAITING, reason=reason)
    return machine


def _judged(shown: api.Rollout, group: Group, activity: Activity, sums: _Sums, now_s: float) -> api.Rollout:
    """What is over comes first, then what a person has to do something about."""
    if shown.version is None:
        reason = f"nothing was published to {shown.channel} yet"
        return replace(shown, state=RolloutState.IDLE, reason=reason)
    if not sums.machines:
        reason = f"no machine of the group {group.name} was heard of within a day"
        return replace(shown, state=RolloutState.IDLE, reason=reason)
    if sums.running == sums.machines:
        number = "all machines" if sums.machines > 1 else "the only machine"
        verb = "run" if sums.machines > 1 else "runs"
        return replace(shown, state=RolloutState.DONE, reason=f"{number} {verb} {shown.version}")
    if stop := _stop(group):
        state = RolloutState.STOPPED if stop.machine else RolloutState.ABORTED
        return replace(
            shown,
            state=state,
            reason=stopped_words(group, stop),
            culprit=stop.machine,
            culprit_name=stop.host,
        )
    if not group.policy.updates_enabled:
        return replace(
            shown, state=RolloutState.PAUSED, reason=f"updates are paused for the group {group.name}"
        )
    if words := late_words(group, shown.version, activity.open, now_s):
        culprit = late(group, shown.version, activity.open, now_s)
        assert culprit is not None
        return replace(
            shown,
            state=RolloutState.STOPPED,
            reason=words,
            culprit=culprit.machine,
            culprit_name=culprit.host,
        )
    reason = f"{sums.running} of {sums.machines} machines run {shown.version}"
    if closed := outside_windows(group, now_s):
        reason = f"{reason}; {closed}"
    return replace(shown, reason=reason)


def _stop(group: Group) -> api.Stop | None:
    """Of the version, or of one that may not be skipped on the way to it."""
    target = group.channel.package
    wanted = [target.version] if target else []
    wanted += [step.version for step in group.channel.milestones]
    return next((group.stopped[version] for version in wanted if version in group.stopped), None)

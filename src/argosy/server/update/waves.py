"""How many machines of a group may take a version now. Pure.

The waves of a policy count all who were granted the version, whether they have it already or not yet: a
machine that fails gives its place back, one that is late keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from argosy.formats import updateapi as api
from argosy.formats.shares import amount_of
from argosy.server.update.model import Activity, Grant, Group


@dataclass(frozen=True, slots=True)
class Count:
    """Of a version: how many machines were granted it (`given`) and how many of these run it (`done`)."""

    given: int
    done: int


def count(activity: Activity, version: str) -> Count:
    """How far a version has come."""
    done = len(activity.done.get(version, ()))
    return Count(done + sum(1 for grant in activity.open.values() if grant.version == version), done)


def wave_limit(policy: api.Policy, counted: Count, machines: int) -> int | None:
    """How many machines in all may be granted a version by now; None: all of them.

    It is the smallest limit that those who run it have not reached.
    """
    return min((limit for limit in _limits(policy, machines) if counted.done < limit), default=None)


def wave(policy: api.Policy, counted: Count, machines: int) -> api.Wave | None:
    """The wave that is under way, to be shown; None if the policy knows none.

    Waves that a group is too small for are left out.
    """
    if not policy.waves:
        return None
    machines = max(machines, counted.given)
    limits = sorted({limit for limit in _limits(policy, machines) if limit < machines} | {machines})
    number = next((at for at, limit in enumerate(limits) if counted.done < limit), len(limits) - 1)
    return api.Wave(number + 1, len(limits), limits[number])


def at_once_limit(policy: api.Policy, machines: int) -> int | None:
    """How many machines may update at the same time; None: any number."""
    return amount_of(policy.at_once, machines) if policy.at_once else None


def overdue(grant: Grant, group: Group, now_s: float) -> bool:
    """Whether the machine should have finished, or at least said something, by now."""
    return now_s - grant.heard_s > group.policy.update_timeout_s


def late(group: Group, version: str, open_: Mapping[str, Grant], now_s: float) -> Grant | None:
    """The machine that took `version` and has not come back for the longest time; None if none is late."""
    found = [grant for grant in open_.values() if grant.version == version and overdue(grant, group, now_s)]
    return min(found, key=lambda grant: grant.heard_s, default=None)


def _limits(policy: api.Policy, machines: int) -> Sequence[int]:
    return [amount_of(wave, machines) for wave in policy.waves]

"""What the update service holds in memory: all but the machines and their events.

It belongs to the event loop's thread. Groups hold their channel and channels their package, so a decision
looks nothing up; the values are frozen, and a change puts new ones in their place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from argosy.formats.updateapi import Stop
from argosy.server.update.model import Activity, Channel, Grant, Group, Package, Turn
from argosy.server.update.ordering import order

PUBLISH, PROMOTE, ROLLBACK = "publish", "promote", "rollback"


@dataclass(slots=True)
class Going:
    """What goes on in one group; `begun_s` has the times that its rate may look at.

    `done`, by version: the machines that were granted it and run it.
    """

    begun_s: deque[float] = field(default_factory=lambda: deque(maxlen=100_000))
    open: dict[str, Grant] = field(default_factory=dict)
    done: dict[str, set[str]] = field(default_factory=dict)

    def activity(self, machines: int = 0) -> Activity:
        """A view of it, not a copy: to be looked at now. `machines` is how many the group has."""
        return Activity(self.begun_s, self.open, self.done, machines)


@dataclass(slots=True)
class Application:
    """All of one application. `failures`: by machine, by version, why that did not work there."""

    id: str
    packages: dict[str, Package] = field(default_factory=dict)
    channels: dict[str, Channel] = field(default_factory=dict)
    turns: dict[str, list[Turn]] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    going: dict[str, Going] = field(default_factory=dict)
    grants: dict[str, Grant] = field(default_factory=dict)
    failures: dict[str, dict[str, str]] = field(default_factory=dict)

    def put_channel(self, channel: Channel) -> None:
        """A new channel, or a new state of one: its groups follow."""
        self.channels[channel.name] = channel
        for group in self.groups.values():
            if group.channel.name == channel.name:
                self.groups[group.name] = replace(group, channel=channel)

    def put_group(self, group: Group) -> None:
        """A new group, or a new state of one."""
        self.groups[group.name] = group

    def take_turn(self, channel: str, turn: Turn) -> None:
        """A channel takes a package."""
        turns = self.turns.setdefault(channel, [])
        turns.append(turn)
        package = self.packages[turn.sha256]
        known = replace(self.channels[channel], package=package, withdrawn=withdrawn(turns))
        self.put_channel(known)
        # Its waves begin anew, and nobody asks for those of versions that are not given out any more.
        kept = {milestone.version for milestone in known.milestones} - {turn.version}
        for group in self.groups.values():
            if group.channel.name == channel and group.name in self.going:
                done = self.going[group.name].done
                self.going[group.name].done = {version: done[version] for version in kept & done.keys()}

    def stop(self, group: str, stop: Stop) -> None:
        """A version is stopped for a group."""
        known = self.groups[group]
        self.groups[group] = replace(known, stopped={**known.stopped, stop.version: stop})

    def prove(self, group: str, version: str) -> None:
        """A machine of the group runs a version."""
        known = self.groups[group]
        self.groups[group] = replace(known, proven=known.proven | {version})

    def doubt(self, group: str, version: str) -> None:
        """Take back that a machine of the group runs a version."""
        known = self.groups[group]
        self.groups[group] = replace(known, proven=known.proven - {version})

    def retry(self, group: str, version: str, late: Iterable[Grant]) -> None:
        """Forget that a version failed in a group, and the grants that came to nothing."""
        known = self.groups[group]
        stopped = {each: stop for each, stop in known.stopped.items() if each != version}
        self.groups[group] = replace(known, stopped=stopped)
        for grant in late:
            self.end(grant.machine)

    def put_grant(self, grant: Grant, *, fresh: bool = False) -> None:
        """A grant begins (`fresh`) or gets on."""
        self.end(grant.machine)
        self.grants[grant.machine] = grant
        going = self.going.setdefault(grant.group, Going())
        going.open[grant.machine] = grant
        if fresh:
            going.begun_s.append(grant.granted_s)

    def end(self, machine: str, *, done: bool = False) -> None:
        """A machine's grant, if it has one, is over; `done`: the machine runs the version."""
        grant = self.grants.pop(machine, None)
        if grant:
            going = self.going[grant.group]
            going.open.pop(machine, None)
            if done:
                going.done.setdefault(grant.version, set()).add(machine)

    def undo_done(self, grant: Grant) -> None:
        """Take back that a machine runs what it was granted."""
        self.going[grant.group].done.get(grant.version, set()).discard(grant.machine)


def withdrawn(turns: Iterable[Turn]) -> frozenset[str]:
    """The versions that a channel was rolled back from and has not taken again; `turns` oldest first."""
    had: set[str] = set()
    gone: set[str] = set()
    for turn in turns:
        if turn.action == ROLLBACK:
            gone |= {version for version in had if order(version) > order(turn.version)}
        had.add(turn.version)
        gone.discard(turn.version)
    return frozenset(gone)

"""Channels, groups and machines as tables."""

from __future__ import annotations

from datetime import UTC, datetime

from argosy.cli.columns import print_columns, visible
from argosy.formats.updateapi import Channel, Group, Machine, MachineDetail
from argosy.server.update.words import ago_words, counts_words, keys_words, machine_name, policy_words

_NONE = "-"


def print_channels(channels: tuple[Channel, ...]) -> None:
    """One line a channel."""
    head = ("CHANNEL", "VERSION", "SINCE", "FLOOR", "MILESTONES", "KEY")
    print_columns([head, *map(_channel_row, channels)])


def print_channel(channel: Channel) -> None:
    """A channel and its history."""
    print_channels((channel,))
    if channel.history:
        print()
        rows = [(_when(turn.at), turn.version, turn.action) for turn in channel.history]
        print_columns([("WHEN", "VERSION", "BY"), *rows])


def _channel_row(channel: Channel) -> tuple[str, ...]:
    package = channel.package
    return (
        channel.name,
        package.version if package else _NONE,
        _when(channel.history[0].at) if channel.history else _NONE,
        channel.floor,
        ", ".join(channel.milestones) or _NONE,
        keys_words(package) if package else _NONE,
    )


def print_groups(groups: tuple[Group, ...]) -> None:
    """One line a group."""
    head = ("GROUP", "CHANNEL", "POLICY", "MACHINES", "STOPPED")
    rows = [
        (
            group.name,
            group.channel,
            ", ".join(policy_words(group.policy)),
            counts_words(group),
            ", ".join(stop.version for stop in group.stopped) or _NONE,
        )
        for group in groups
    ]
    print_columns([head, *rows])


def print_group(group: Group) -> None:
    """A group, and why versions are stopped for it."""
    print_groups((group,))
    for stop in group.stopped:
        print(f"\n{stop.version} is stopped since {_when(stop.at)}")
        who = f"{machine_name(stop.machine, stop.host)}: " if stop.machine else ""
        print(f"  {visible(who + stop.reason)}")
        print(f"  `argosy resume {group.name} --retry {stop.version}` gives it out again")


def print_machines(machines: tuple[Machine, ...]) -> None:
    """One line a machine."""
    if not machines:
        print("no machine has asked for updates yet")
        return
    now = datetime.now(UTC)
    rows = [
        (
            machine_name(machine.id, machine.alias),
            machine.group,
            machine.version,
            machine.state.value + ("" if machine.percent is None else f" {machine.percent}%"),
            machine.offered or _NONE,
            ago_words(now, machine.seen),
            machine.reason,
        )
        for machine in machines
    ]
    print_columns([("MACHINE", "GROUP", "VERSION", "STATE", "OFFERED", "SEEN", "WHY"), *rows])


def print_machine(detail: MachineDetail) -> None:
    """A machine and its events."""
    machine = detail.machine
    print_machines((machine,))
    print(f"\nid {visible(machine.id)}, address {visible(machine.address) or _NONE}")
    if machine.bad:
        print(f"tried in vain: {visible(', '.join(machine.bad))}")
    if detail.events:
        print()
        print_columns([("WHEN", "WHAT"), *((_when(event.at), event.text) for event in detail.events)])


def _when(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")

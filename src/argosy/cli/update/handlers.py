"""What the update service's commands do."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from argosy.base.cli import print_json
from argosy.base.errors import InputError
from argosy.cli.update.server import client_of, find_payload

if TYPE_CHECKING:
    from argosy.formats.updateapi import Channel, Machine, Machines, Window
    from argosy.server.update.client import Stock


def publish(arguments: argparse.Namespace) -> int:
    """Upload a release's payload, unless it is there, and give it to a channel."""
    from argosy.cli.progress import terminal_progress
    from argosy.formats.updateapi import Release

    payload = find_payload(arguments.release)
    client = client_of(arguments)
    client.check_access()
    with terminal_progress() as progress:
        package = client.upload(payload, progress, _stock(arguments, payload))
    channel = client.release(package.app, arguments.channel, Release(sha256=package.sha256))
    return _show_channel(arguments, channel)


def promote(arguments: argparse.Namespace) -> int:
    """Give a channel what another has."""
    from argosy.formats.updateapi import Release

    release = Release(promote=arguments.from_)
    return _show_channel(arguments, client_of(arguments).release(arguments.app, arguments.to_, release))


def rollback(arguments: argparse.Namespace) -> int:
    """Give a channel its former version."""
    client = client_of(arguments)
    return _show_channel(arguments, client.rollback(arguments.app, arguments.channel, arguments.to))


def _show_channel(arguments: argparse.Namespace, channel: Channel) -> int:
    from argosy.server.update.words import keys_words, size_words

    if arguments.json:
        print_json(channel)
    elif channel.package is None:
        print(f"channel {channel.name} has no version")
    else:
        package = channel.package
        print(f"channel {channel.name} has version {package.version} now")
        print(f"  payload  {size_words(package.size_bytes)}, sha256 {package.sha256}")
        print(f"  key      {keys_words(package)}")
    return 0


def channels(arguments: argparse.Namespace) -> int:
    """Change a channel if asked to; show channels."""
    from msgspec import UNSET

    from argosy.cli.update.tables import print_channel, print_channels
    from argosy.formats.updateapi import ChannelChange

    milestones = () if arguments.no_milestones else arguments.milestone and tuple(arguments.milestone)
    change = ChannelChange(
        floor=UNSET if arguments.floor is None else arguments.floor,
        milestones=UNSET if milestones is None else milestones,
    )
    client = client_of(arguments)
    if change != ChannelChange() or arguments.create:
        name = _named(arguments.channel, "a channel", "argosy channels stable --floor 4880.0.0")
        client.change_channel(arguments.app, name, change, create=arguments.create)
    channels = client.channels(arguments.app)
    if arguments.channel is None:
        return _show(arguments, channels, print_channels)
    return _show(arguments, _one(channels, arguments.channel, "channel"), print_channel)


def pause(arguments: argparse.Namespace) -> int:
    """Stop a group's updates."""
    from argosy.formats.updateapi import GroupChange

    return _change_group(arguments, GroupChange(updates_enabled=False))


def resume(arguments: argparse.Namespace) -> int:
    """Go on with a group's updates."""
    from msgspec import UNSET

    from argosy.formats.updateapi import GroupChange

    retry = UNSET if arguments.retry is None else arguments.retry
    return _change_group(arguments, GroupChange(updates_enabled=True, retry=retry))


def _change_group(arguments: argparse.Namespace, change: Any) -> int:
    from argosy.cli.update.tables import print_group

    group = client_of(arguments).change_group(arguments.app, arguments.group, change, create=False)
    return _show(arguments, group, print_group)


def groups(arguments: argparse.Namespace) -> int:
    """Change a group if asked to; show groups."""
    from argosy.cli.update.tables import print_group, print_groups
    from argosy.formats.updateapi import GroupChange

    change = _group_change(arguments)
    client = client_of(arguments)
    if change != GroupChange() or arguments.create:
        name = _named(arguments.group, "a group", "argosy groups stable --safe-mode on")
        client.change_group(arguments.app, name, change, create=arguments.create)
    groups = client.groups(arguments.app)
    if arguments.group is None:
        return _show(arguments, groups, print_groups)
    return _show(arguments, _one(groups, arguments.group, "group"), print_group)


def _group_change(arguments: argparse.Namespace) -> Any:
    """The change that the options ask for; what was not given is left out."""
    from argosy.formats.updateapi import GroupChange
    from argosy.server.update.words import parse_duration_s, parse_rate

    given: dict[str, Any] = {"channel": arguments.channel, "timezone": arguments.timezone}
    if arguments.rate is not None:
        given["rate_updates"], given["rate_period_s"] = parse_rate(arguments.rate)
    if arguments.timeout is not None:
        given["update_timeout_s"] = parse_duration_s(arguments.timeout)
    if arguments.safe_mode is not None:
        given["safe_mode"] = arguments.safe_mode == "on"
    if arguments.poll is not None:
        given["poll_s"] = 0 if arguments.poll == "off" else parse_duration_s(arguments.poll)
    if arguments.waves is not None:
        given["waves"] = (
            () if arguments.waves == "off" else tuple(arguments.waves.replace(" ", "").split(","))
        )
    if arguments.at_once is not None:
        given["at_once"] = "" if arguments.at_once == "off" else arguments.at_once
    given["windows"] = _windows(arguments)
    return GroupChange(**{name: value for name, value in given.items() if value is not None})


def _windows(arguments: argparse.Namespace) -> tuple[Window, ...] | None:
    from argosy.formats.updateapi import parse_window

    if arguments.no_windows:
        return ()
    return arguments.window and tuple(map(parse_window, arguments.window))


def machines(arguments: argparse.Namespace) -> int:
    """Name a machine if asked to; show machines."""
    from argosy.cli.update.tables import print_machine, print_machines

    client = client_of(arguments)
    if arguments.alias is not None:
        machine = _named(arguments.machine, "a machine", "argosy machines 3f9a51c2 --alias rack4-07")
        client.name_machine(arguments.app, machine, arguments.alias)
    if arguments.machine is not None:
        return _show(arguments, client.machine(arguments.app, arguments.machine), print_machine)
    pages = client.machines(arguments.app, group=arguments.group, state=arguments.state)
    return _show(arguments, _all(pages), print_machines)


def _all(pages: Iterator[Machines]) -> tuple[Machine, ...]:
    """The machines of all pages. Progress is only shown if there are several."""
    from argosy.cli.progress import terminal_progress

    first = next(pages)
    found = list(first.machines)
    if first.after is not None:
        with terminal_progress() as progress, progress.step("asking the server for its machines") as step:
            for page in pages:
                found += page.machines
                step.note(f"{len(found)} so far")
    return tuple(found)


def _show(arguments: argparse.Namespace, value: Any, show: Callable[[Any], None]) -> int:
    print_json(value) if arguments.json else show(value)
    return 0


def _one(things: Any, name: str, what: str) -> Any:
    for thing in things:
        if thing.name == name:
            return thing
    others = ", ".join(thing.name for thing in things)
    raise InputError(f"there is no {what} {name!r}", hint=f"these exist: {others}" if others else None)


def _named(given: str | None, what: str, example: str) -> str:
    if given is None:
        raise InputError(f"name {what} to change", hint=f"for example `{example}`")
    return given


def _stock(arguments: argparse.Namespace, payload: Path) -> Stock | None:
    from argosy.server.update.client import Stock

    if arguments.stock is None:
        return None
    return Stock(arguments.app, arguments.stock, payload.name, arguments.arch)

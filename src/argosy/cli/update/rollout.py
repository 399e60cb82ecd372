"""What `argosy rollout` does: show a group on its way to a version, watch it, steer it."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from argosy.base.cli import print_json
from argosy.base.errors import EXIT_FAILURE, ArgosyError, InputError
from argosy.cli.update.server import client_of

if TYPE_CHECKING:
    from argosy.formats.updateapi import Rollout
    from argosy.server.update.client import Client

_LOOK_EVERY_S = 1.0
_PATIENCE_S = 60.0
_USUAL_GROUP = "stable"


def rollout(arguments: argparse.Namespace) -> int:
    """The command: its action, or a look at how things are."""
    actions = {"watch": _watch, "pause": _pause, "resume": _resume, "abort": _abort, None: _show}
    if arguments.action != "watch" and (arguments.until_done or arguments.machines is not None):
        raise InputError("--until-done and --machines belong to `argosy rollout watch`")
    if arguments.action != "resume" and arguments.retry:
        raise InputError("--retry belongs to `argosy rollout resume`")
    client = client_of(arguments)
    group = arguments.group or _only_group(client, arguments.app)
    return actions[arguments.action](arguments, client, group)


def _only_group(client: Client, app: str) -> str:
    """The group that has machines, if it is one."""
    groups = client.groups(app)
    peopled = [group.name for group in groups if group.counts]
    if len(peopled) == 1:
        return peopled[0]
    if not peopled and any(group.name == _USUAL_GROUP for group in groups):
        return _USUAL_GROUP
    raise InputError("which group?", hint=f"--group, one of {', '.join(peopled)}")


def _show(arguments: argparse.Namespace, client: Client, group: str) -> int:
    from argosy.cli.update.rolloutview import print_rollout

    found = client.rollout(arguments.app, group)
    print_json(found) if arguments.json else print_rollout(found)
    return 0


def _pause(arguments: argparse.Namespace, client: Client, group: str) -> int:
    from argosy.formats.updateapi import GroupChange

    client.change_group(arguments.app, group, GroupChange(updates_enabled=False), create=False)
    return _show(arguments, client, group)


def _resume(arguments: argparse.Namespace, client: Client, group: str) -> int:
    from argosy.formats.updateapi import GroupChange, RolloutState

    found = client.rollout(arguments.app, group)
    stopped = found.state in (RolloutState.STOPPED, RolloutState.ABORTED)
    if stopped and not arguments.retry:
        raise ArgosyError(
            found.reason,
            hint=f"if it is to go on in spite of that: argosy rollout resume --retry --group {group}",
        )
    if arguments.retry and found.version:
        for version in _retried(client, arguments.app, found, found.version):
            client.change_group(arguments.app, group, GroupChange(retry=version), create=False)
    client.change_group(arguments.app, group, GroupChange(updates_enabled=True), create=False)
    return _show(arguments, client, group)


def _retried(client: Client, app: str, found: Rollout, version: str) -> set[str]:
    """The version, and those on the way to it that were stopped."""
    [channel] = [each for each in client.channels(app) if each.name == found.channel]
    [group] = [each for each in client.groups(app) if each.name == found.group]
    return {version} | {stop.version for stop in group.stopped if stop.version in channel.milestones}


def _abort(arguments: argparse.Namespace, client: Client, group: str) -> int:
    from argosy.formats.updateapi import GroupChange, RolloutState

    found = client.rollout(arguments.app, group)
    if found.version is None or found.state is RolloutState.DONE:
        raise ArgosyError(
            f"there is nothing to abort: {found.reason}",
            hint=f"`argosy rollback-channel {found.channel}` takes machines back to the version before",
        )
    client.change_group(arguments.app, group, GroupChange(abort=found.version), create=False)
    return _show(arguments, client, group)


def _watch(arguments: argparse.Namespace, client: Client, group: str) -> int:
    """Until it is over, if that is asked for; else until the user has seen enough."""
    from argosy.cli.update.rolloutview import display
    from argosy.formats.updateapi import RolloutState

    over = {RolloutState.STOPPED, RolloutState.ABORTED}
    with display(as_json=arguments.json) as show:
        while True:
            found = _look(arguments, client, group)
            show(found)
            enough = found.machines_total >= (arguments.machines or 0)
            if arguments.until_done and found.state is RolloutState.DONE and enough:
                return 0
            if arguments.until_done and found.state in over:
                return EXIT_FAILURE
            time.sleep(_LOOK_EVERY_S)


def _look(arguments: argparse.Namespace, client: Client, group: str) -> Rollout:
    """A server that is started again in between is waited for."""
    from argosy.server.update.client import RefusedError

    deadline_s = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return client.rollout(arguments.app, group)
        except RefusedError:
            raise
        except ArgosyError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(_LOOK_EVERY_S)

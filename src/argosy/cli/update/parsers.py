"""The arguments of the update service's commands, and their help."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path

from argosy.cli.update import handlers
from argosy.cli.update.rollout import rollout
from argosy.cli.update.server import ENV_SERVER, ENV_TOKEN, LAB, made_releases
from argosy.formats.payload import APPLICATION_ID
from argosy.formats.release import CHANNELS
from argosy.formats.updateapi import State

_SERVER = f"""
The server is the one of --server (or ${ENV_SERVER}), else that of the lab's cluster --name. Changes
need its token: --token-file (or ${ENV_TOKEN}); for a cluster of the lab it is found.
"""

_PUBLISH = """\
Give a channel a release. Its payload is uploaded unless the server has it; the server checks the
signature and every hash before it keeps it. From then on machines of the channel's groups are offered
it, as fast as their group's policy allows.
"""
_PUBLISH_EXAMPLES = """\
examples:
  argosy publish 4892.0.0 --channel stable           a release of `argosy build`, to the lab's cluster
  argosy publish ./release --channel beta --server https://argosy.example.com --token-file token
  argosy publish flatcar_production_update.gz --stock 3975.2.0 --channel flatcar
                                                     a payload of CoreOS or Flatcar, for their machines
"""
_PROMOTE = "Give the channel TO what the channel FROM has now. Nothing is uploaded: it is the same payload."
_PROMOTE_EXAMPLES = "examples:\n  argosy promote beta stable\n"
_ROLLBACK = """\
Give a channel the version again that it had before, or an older one of its history (--to). Machines that run
the version that is taken back go back to it, unless the channel's floor forbids it.
"""
_ROLLBACK_EXAMPLES = """\
examples:
  argosy rollback-channel stable
  argosy rollback-channel stable --to 4890.0.0
"""
_PAUSE = """\
Stop giving updates to a group's machines. Downloads that have begun go on, unless a machine is interrupted
and has to ask again.
"""
_PAUSE_EXAMPLES = "examples:\n  argosy pause stable\n"
_RESUME = """\
Give updates to a group's machines again. With --retry also a version that was stopped because a machine
failed with it.
"""
_RESUME_EXAMPLES = "examples:\n  argosy resume stable\n  argosy resume stable --retry 4892.0.0\n"
_MACHINES = "What the server knows of machines: version, how far an update is, and why."
_MACHINES_EXAMPLES = """\
examples:
  argosy machines
  argosy machines --state 'fell back' --json | jq -r '.[].id'
  argosy machines 3f9a51c2                    one machine (the beginning of its id will do), and its events
  argosy machines 3f9a51c2 --alias rack4-07   call it by a name
"""
_CHANNELS = "The channels, or one of them with its history. Options change it."
_CHANNELS_EXAMPLES = """\
examples:
  argosy channels
  argosy channels nightly --create
  argosy channels stable --floor 4880.0.0        its machines never go below this version
  argosy channels stable --milestone 4850.0.0    machines older than that get this version first
"""
_GROUPS = (
    "The groups and their policies. A machine names its group in update.conf (GROUP=). Options change one."
)
_GROUPS_EXAMPLES = """\
examples:
  argosy groups
  argosy groups canary --create --channel stable
  argosy groups stable --safe-mode on --rate 10/1h --timeout 90min
  argosy groups stable --window 'mon-fri 22:00-04:00' --window 'sat,sun 00:00-24:00' --timezone Europe/Berlin
  argosy groups stable --rate off --no-windows
  argosy groups stable --waves 1,10%,50% --at-once 5%
  argosy groups stable --waves off --poll 1min
"""
_ROLLOUT = """\
How the machines of a group get on with the version that its channel has: who waits for what, downloads,
waits for its reboot and why, tries the new version, runs it, fell back and why.

  watch    go on showing it: a live table on a terminal, lines elsewhere, with --json a line whenever
           something changed
  pause    begin no more updates in the group
  resume   go on; with --retry also if a machine fell back or did not come back, or it was aborted
  abort    withdraw the version from all machines that do not run it: nobody is given it any more, and who
           has installed it drops it before the reboot. Those that run it keep it (`argosy rollback-channel`
           takes them back)
"""
_ROLLOUT_EXAMPLES = """\
examples:
  argosy rollout                       how it stands
  argosy rollout watch
  argosy rollout watch --until-done    exit code 0: all machines run it; 1: it was stopped or aborted
  argosy rollout pause --group canary
  argosy rollout resume --retry
  argosy rollout --json | jq -r '.machines[] | select(.state == "fell back").reason'
"""


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this room's commands to the command `argosy`."""
    _add_releases(commands)
    _add_groups(commands)
    _add_rollout(commands)
    machines = _command(
        commands, "machines", "machines and their updates", handlers.machines, _MACHINES, _MACHINES_EXAMPLES
    )
    machines.add_argument("machine", nargs="?", metavar="MACHINE", help="only this one, and its events")
    machines.add_argument("--group", metavar="GROUP", help="only those of this group")
    machines.add_argument(
        "--state",
        metavar="STATE",
        choices=[state.value for state in State],
        help="only those in this state: " + ", ".join(state.value for state in State),
    )
    machines.add_argument("--alias", metavar="NAME", help="give the machine a name; '' takes it away")


def _add_releases(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    publish = _command(
        commands, "publish", "give a channel a release", handlers.publish, _PUBLISH, _PUBLISH_EXAMPLES
    )
    release = publish.add_argument(
        "release", metavar="RELEASE", help="a version, a release folder or a payload"
    )
    _completes(release, made_releases)
    channel = publish.add_argument(
        "--channel", metavar="CHANNEL", required=True, help="the channel to give it to"
    )
    _completes(channel, lambda: CHANNELS)
    publish.add_argument("--stock", metavar="VERSION", help="the file is a payload of CoreOS or Flatcar")
    publish.add_argument("--arch", default="", help="with --stock: for machines of this architecture only")
    promote = _command(
        commands, "promote", "give a channel what another has", handlers.promote, _PROMOTE, _PROMOTE_EXAMPLES
    )
    for name in ("from", "to"):
        _completes(promote.add_argument(f"{name}_", metavar=name.upper()), lambda: CHANNELS)
    rollback = _command(
        commands,
        "rollback-channel",
        "give a channel its former version",
        handlers.rollback,
        _ROLLBACK,
        _ROLLBACK_EXAMPLES,
    )
    _completes(rollback.add_argument("channel", metavar="CHANNEL"), lambda: CHANNELS)
    rollback.add_argument("--to", metavar="VERSION", help="which one (default: the one before)")
    channels = _command(
        commands, "channels", "channels and their floors", handlers.channels, _CHANNELS, _CHANNELS_EXAMPLES
    )
    _completes(
        channels.add_argument("channel", nargs="?", metavar="CHANNEL", help="only this one"), lambda: CHANNELS
    )
    channels.add_argument("--create", action="store_true", help="make it if it is new")
    channels.add_argument("--floor", metavar="VERSION", help="its machines refuse what is older")
    channels.add_argument(
        "--milestone",
        metavar="VERSION",
        action="append",
        help="a version that may not be skipped (repeatable)",
    )
    channels.add_argument("--no-milestones", action="store_true", help="any version may be skipped")


def _add_groups(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    for name, summary, handler, text, examples in (
        ("pause", "stop a group's updates", handlers.pause, _PAUSE, _PAUSE_EXAMPLES),
        ("resume", "go on with a group's updates", handlers.resume, _RESUME, _RESUME_EXAMPLES),
    ):
        parser = _command(commands, name, summary, handler, text, examples)
        _completes(parser.add_argument("group", metavar="GROUP"), lambda: CHANNELS)
    parser.add_argument("--retry", metavar="VERSION", help="give out this version again, which was stopped")
    groups = _command(
        commands, "groups", "groups and their policies", handlers.groups, _GROUPS, _GROUPS_EXAMPLES
    )
    _completes(
        groups.add_argument("group", nargs="?", metavar="GROUP", help="only this one"), lambda: CHANNELS
    )
    groups.add_argument("--create", action="store_true", help="make it if it is new (then with --channel)")
    groups.add_argument("--channel", metavar="CHANNEL", help="the channel that it follows")
    groups.add_argument("--rate", metavar="N/TIME", help="how many updates may begin in that time, or `off`")
    groups.add_argument("--timeout", metavar="TIME", help="how long a machine may take, for example 90min")
    groups.add_argument(
        "--window",
        metavar="TEXT",
        action="append",
        help="when updates may begin (repeatable; replaces the old)",
    )
    groups.add_argument("--no-windows", action="store_true", help="updates may begin at any time")
    groups.add_argument("--timezone", metavar="ZONE", help="of the windows, for example Europe/Berlin")
    groups.add_argument("--waves", metavar="LIST", help="so many first, for example 1,10%%,50%%; or `off`")
    groups.add_argument("--at-once", metavar="N", help="how many may update at once, for example 5 or 10%%")
    groups.add_argument("--poll", metavar="TIME", help="how often machines ask, for example 1min; or `off`")
    groups.add_argument("--safe-mode", choices=("on", "off"), help="one machine first, then the others")


def _add_rollout(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands, "rollout", "watch an update reach a group's machines", rollout, _ROLLOUT, _ROLLOUT_EXAMPLES
    )
    actions = ("watch", "pause", "resume", "abort")
    parser.add_argument(
        "action",
        nargs="?",
        metavar="ACTION",
        choices=actions,
        help=f"{', '.join(actions)} (default: show it)",
    )
    group = parser.add_argument(
        "--group", metavar="GROUP", help="the group (default: the one that has machines)"
    )
    _completes(group, lambda: CHANNELS)
    parser.add_argument("--until-done", action="store_true", help="watch: end when it is done or stopped")
    parser.add_argument(
        "--machines", metavar="N", type=int, help="watch --until-done: it is not done with fewer machines"
    )
    parser.add_argument("--retry", action="store_true", help="resume: also what was stopped or aborted")


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    summary: str,
    handler: Callable[[argparse.Namespace], int],
    description: str,
    examples: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=summary,
        description=f"{description}\n{_SERVER}",
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    server = parser.add_argument_group("the server")
    where = server.add_mutually_exclusive_group()
    where.add_argument("--server", metavar="URL", help="its address")
    where.add_argument("--name", metavar="NAME", help=f"the lab's cluster (default: {LAB})")
    server.add_argument("--token-file", metavar="FILE", type=Path, help="the file with its token")
    server.add_argument(
        "--app", metavar="ID", default=APPLICATION_ID, help="the application (default: Argosy)"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(handler=handler)
    return parser


def _completes(action: argparse.Action, choices: Callable[[], Iterable[str]]) -> None:
    """What a shell offers for an argument; other values are taken as well."""
    action.completer = lambda **_: choices()  # type: ignore[attr-defined]  # argcomplete's convention

"""`locksmithctl`: the cluster's reboot lock, by hand; with the original's commands, flags and output."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from argosy.base import cli
from argosy.base.errors import ArgosyError, Location
from argosy.base.lean import without_openssl
from argosy.formats.duration import parse_duration_s, spoken
from argosy.node.locksmith.config import access, read_settings
from argosy.node.locksmith.model import Access
from argosy.node.locksmith.runtime import Runtime
from argosy.node.updateconf import Value

_ENVIRONMENT = "LOCKSMITHCTL_"
_MOST_POSTPONED_S = 24 * 3600.0
_FRESH_S = 180
_VERSION = "0.6.2"

_EPILOG = """\
examples:
  locksmithctl status              how many locks are left, and who holds one
  locksmithctl why                 why this machine has not rebooted
  locksmithctl set-max 2           two machines at once
  locksmithctl unlock 69d27b356a94476da859461d3a3bc6fd    a machine that does not come back
  sudo locksmithctl reboot         reboot this machine when its turn is now
  sudo locksmithctl postpone 2h    put off a reboot that was announced, once

The flags stand before the command; LOCKSMITHCTL_ENDPOINT and the like are their environment.
"""
_FLAGS = {
    "endpoint": "etcd's addresses, separated by commas (default: http://127.0.0.1:2379)",
    "group": "the group whose lock it is (default: everybody's)",
    "etcd-cafile": "the authority that signed etcd's certificate",
    "etcd-certfile": "a certificate for etcd",
    "etcd-keyfile": "its key",
    "etcd-username": "a user of etcd's",
    "etcd-password": "the user's password; better in LOCKSMITHCTL_ETCD_PASSWORD",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `locksmithctl`."""
    return cli.main(_parser(), argv)


def _parser() -> cli.Parser:
    parser = cli.program("locksmithctl", "Manage the cluster wide reboot lock.", epilog=_EPILOG)
    for name, text in _FLAGS.items():
        metavar = "FILE" if name.endswith("file") else name.rpartition("-")[2].upper()
        parser.add_argument(f"-{name}", f"--{name}", metavar=metavar, help=text)
    parser.add_argument("-version", "--version", action="version", version=f"locksmithctl version {_VERSION}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    helps = commands.add_parser("help", help="show this help")
    helps.set_defaults(handler=lambda arguments: _help(parser))
    _add(commands, "lock", _lock, "take a lock for this machine, or another id", "holder")
    _add(commands, "reboot", _reboot, "take this machine's lock, move its units elsewhere, and reboot")
    _add(
        commands, "send-need-reboot", _send_need_reboot, "have locksmithd think that an update needs a reboot"
    )
    _add(commands, "set-max", _set_max, "how many machines may hold a lock at once", "max")
    _add(commands, "status", _status, "the lock and its holders", json=True)
    _add(commands, "unlock", _unlock, "give back this machine's lock, or that of another id", "holder")
    _add(commands, "why", _why, "why this machine has not rebooted", json=True)
    _add(commands, "postpone", _postpone, "put off an announced reboot, once (default: 1h)", "duration")
    return parser


def _add(
    commands: Any, name: str, handler: cli.Handler, text: str, argument: str = "", *, json: bool = False
) -> None:
    parser = commands.add_parser(
        name, help=text, description=f"{text[0].upper()}{text[1:]}.", allow_abbrev=False
    )
    if argument:
        parser.add_argument(argument, nargs="?", metavar=argument.upper())
    if json:
        parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(handler=handler)


def _help(parser: argparse.ArgumentParser) -> int:
    parser.print_help()
    return 0


def _access(arguments: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> Access:
    """Flags go before the environment. Raises `InputError`."""
    values = {name: Value(text, Location(name)) for name, text in environment.items() if text}
    for name in _FLAGS:
        key = name.replace("-", "_")
        if text := getattr(arguments, key):
            values[_ENVIRONMENT + key.upper()] = Value(text, Location(f"-{name}"))
    found = access(values, _ENVIRONMENT)
    if not any(endpoint.startswith("https:") for endpoint in found.endpoints):
        without_openssl()
    return found


def _lock(arguments: argparse.Namespace) -> int:
    found = _access(arguments)
    from argosy.node.locksmith import ctl
    from argosy.node.locksmith.identity import identity

    me = None if arguments.holder else identity()
    try:
        ctl.lock(found, arguments.holder or (me.machine_id if me else ""), me)
    except ArgosyError as error:
        return _failed("locking", error)
    return 0


def _unlock(arguments: argparse.Namespace) -> int:
    found = _access(arguments)
    from argosy.node.locksmith import ctl
    from argosy.node.locksmith.identity import identity

    try:
        ctl.unlock(found, arguments.holder or identity().machine_id)
    except ArgosyError as error:
        return _failed("unlocking", error)
    return 0


def _set_max(arguments: argparse.Namespace) -> int:
    if arguments.max is None:
        print("New maximum value must be set.", file=sys.stderr)
        return 1
    if not arguments.max.isdecimal():
        print(f"Invalid maximum value: {arguments.max}", file=sys.stderr)
        return 1
    found = _access(arguments)
    from argosy.node.locksmith import ctl

    try:
        before, after = ctl.set_max(found, int(arguments.max))
    except ArgosyError as error:
        return _failed("setting value", error)
    print(f"Old-Max: {before.max}\nMax: {after.max}")
    return 0


def _status(arguments: argparse.Namespace) -> int:
    found = _access(arguments)
    from argosy.node.locksmith import ctl

    status = ctl.status(found)
    if arguments.json:
        cli.print_json(status)
        return 0
    print(f"Available: {status.available}\nMax: {status.max}")
    if status.holders:
        print("\nMACHINE ID")
    for holder in status.holders:
        age = f", held for {spoken(holder.age_s)}" if holder.age_s is not None else ""
        print(holder.id + (f"\tstale: {holder.gone}{age}" if holder.gone else ""))
    return 0


def _reboot(arguments: argparse.Namespace) -> int:
    if os.geteuid() != 0:
        print("Must be root to initiate reboot.", file=sys.stderr)
        return 1
    found = _access(arguments)
    from argosy.node.locksmith import ctl
    from argosy.node.locksmith.bus import begin_reboot, fleet_runs
    from argosy.node.locksmith.fleet import FleetApi, FleetDrainer
    from argosy.node.locksmith.identity import identity

    me = identity()
    drain_s = read_settings(os.environ).drain_s
    try:
        ctl.lock_to_reboot(found, me)
    except ArgosyError as error:
        return _failed("locking", error)
    drainer = FleetDrainer(FleetApi(me.machine_id), me.boot_id, fleet_runs)
    try:
        ctl.drain(drainer, drain_s, lambda sentence: print(sentence, flush=True))
        begin_reboot()
    except BaseException:
        # Ctrl-C too: the machine stays.
        ctl.unlock(found, me.machine_id)
        ctl.call_off(drainer)
        raise
    return 0


def _send_need_reboot(arguments: argparse.Namespace) -> int:
    without_openssl()
    import asyncio

    from argosy.node.locksmith.bus import send_need_reboot

    asyncio.run(send_need_reboot())
    return 0


def _why(arguments: argparse.Namespace) -> int:
    runtime = Runtime()
    why = runtime.why() if runtime.is_running() else None
    if why is None:
        raise ArgosyError(
            "locksmithd does not run, so this machine does not reboot by itself",
            hint="REBOOT_STRATEGY=off in the user-data masks it; `systemctl status locksmithd` says more",
        )
    if arguments.json:
        cli.print_json(why)
        return 0
    print(why.answer)
    print(
        f"strategy  {why.strategy or 'unknown'}\nstate     {why.state}\nwanted    {why.wanted or 'no reboot'}"
    )
    if why.group:
        print(f"group     {why.group}")
    for window in why.windows:
        print(f"window    {window}")
    if why.holds:
        print("lock      held by this machine")
    if (old_s := time.time() - why.at_s) > _FRESH_S:
        print(f"as of     {spoken(old_s)} ago: `systemctl status locksmithd` says whether it still runs")
    if why.hint:
        print(f"  {why.hint}")
    return 0


def _postpone(arguments: argparse.Namespace) -> int:
    try:
        length_s = parse_duration_s(arguments.duration or "1h")
    except ValueError as error:
        raise ArgosyError(str(error)) from error
    if not 0 < length_s <= _MOST_POSTPONED_S:
        raise ArgosyError(f"a reboot can be put off by at most {spoken(_MOST_POSTPONED_S)}")
    try:
        Runtime().postpone(time.clock_gettime(time.CLOCK_BOOTTIME) + length_s)
    except PermissionError as error:
        raise ArgosyError("only root can put off a reboot", hint="put `sudo` before the command") from error
    print(f"the reboot is put off by {spoken(length_s)}")
    return 0


def _failed(doing: str, error: ArgosyError) -> int:
    """The original's words; ours what to do about it."""
    print(f"Error {doing}: {error}", file=sys.stderr)
    if error.hint:
        print(f"  {error.hint}", file=sys.stderr)
    return 1

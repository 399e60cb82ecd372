"""`fleetctl`: the command line of the cluster, with the original's commands, options and output."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from argosy.base import cli
from argosy.formats.fleet import VERSION
from argosy.node.fleet.ctl import changes, looks, machines, tables
from argosy.node.fleet.ctl.context import Context

_DESCRIPTION = "Run units on a cluster of machines."

_EPILOG = """\
examples:
  fleetctl list-machines                  the machines of the cluster
  fleetctl start hello@1.service          submit (from a file or template), schedule and start
  fleetctl list-units                     what runs where
  fleetctl status hello@1.service         what its machine's systemd says
  fleetctl why hello@4.service            why it is where it is, or nowhere
  fleetctl drain 172.17.8.102             move its units elsewhere, before it goes down
  fleetctl uncordon 172.17.8.102          it takes units again
  fleetctl --tunnel 172.17.8.101 list-units

Every global option can be set in the environment: FLEETCTL_TUNNEL, FLEETCTL_ENDPOINT and so on.
"""


def main() -> int:
    """Entry point of `fleetctl`."""
    parser = make_parser()
    words = sys.argv[1:]
    if words[:1] == ["help"]:
        words = [*words[1:2], "--help"]
    return cli.main(parser, plain_flags(words))


def make_parser() -> argparse.ArgumentParser:
    """All commands and options."""
    parser = cli.program("fleetctl", _DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("--version", "-v", action="version", version=f"fleetctl version {VERSION}")
    _add_globals(parser, first=True)
    common = cli.Parser(add_help=False)
    _add_globals(common, first=False)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    def add(name: str, function: Callable[[Context], int], text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name,
            help=text,
            description=text,
            epilog="Global options, which may also stand here: see `fleetctl --help`.",
            parents=[common],
            allow_abbrev=False,
        )
        command.set_defaults(handler=lambda arguments: function(Context(arguments)))
        return command

    _add_lists(add)
    _add_changes(add)
    _add_machines(add)
    _add_looks(add)
    return parser


Add = Callable[[str, Callable[[Context], int], str], argparse.ArgumentParser]


def _add_lists(add: Add) -> None:
    for name, function, fields, text in (
        ("list-machines", machines.list_machines, tables.MACHINE_FIELDS, "list the machines of the cluster"),
        ("list-units", looks.list_units, "unit,machine,active,sub", "list what runs where"),
        (
            "list-unit-files",
            looks.list_unit_files,
            "unit,hash,dstate,state,target",
            "list the submitted units",
        ),
    ):
        command = add(name, function, text)
        command.add_argument(
            "--fields", default=fields, help=f"columns, separated by commas (default: {fields})"
        )
        command.add_argument("--full", "-l", action="store_true", help="do not shorten ids")
        command.add_argument("--no-legend", action="store_true", help="no line with the columns' names")
        command.add_argument("--json", action="store_true", help="as JSON, for scripts")


def _add_changes(add: Add) -> None:
    for name, function, text in (
        ("submit", changes.submit, "make units known to the cluster"),
        ("load", changes.load, "give units to machines, without starting them"),
        ("start", changes.start, "start units, and wait until they run"),
        ("stop", changes.stop, "stop units, and wait until they have stopped"),
        ("unload", changes.unload, "stop units and take them from their machines"),
        ("restart", changes.restart, "stop units, then start them again"),
        ("destroy", changes.destroy, "stop units and forget them"),
    ):
        command = add(name, function, text)
        command.add_argument("units", nargs="+", metavar="UNIT", help="names, or paths of unit files")
        command.add_argument("--no-block", action="store_true", help="do not wait")
        command.add_argument(
            "--block-attempts", type=int, default=0, metavar="N", help="give up after N times 2 s"
        )
        if name in ("submit", "load", "start"):
            command.add_argument("--replace", action="store_true", help="replace what the cluster has")


def _add_machines(add: Add) -> None:
    for name, function, text in (
        ("cordon", machines.cordon, "keep new units from machines; those that are there stay"),
        ("drain", machines.drain, "cordon machines and move their units: each starts elsewhere, then stops"),
        ("uncordon", machines.uncordon, "let machines take units again"),
    ):
        command = add(name, function, text)
        command.add_argument("machines", nargs="+", metavar="MACHINE", help="id, its beginning, or address")
        if name == "uncordon":
            continue
        command.add_argument("--reason", default="", metavar="TEXT", help="what the others are told")
        command.add_argument("--until-reboot", action="store_true", help="it ends when the machine reboots")
        if name == "drain":
            command.add_argument("--no-block", action="store_true", help="do not wait")
            command.add_argument(
                "--timeout",
                type=_seconds,
                default=300.0,
                metavar="TIME",
                help="how long to wait for all units together, such as 90s or 10m (default: 5m)",
            )


def _seconds(text: str) -> float:
    from argosy.formats.duration import parse_duration_s

    try:
        return parse_duration_s(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _add_looks(add: Add) -> None:
    add("cat", looks.cat, "print a unit as it was submitted").add_argument("unit", metavar="UNIT")
    command = add("status", looks.status, "print what the units' machines say about them")
    command.add_argument("units", nargs="+", metavar="UNIT")
    _add_ssh_port(command)
    command = add("journal", looks.journal, "print a unit's journal")
    command.add_argument("unit", metavar="UNIT")
    command.add_argument("--lines", type=int, default=10, help="how many lines (default: 10)")
    command.add_argument("--follow", "-f", action="store_true", help="go on as lines come")
    command.add_argument("--output", default="short", help="journalctl's output mode")
    command.add_argument("--sudo", action="store_true", help="run journalctl with sudo")
    _add_ssh_port(command)
    command = add("why", looks.why, "explain why a unit is where it is, or nowhere")
    command.add_argument("unit", metavar="UNIT")
    command.add_argument("--json", action="store_true", help="as JSON, for scripts")
    command = add("ssh", looks.ssh, "open a shell or run a command, on a machine or where a unit is")
    command.add_argument("--machine", metavar="MACHINE", help="a machine's id, or its beginning")
    command.add_argument("--unit", metavar="UNIT", help="the machine where this unit is")
    command.add_argument(
        "--forward-agent", "-A", action="store_true", help="forward the authentication agent"
    )
    _add_ssh_port(command)
    command.add_argument("words", nargs=argparse.REMAINDER, metavar="{MACHINE|UNIT} [COMMAND...]")
    add("verify", looks.verify, "check unit files").add_argument("units", nargs="+", metavar="FILE")
    add("version", looks.version, "print the version")
    add(
        "fd-forward", looks.fd_forward, "connect standard input and output with a socket (for --tunnel)"
    ).add_argument("socket")


def _add_ssh_port(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--ssh-port", type=int, default=22, metavar="N", help="port of the machines' SSH (default: 22)"
    )


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0", "t", "f"):
        raise argparse.ArgumentTypeError("true or false is needed")
    return text.lower() in ("true", "1", "t")


def _add_globals(parser: argparse.ArgumentParser, *, first: bool) -> None:
    """Options that may stand before and after the command; only before it do they have defaults."""
    group = parser.add_argument_group("global options")
    options: tuple[tuple[str, object, Callable[[str], object], str], ...] = (
        ("endpoint", "unix:///var/run/fleet.sock", str, "where fleetd listens"),
        ("driver", "API", str, "API is the only one"),
        ("tunnel", "", str, "HOST[:PORT]: reach the cluster through this machine, by SSH"),
        ("ssh-username", "core", str, "user on the machines"),
        ("ssh-timeout", 10.0, float, "seconds to wait for an SSH connection"),
        ("strict-host-key-checking", True, _truth, "whether unknown host keys are asked about"),
        ("known-hosts-file", Path("~/.fleetctl/known_hosts"), Path, "where host keys are kept"),
        ("request-timeout", 3.0, float, "seconds to wait for an answer"),
        ("ca-file", None, Path, "authorities for https"),
        ("cert-file", None, Path, "our certificate for https"),
        ("key-file", None, Path, "its key"),
    )
    for name, default, convert, text in options:
        value = os.environ.get("FLEETCTL_" + name.upper().replace("-", "_")) or default
        shown = text if default in (None, "") else f"{text} (default: {default})"
        group.add_argument(
            f"--{name}",
            default=value if first else argparse.SUPPRESS,
            type=convert,
            metavar="X",
            help=shown if first else argparse.SUPPRESS,
        )


_GO_FLAG = re.compile(r"--?([a-z][a-z-]+)(?:=(.*))?", re.DOTALL)
_SWITCHES = frozenset(
    ("full", "no-legend", "no-block", "replace", "follow", "sudo", "forward-agent", "json", "until-reboot")
)


def plain_flags(words: Sequence[str]) -> list[str]:
    """Flags as Go's programs take them (`-full`, `--full=true`) in the form that argparse knows."""
    plain: list[str] = []
    for index, word in enumerate(words):
        match = _GO_FLAG.fullmatch(word)
        if word == "--" or (plain[:1] and plain[-1:] == ["--"]):
            return [*plain, *words[index:]]
        if match is None:
            plain.append(word)
        elif match[1] in _SWITCHES and match[2] is not None:
            plain += [f"--{match[1]}"] if _truth(match[2]) else []
        elif match[1] == "strict-host-key-checking" and match[2] is None:
            plain.append("--strict-host-key-checking=true")
        else:
            plain.append("-" + word if not word.startswith("--") else word)
    return plain

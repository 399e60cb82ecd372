"""`argosy` on a machine of the cluster."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from argosy.base import cli
from argosy.formats.nodestatus import NodeStatus
from argosy.node.health import cli as health
from argosy.node.slots import cli as slots
from argosy.node.status import observe
from argosy.node.status.readiness import wait_until_ready
from argosy.node.update import command as update

_EXAMPLES = """\
examples:
  argosy status               how this machine is
  argosy status --wait 300    wait until it has booted and joined; exit code 1 if it does not within 300 s
  argosy status --json        the same for scripts
  sudo argosy slots           which versions are here, what boots next, what failed
  sudo argosy health          whether all is well
  argosy update why           why this machine is not updating
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `argosy` in the image."""
    parser = cli.program("argosy", "Tells how this machine is.", epilog=_EXAMPLES)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    status = commands.add_parser("status", help="boot, etcd, fleet and the units here", allow_abbrev=False)
    status.add_argument("--json", action="store_true", help="print JSON")
    status.add_argument("--wait", type=float, metavar="SECONDS", help="wait until the machine is ready")
    status.set_defaults(handler=_status)
    slots.add_command(commands)
    health.add_command(commands)
    update.add_command(commands)
    return cli.main(parser, argv)


def _status(arguments: argparse.Namespace) -> int:
    status = observe.look() if arguments.wait is None else _wait(arguments.wait)
    if arguments.json:
        cli.print_json(status)
    else:
        print(_text(status))
    return 0 if arguments.wait is None or status.ready else 1


def _wait(timeout_s: float) -> NodeStatus:
    return wait_until_ready(
        observe.look,
        observe.finish_boot,
        timeout_s=timeout_s,
        clock=time.monotonic,
        sleep=time.sleep,
        note=lambda text: print(text, file=sys.stderr, flush=True),
    )


def _text(status: NodeStatus) -> str:
    slot = f", slot {status.slot}" if status.slot else ""
    lines = [
        f"{status.hostname}  {status.machine_id}",
        f"release  {status.version}{slot}",
        f"system   {status.state}",
        f"etcd     {status.etcd}",
        f"fleet    {status.fleet}",
        *(f"unit     {unit.name}  {unit.active}" for unit in status.units),
    ]
    return "\n".join(lines)

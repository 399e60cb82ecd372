"""`argosy update` on a node: the flags of `update_engine_client` as words. Imports next to nothing."""

from __future__ import annotations

import argparse
from typing import Any

_EXAMPLES = """\
examples:
  argosy update now                   check, and install what is there; exit code 0: reboot now
  argosy update now --retry           also a version that failed here before
  argosy update why --json            why is this machine not updating?
  sudo argosy update pin 4892.0.0     take this version only
  sudo argosy update hold "moving"    no updates until `argosy update unhold`
  sudo argosy update back             boot the other slot, and hold updates
"""

_WITHOUT_ARGUMENTS = {
    "unpin": ("-unpin", "take any version again"),
    "unhold": ("-unhold", "take updates again"),
    "back": ("-previous_slot", "boot the other slot from the next reboot on, and hold updates"),
    "cancel": ("-reset_status", "take back an update that waits for the reboot, and forget failures"),
}


def add_command(commands: Any) -> None:
    """Add `update` to the parsers of `argosy`."""
    parser = commands.add_parser(
        "update",
        help="update now, or say why not; pin, hold, go back",
        description="Updates this machine, and says what it takes.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    now = _action(actions, "now", "check, and install what is there", lambda a: ["-update", *_retry(a)])
    now.add_argument("--retry", action="store_true", help="also a version that failed here before")
    why = _action(actions, "why", "say why this machine is not updating", lambda a: ["-why", *_json(a)])
    why.add_argument("--json", action="store_true", help="print JSON")
    pin = _action(actions, "pin", "take this version only", lambda a: ["-pin", a.version])
    pin.add_argument("version", metavar="VERSION")
    hold = _action(actions, "hold", "take no updates", lambda a: ["-hold", a.reason])
    hold.add_argument("reason", metavar="REASON", nargs="?", default="yes")
    for name, (flag, text) in _WITHOUT_ARGUMENTS.items():
        _action(actions, name, text, lambda a, flag=flag: [flag])


def _action(actions: Any, name: str, text: str, flags: Any) -> Any:
    def run(arguments: argparse.Namespace) -> int:
        from argosy.node.update.cli import main

        return main(flags(arguments))

    parser = actions.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + ".", allow_abbrev=False
    )
    parser.set_defaults(handler=run)
    return parser


def _retry(arguments: argparse.Namespace) -> list[str]:
    return ["-retry"] if arguments.retry else []


def _json(arguments: argparse.Namespace) -> list[str]:
    return ["--json"] if arguments.json else []

"""`argosy slots`; and what systemd runs: `slots reconcile` at a boot, `slots return-try` at a trial's reboot.

What a boot waits for imports little: its start-up is most of what it costs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from argosy.base.errors import ArgosyError, describe
from argosy.node.release import release_version
from argosy.node.slots.esp import device, mounted
from argosy.node.slots.store import this_machine

if TYPE_CHECKING:
    import argparse

_RECONCILE, _RETURN_TRY = "reconcile", "return-try"
# The automount of /boot is not there yet, or not any more.
_ESP = Path("/run/argosy/esp")

_EXAMPLES = """\
examples:
  sudo argosy slots                     what is in both slots, what boots next, what failed and why
  sudo argosy slots --json              the same for scripts
  sudo argosy slots --boot a            boot slot A from the next reboot on
  sudo argosy slots --forget 4892.0.0   it failed here, but let it be tried again
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of /usr/lib/argosy/slots."""
    words = sys.argv[1:] if argv is None else argv
    if len(words) != 1 or words[0] not in (_RECONCILE, _RETURN_TRY):
        print(f"usage: slots {_RECONCILE}|{_RETURN_TRY}", file=sys.stderr)
        return 2
    try:
        with mounted(device(), _ESP) as esp:
            slots = this_machine(esp)
            notes = slots.return_try() if words[0] == _RETURN_TRY else slots.reconcile(release_version())
    except ArgosyError as error:
        print(describe(error, "slots"), file=sys.stderr)
        return error.exit_code
    for note in notes:
        print(note, file=sys.stderr)
    return 0


def add_command(commands: Any) -> None:
    """Add `slots` to the parsers of `argosy`."""
    import argparse

    parser = commands.add_parser(
        "slots",
        help="both slots: versions, what boots next and why, what failed",
        description="Tells what is in both slots, what boots next and why, and what failed before.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--boot", choices=("a", "b"), help="boot this slot from the next reboot on")
    parser.add_argument("--forget", metavar="VERSION", help="let a version that failed here be tried again")
    parser.set_defaults(handler=_slots)


def _slots(arguments: argparse.Namespace) -> int:
    from argosy.base.cli import print_json
    from argosy.node.slots.words import report, text

    try:
        slots = this_machine()
        if arguments.boot:
            slots.prioritize(arguments.boot)
        if arguments.forget:
            slots.forget(arguments.forget)
        state = slots.observe()
    except PermissionError as error:
        raise ArgosyError(f"only root reads {error.filename}", hint="try: sudo argosy slots") from error
    if arguments.json:
        print_json(report(state))
    else:
        print(text(report(state)))
    return 0

"""`argosy health`: the health probes, asked once."""

from __future__ import annotations

import argparse
from typing import Any

from argosy.base import cli
from argosy.base.errors import ArgosyError

_EXAMPLES = """\
examples:
  sudo argosy health          ask all probes, built in and your own
  sudo argosy health --json   the same for scripts; exit code 1 if one does not pass
"""


def add_command(commands: Any) -> None:
    """Add `health` to the parsers of `argosy`."""
    parser = commands.add_parser(
        "health",
        help="the health probes, which decide whether a new version stays",
        description="Asks the health probes. On a boot that tries a new version they decide whether it\n"
        "stays; asking them here decides nothing.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(handler=_health)


def _health(arguments: argparse.Namespace) -> int:
    from argosy.node.health.model import HealthReport
    from argosy.node.health.probes import probes
    from argosy.node.updateconf import read_settings

    results = tuple(probe.result() for probe in probes(read_settings))
    found = HealthReport(all(result.passed for result in results), _on_trial(), results)
    if arguments.json:
        cli.print_json(found)
    else:
        width = max(len(result.name) for result in results)
        for result in results:
            print(f"{'pass' if result.passed else 'FAIL'}  {result.name:<{width}}  {result.detail}")
    return 0 if found.healthy else 1


def _on_trial() -> bool:
    from argosy.node.slots.store import this_machine

    try:
        return this_machine().observe().in_trial
    except (ArgosyError, PermissionError):
        return False

"""`argosy releases`: what builds have left on this host."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from argosy.base.cli import print_json
from argosy.base.errors import InputError
from argosy.cli.columns import print_columns

if TYPE_CHECKING:
    from argosy.lab.releases import ReleaseUse

_DEFAULT_KEEP = 1

_DESCRIPTION = """\
List the releases in ~/.local/share/argosy/releases, the newest first, with the room that each takes and the
clusters that were made from it.

A build or an `up` that makes a release removes older ones by itself: those whose versions nobody asked for
(`argosy build` without --version), that no cluster uses, and that are not among the newest three.
"""

_EPILOG = """\
examples:
  argosy releases
  argosy releases --json | jq '.[].version'
  argosy releases prune                remove all but the newest and those that clusters use
  argosy releases prune --keep 0       the newest too
"""

_PRUNE = """\
Remove releases that no cluster uses. A cluster keeps working without its release: it has taken what it needs.
"""


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this room's commands to the command `argosy`."""
    releases = commands.add_parser(
        "releases",
        help="list the releases of this host, remove old ones",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    releases.add_argument("--json", action="store_true", help="print them as JSON")
    releases.set_defaults(handler=_list)
    actions = releases.add_subparsers(title="commands", metavar="COMMAND")
    prune = actions.add_parser(
        "prune", help="remove releases that no cluster uses", description=_PRUNE, allow_abbrev=False
    )
    prune.add_argument(
        "--keep",
        type=int,
        default=_DEFAULT_KEEP,
        metavar="N",
        help="the newest N stay in any case (default: %(default)s)",
    )
    prune.add_argument("--json", action="store_true", help="print what was removed as JSON")
    prune.set_defaults(handler=_prune)


def print_removed(removed: list[ReleaseUse]) -> None:
    """Say which releases went, if any did."""
    if removed:
        size_bytes = sum(release.size_bytes for release in removed)
        versions = ", ".join(release.version for release in removed)
        print(f"removed {versions} ({_megabytes(size_bytes)}), which no cluster uses")


def _list(arguments: argparse.Namespace) -> int:
    from argosy.lab.releases import look
    from argosy.lab.wiring import open_store

    releases = look(open_store())
    if arguments.json:
        print_json(releases)
        return 0
    head = ("VERSION", "CHANNEL", "SIZE", "KEY", "CLUSTERS")
    rows = [
        (
            release.version,
            release.channel,
            _megabytes(release.size_bytes),
            "development" if release.development else "",
            ", ".join(release.clusters) or "-",
        )
        for release in releases
    ]
    print_columns([head, *rows])
    return 0


def _prune(arguments: argparse.Namespace) -> int:
    from argosy.cli.progress import terminal_progress
    from argosy.lab.releases import prune
    from argosy.lab.wiring import open_store

    if arguments.keep < 0:
        raise InputError(f"--keep {arguments.keep}: must be 0 or more")
    with terminal_progress() as progress:
        removed = prune(open_store(), progress, keep=arguments.keep)
    if arguments.json:
        print_json(removed)
    elif removed:
        print_removed(removed)
    else:
        print("nothing to remove: clusters use the releases that are here, or they are to be kept")
    return 0


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.0f} MB"

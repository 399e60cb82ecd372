"""`python -m bench`: measure, and print what was measured."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from argosy.base import cli
from argosy.base.decode import encode_json
from argosy.base.files import replace_file
from argosy.base.progress import Progress
from argosy.cli.progress import terminal_progress
from argosy.image.build import Request, ensure_release
from bench import apply, boot, daemons, plot, rollout, service, sizes

_RESULTS = Path(__file__).parent / "results"
_PICTURE = Path(__file__).parents[1] / "docs/images/rollout.svg"
_EPILOG = """\
examples:
  python -m bench                     all of it, about half an hour
  python -m bench boot --runs 5       CPU seconds from power-on to healthy, against a plain Debian root
  python -m bench apply --runs 5      CPU and memory of a full update, against the least possible
  python -m bench sizes               /usr, packed release, initrd
  python -m bench service             checks a second of the update service with 100,000 known machines
  python -m bench rollout             time of 1,000 simulated machines to update, and the docs' plot of it
  python -m bench daemons             memory and CPU of our daemons after ten idle minutes (needs root)
"""
_PARTS = ("boot", "sizes", "apply", "service", "rollout", "daemons")


def main() -> int:
    """Entry point."""
    parser = cli.program(
        "bench", "Measure a release, as ratios against references in the same run.", epilog=_EPILOG
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(_PARTS)}; the default is all")
    parser.add_argument("--runs", type=int, default=3, help="runs of each kind (default: 3)")
    parser.add_argument("--idle", type=float, default=600.0, metavar="S", help="idle seconds (default: 600)")
    parser.set_defaults(handler=_measure)
    return cli.main(parser)


def _measure(arguments: argparse.Namespace) -> int:
    parts = arguments.parts or list(_PARTS)
    unknown = [part for part in parts if part not in _PARTS]
    if unknown:
        print(f"bench: no part {unknown[0]!r}; there are {', '.join(_PARTS)}", file=sys.stderr)
        return 2
    with terminal_progress() as progress:
        results = {part: _part(part, arguments, progress) for part in parts}
    _RESULTS.mkdir(exist_ok=True)
    for part, result in results.items():
        replace_file(_RESULTS / f"{part}.json", encode_json(result, pretty=True))
    cli.print_json(results)
    return 0


def _part(part: str, arguments: argparse.Namespace, progress: Progress) -> Any:
    if part == "daemons":
        return [asdict(result) for result in daemons.measure(arguments.idle, progress)]
    if part == "service":
        return [asdict(result) for result in service.measure(progress)]
    if part == "rollout":
        plot.need()  # Before minutes of work, not after.
        found = rollout.measure(progress)
        replace_file(_PICTURE, plot.draw(found))
        return asdict(found)
    release = ensure_release(Request(), progress).folder
    if part == "boot":
        return asdict(boot.measure(release, arguments.runs, progress))
    if part == "apply":
        return asdict(apply.measure(release, arguments.runs, progress))
    return asdict(sizes.measure(release, progress))


if __name__ == "__main__":
    sys.exit(main())

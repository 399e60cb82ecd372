"""The arguments of the demos, and their help."""

from __future__ import annotations

import argparse
from pathlib import Path

from argosy.cli.demo import stories

_NAME = "demo"
_DEMO = """\
Rollouts from nothing, with proof: they build, publish and watch by commands that are shown, and end with an
error if a promise was broken.
"""
_UPDATE = """\
Three machines with a sample service on each take an update, one after another, while the service is asked
five times a second. Ends with 0 only if every machine runs the new version from its other slot, they left
one at a time, no question stayed without an answer, and etcd kept its quorum.
"""
_ROLLBACK = """\
Three machines are offered a version that fails a health probe of its own. Ends with 0 only if one machine
tried it and went back by itself, the others were not touched, the rollout stopped, and its reason names
machine and probe.
"""
_EXAMPLES = """\
The cluster stays, and both stories go on with it if it is there.

examples:
  argosy demo {0}
  argosy demo {0} --proof ./proof       keep the logs of all questions and answers there
  argosy destroy --name demo            remove the cluster
"""


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this room's commands to the command `argosy`."""
    demo = commands.add_parser(
        "demo",
        help="watch a cluster take an update, or refuse a bad one",
        description=_DEMO,
        epilog="examples:\n  argosy demo update\n  argosy demo rollback\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    kinds = demo.add_subparsers(title="stories", metavar="STORY", required=True)
    for name, summary, description, handler in (
        ("update", "an update rolls over three machines", _UPDATE, stories.update),
        ("rollback", "a bad version is stopped by the first machine", _ROLLBACK, stories.rollback),
    ):
        story = kinds.add_parser(
            name,
            help=summary,
            description=description,
            epilog=_EXAMPLES.format(name),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        story.add_argument(
            "--name", default=_NAME, help="the cluster, made if missing (default: %(default)s)"
        )
        story.add_argument(
            "--proof", type=Path, metavar="DIR", help="where the logs go (default: the cluster's folder)"
        )
        story.set_defaults(handler=handler)
        if handler is stories.update:
            story.add_argument(
                "--release", type=Path, metavar="DIR", help="the new version (default: built for it)"
            )

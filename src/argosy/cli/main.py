"""The command `argosy`: the front door of the image, the lab and the server."""

from __future__ import annotations

from argosy.base import cli

_DESCRIPTION = """\
Build Argosy, a minimal self-updating cluster operating system made from Debian packages,
and run clusters of it on this machine.
"""

_EPILOG = """\
examples:
  argosy setup                       install what building and running needs
  argosy up                          build if needed, boot three machines, wait until they are a cluster
  argosy status                      what runs, and how it is
  argosy ssh core-01 -- fleetctl list-machines
  argosy destroy                     remove the cluster and all that belongs to it
  argosy publish 4892.0.0 --channel stable
                                     give the machines of a channel an update
"""


def main() -> int:
    """Entry point of the command `argosy`."""
    return cli.main(build_parser())


def build_parser() -> cli.Parser:
    """The parser of all commands; importing the rooms' heavy parts is left to their handlers."""
    from argosy.cli import demo, image, keys, lab, releases, server, setup, update

    parser = cli.program("argosy", _DESCRIPTION, epilog=_EPILOG)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for room in (setup, image, releases, keys, lab, server, update, demo):
        room.add_commands(commands)
    return parser

"""`argosy keys`: the keys that sign releases."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from argosy.base.cli import print_json

DEVELOPMENT_NOTE = ": a development key, for trying things out"

_DESCRIPTION = """\
The Ed25519 keys that sign releases. Machines take an update only if a key signs it that the release they run
trusts: all public keys of the folder go into the image, all private ones sign.

Keys are in $ARGOSY_KEYS, else ~/.config/argosy/keys: NAME.key is private (keep a copy, and keep it secret),
NAME.pem is public. The first build makes the key `development`, which is good for trying things out.
"""

_EPILOG = """\
examples:
  argosy keys list
  argosy keys create                   a first key, before the first build
  argosy keys rotate                   add its successor: releases trust both, and both sign them
  argosy keys retire release           once every machine runs such a release: trust only the successor
"""


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this room's commands to the command `argosy`."""
    parser = commands.add_parser(
        "keys",
        help="list, make and rotate the keys that sign releases",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    actions = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _action(actions, "list", "show the keys that are trusted", _list)
    create = _action(actions, "create", "make the first key", _create)
    create.add_argument("name", metavar="NAME", nargs="?", help="default: release")
    rotate = _action(actions, "rotate", "make the successor of the key", _rotate)
    rotate.add_argument("name", metavar="NAME", nargs="?", help="default: release, release-2...")
    retire = _action(actions, "retire", "trust a key no more; it is kept in retired/", _retire)
    retire.add_argument("name", metavar="NAME")


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str, handler: Any
) -> argparse.ArgumentParser:
    action = actions.add_parser(
        name, help=text, description=f"{text[0].upper()}{text[1:]}.", allow_abbrev=False
    )
    action.add_argument(
        "--keys", metavar="DIR", type=Path, help="the folder (default: see `argosy keys --help`)"
    )
    action.add_argument("--json", action="store_true", help="print the keys as JSON")
    action.set_defaults(handler=handler)
    return action


def _list(arguments: argparse.Namespace) -> int:
    return _show(arguments)


def _create(arguments: argparse.Namespace) -> int:
    from argosy.image.keys import DEFAULT_NAME, create

    create(_folder(arguments), arguments.name or DEFAULT_NAME)
    return _show(arguments)


def _rotate(arguments: argparse.Namespace) -> int:
    from argosy.image.keys import load_keys, rotate

    folder = _folder(arguments)
    old = load_keys(folder)
    rotate(folder, arguments.name)
    return _show(
        arguments,
        "next: build and publish a release; once every machine runs it,",
        f"      argosy keys retire {old[0].name}",
    )


def _retire(arguments: argparse.Namespace) -> int:
    from argosy.image.keys import retire

    retire(_folder(arguments), arguments.name)
    return _show(arguments)


def _folder(arguments: argparse.Namespace) -> Path:
    from argosy.image.keys import keys_folder

    return (arguments.keys or keys_folder()).absolute()


def _show(arguments: argparse.Namespace, *advice: str) -> int:
    """The keys that are trusted now; nothing of a private key is ever shown."""
    from argosy.image.keys import load_keys

    folder = _folder(arguments)
    keys = load_keys(folder)
    if arguments.json:
        entries = [
            {
                "name": key.name,
                "id": key.id,
                "signs": key.private is not None,
                "development": key.label.development,
            }
            for key in keys
        ]
        print_json({"folder": str(folder), "keys": entries})
        return 0
    if not keys:
        print(f"no keys in {folder}: the first build makes a development key, `argosy keys create` your own")
    width = max((len(key.name) for key in keys), default=0)
    for key in keys:
        use = "signs and is trusted" if key.private else "is trusted, cannot sign here"
        print(f"{key.name:<{width}}  {key.id}  {use}{DEVELOPMENT_NOTE if key.label.development else ''}")
    for line in advice:
        print(line)
    return 0

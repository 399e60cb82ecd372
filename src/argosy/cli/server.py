"""The commands of the server room."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from argosy.base.log import set_up_logging

_DESCRIPTION = """\
Run the server: updates for machines (Omaha, with a page that shows them), and discovery for etcd
clusters (as discovery.etcd.io). It keeps what it knows in a database and may be restarted at any time.

It listens on this machine only, unless told otherwise. Whoever reaches it can begin clusters, and
whoever has a cluster's URL can join it: put a proxy with TLS in front before others reach it. What
changes updates (`argosy publish`...) needs the token; so does looking at them from elsewhere.
"""

_EPILOG = """\
examples:
  argosy serve
  curl 'http://127.0.0.1:8087/new?size=3'        a fresh discovery URL, for etcd's --discovery
  argosy serve --listen 192.0.2.1:8087 --url https://argosy.example.com
  argosy serve --token-file /etc/argosy/token --packages /srv/payloads

A database's URL that holds a password belongs in the environment, as ARGOSY_DATABASE:
arguments can be seen by every user of the machine.
"""


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this room's commands to the command `argosy`."""
    parser = commands.add_parser(
        "serve",
        help="run the server: updates and discovery",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--listen",
        metavar="ADDRESS:PORT",
        default="127.0.0.1:8087",
        help="where to listen; port 0 takes a free one (default: %(default)s)",
    )
    parser.add_argument(
        "--url", help="how clients reach the server, if not at the address they asked: behind a proxy"
    )
    parser.add_argument(
        "--database",
        metavar="URL",
        default=os.environ.get("ARGOSY_DATABASE"),
        help="SQLAlchemy URL (default: SQLite, $XDG_DATA_HOME/argosy/server.sqlite)",
    )
    parser.add_argument(
        "--token-file",
        metavar="FILE",
        type=Path,
        default=os.environ.get("ARGOSY_TOKEN_FILE") or None,
        help="the token for changes; made if missing (default: `server-token` beside the database)",
    )
    parser.add_argument(
        "--packages",
        metavar="DIR",
        type=Path,
        help="where payloads are kept (default: `packages` beside the database)",
    )
    parser.add_argument(
        "--keys",
        metavar="DIR",
        type=Path,
        help="the public keys (*.pem) that payloads must be signed with (default: those of `argosy keys`)",
    )
    parser.set_defaults(handler=_serve)


def _serve(arguments: argparse.Namespace) -> int:
    from argosy.server.service import Settings, parse_listen, parse_url, serve

    set_up_logging()
    host, port = parse_listen(arguments.listen)
    url = parse_url(arguments.url) if arguments.url else None
    settings = Settings(
        host, port, url, arguments.database, arguments.token_file, arguments.packages, arguments.keys
    )
    serve(settings, _announce)
    return 0


def _announce(address: str, token_file: Path) -> None:
    print(f"listening on {address}\nthe token for changes is in {token_file}", flush=True)

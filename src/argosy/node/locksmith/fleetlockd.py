"""`fleetlockd`: the reboot lock over HTTP for machines of other systems; its command line and wiring."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from argosy.base import cli
from argosy.base.errors import ArgosyError, InputError, Location
from argosy.base.lean import without_openssl
from argosy.base.log import set_up_logging
from argosy.node.locksmith.config import access
from argosy.node.locksmith.model import Access
from argosy.node.updateconf import Value

if TYPE_CHECKING:
    import asyncio
    import socket

_MAX_BODY_BYTES = 64 << 10
_EPILOG = """\
It listens where fleetlock.socket says: `sudo systemctl enable --now fleetlock.socket` turns it on, port 3333.

examples:
  fleetlockd --listen 127.0.0.1:3333       without systemd
  curl -H 'fleet-lock-protocol: true' --json '{"client_params": {"id": "a", "group": "default"}}' \\
      http://core-01:3333/v1/pre-reboot    what a client asks; steady-state gives the lock back

settings: LOCKSMITHD_ENDPOINT, LOCKSMITHD_ETCD_CAFILE and so on, as locksmithd's, in the environment; the
service has there what /etc/coreos/update.conf says.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `fleetlockd`."""
    parser = cli.program(
        "fleetlockd", "Give the cluster's reboot lock to FleetLock's clients.", epilog=_EPILOG
    )
    parser.add_argument(
        "--listen", action="append", metavar="HOST:PORT", default=[], help="instead of systemd's sockets"
    )
    parser.set_defaults(handler=_run)
    return cli.main(parser, argv)


def _run(arguments: argparse.Namespace) -> int:
    set_up_logging()
    values = {name: Value(text, Location(name)) for name, text in os.environ.items() if text}
    found = access(values)
    if not any(endpoint.startswith("https:") for endpoint in found.endpoints):
        without_openssl()
    import asyncio

    from argosy.base.loop import run_daemon

    asyncio.run(run_daemon(lambda stop: _serve(found, arguments.listen, stop)))
    return 0


async def _serve(found: Access, listen: Sequence[str], stop: asyncio.Event) -> None:
    import time

    from argosy.base.http import Server, activated_sockets
    from argosy.base.notify import notify
    from argosy.node.locksmith import cluster
    from argosy.node.locksmith.fleetlock import Api

    sockets = [_listening(each) for each in listen] or activated_sockets()
    if not sockets:
        raise ArgosyError(
            "there is nothing to listen on", hint="start fleetlock.socket, or say --listen HOST:PORT"
        )
    etcd = cluster.connect(found)
    api = Api(etcd, found, lambda: int(time.time()))
    server = Server(api.handle, max_body_bytes=_MAX_BODY_BYTES)
    await server.start(sockets)
    notify("READY=1")
    try:
        await stop.wait()
        notify("STOPPING=1")
    finally:
        await server.close()
        etcd.close()


def _listening(text: str) -> socket.socket:
    import socket

    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise InputError(f"`{text}` is not HOST:PORT")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host.strip("[]"), int(port)), family=family)
    except OSError as error:
        raise ArgosyError(f"cannot listen on {text}: {error.strerror or error}") from error

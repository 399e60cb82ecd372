"""`fleetd`: its command line and settings. The rest is imported when it is known whether TLS is needed."""

from __future__ import annotations

import os
from pathlib import Path

from argosy.base import cli
from argosy.base.lean import without_openssl
from argosy.base.log import set_up_logging
from argosy.node.fleet.config import DEFAULT_FILE, read_config

_EPILOG = """\
settings: KEY=VALUE lines in /etc/fleet/fleet.conf, or FLEET_KEY in the environment
  etcd_servers=http://127.0.0.1:2379    where etcd listens, separated by commas
  public_ip=172.17.8.101                the address that the others see (default: that of the default route)
  metadata=zone=a,disk=ssd              what units may ask for with MachineMetadata=
  agent_ttl=30s                         after this silence a machine's units move
"""


def main() -> int:
    """Entry point of `fleetd`."""
    parser = cli.program("fleetd", "Run this machine's share of the cluster's units.", epilog=_EPILOG)
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="settings (default: /etc/fleet/fleet.conf)"
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    parser.set_defaults(handler=lambda arguments: _version() if arguments.version else _run(arguments.config))
    return cli.main(parser)


def _version() -> int:
    from argosy.formats.fleet import VERSION

    os.write(1, f"fleetd version {VERSION}\n".encode())
    return 0


def _run(file: Path | None) -> int:
    set_up_logging()
    config = read_config(file or DEFAULT_FILE, os.environ, required=file is not None)
    set_up_logging(verbose=config.verbosity > 0)
    if not any(server.startswith("https:") for server in config.etcd_servers):
        without_openssl()
    from argosy.node.fleet.service import run

    run(config)
    return 0

"""`locksmithd`: the daemon's command line and wiring."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from argosy.base import cli
from argosy.base.lean import without_openssl
from argosy.base.log import set_up_logging
from argosy.node.locksmith.config import read_settings
from argosy.node.updateconf import FILES

if TYPE_CHECKING:
    import asyncio
    from datetime import tzinfo

    from argosy.node.locksmith.bus import Host
    from argosy.node.locksmith.edges import Edges

_EPILOG = """\
settings: KEY=VALUE lines in /etc/coreos/update.conf, then /usr/share/coreos/update.conf, then the environment
  REBOOT_STRATEGY=best-effort        etcd-lock, reboot, best-effort or off
  REBOOT_WINDOW_START=Thu 04:00      with REBOOT_WINDOW_LENGTH=1h30m; several are separated by commas
  REBOOT_DELAY=5m                    after the machine before is back
  REBOOT_WARNING=5m                  how long users at a terminal are warned ahead
  REBOOT_DRAIN_TIMEOUT=5m            how long units may take to move
  STALE_LOCK_AFTER=1h                free the lock of a machine that is gone for so long (default: off)
  LOCKSMITHD_GROUP=storage           machines of one group share one lock
  LOCKSMITHD_ENDPOINT=http://127.0.0.1:2379
  LOCKSMITHD_ETCD_CAFILE, _CERTFILE, _KEYFILE, _USERNAME, _PASSWORD

`locksmithctl why` says why this machine has not rebooted.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `locksmithd`."""
    parser = cli.program("locksmithd", "Reboot this machine when it has to, and may.", epilog=_EPILOG)
    parser.add_argument(
        "--conf", type=Path, action="append", metavar="FILE", help="settings instead of CoreOS's files"
    )
    parser.add_argument("--bus", metavar="ADDRESS", help="default: the system bus")
    parser.set_defaults(handler=_run)
    return cli.main(parser, argv)


def _run(arguments: argparse.Namespace) -> int:
    set_up_logging()
    files = arguments.conf or FILES
    if not any(_uses_tls(files)):
        without_openssl()
    import asyncio

    from argosy.base.loop import run_daemon

    failed = False

    async def body(stop: asyncio.Event) -> None:
        nonlocal failed
        failed = not await _serve(files, arguments.bus, stop)

    asyncio.run(run_daemon(body))
    return 1 if failed else 0


def _uses_tls(files: Sequence[Path]) -> list[bool]:
    """Which of etcd's addresses ask for TLS. Settings that are wrong are told by the daemon's loop."""
    from argosy.base.errors import InputError

    try:
        endpoints = read_settings(os.environ, files).access.endpoints
    except InputError:
        return [True]
    return [endpoint.startswith("https:") for endpoint in endpoints]


async def _serve(files: Sequence[Path], bus: str | None, stop: asyncio.Event) -> bool:
    """Until `stop`, or until the bus goes away: False."""
    from argosy.base.loop import Loop, run_until
    from argosy.base.notify import notify
    from argosy.node.locksmith.bus import Host
    from argosy.node.locksmith.daemon import TICK_S, Daemon

    host = Host(lambda: loop.wake(), lambda: daemon.ask(), bus)
    edges = _edges(files, host)
    daemon = Daemon(edges)
    loop = Loop("locksmithd", daemon.step, tick_s=TICK_S)
    with edges.runtime.alone():
        await host.connect()
        daemon.start()
        notify("READY=1")
        try:
            await run_until(loop.run(), stop.wait(), host.gone())
            return stop.is_set()
        finally:
            notify("STOPPING=1")
            daemon.close()
            await host.close()


def _edges(files: Sequence[Path], host: Host) -> Edges:
    import random
    import time
    from datetime import datetime

    from argosy.node.locksmith import users
    from argosy.node.locksmith.edges import Edges
    from argosy.node.locksmith.fleet import FleetApi, FleetDrainer
    from argosy.node.locksmith.identity import identity
    from argosy.node.locksmith.runtime import Runtime

    async def fleet_runs() -> bool:
        return (await host.unit_states())[1] != "inactive"

    who = identity()
    fleet = FleetApi(who.machine_id)
    return Edges(
        identity=who,
        read_settings=lambda: read_settings(os.environ, files),
        host=host,
        fleet=fleet,
        drainer=FleetDrainer(fleet, who.boot_id, fleet_runs),
        runtime=Runtime(),
        in_trial=_in_trial,
        users=lambda: tuple(sorted(set(users.at_terminals().values()))),
        tell_users=users.tell,
        now=lambda: datetime.now(_local_zone()),
        up_s=lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
        chance=random.random,
    )


def _in_trial() -> bool:
    from argosy.node.slots.model import NoSlotsError
    from argosy.node.slots.store import this_machine

    try:
        return this_machine().observe().in_trial
    except NoSlotsError:
        return False


def _local_zone() -> tzinfo:
    """The machine's time zone, read anew: it may be changed while we run."""
    from datetime import UTC
    from zoneinfo import ZoneInfo

    try:
        with Path("/etc/localtime").open("rb") as file:
            return ZoneInfo.from_file(file)
    except (OSError, ValueError):
        return UTC

"""fleetd: the agent of this machine, an engine that may lead the cluster, and the API on a unix socket.

What stopping means depends on why systemd stops the service. On `systemctl restart`, after a crash or a kill
the units keep running and the machine stays in the cluster: the next fleetd goes on where this one was. On
`systemctl stop` and when the machine shuts down, the units are stopped and then the machine leaves the
cluster at once, so that they can run elsewhere without ever running twice.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from pathlib import Path

from argosy.base.errors import ArgosyError
from argosy.base.http import Server, activated_sockets, unix_socket
from argosy.base.loop import SystemClock, run_daemon
from argosy.base.notify import notify
from argosy.node.fleet.config import Config
from argosy.node.fleet.daemon import Daemon
from argosy.node.systemd import SystemBus

log = logging.getLogger(__name__)

_SOCKET = Path("/run/fleet.sock")
_MACHINE_ID = Path("/etc/machine-id")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_SERVICE = "fleet.service"


def run(config: Config) -> None:
    """Serve until systemd ends us."""
    asyncio.run(run_daemon(lambda stop: _serve(config, stop)))


async def _serve(config: Config, stop: asyncio.Event) -> None:
    systemd = SystemBus(lambda path: daemon.unit_changed(path))
    address = config.public_ip or own_address()
    boot = _BOOT_ID.read_text().strip()
    daemon = Daemon(config, _machine_id(), address, systemd, SystemClock(), boot=boot)
    server = Server(daemon.api.handle)
    await server.start(activated_sockets() or [unix_socket(_SOCKET)])
    notify("READY=1", "STATUS=waiting for etcd")
    try:
        await daemon.run(stop)
        notify("STOPPING=1")
        if await _is_stopping_for_good(systemd):
            notify("STATUS=stopping the units and leaving the cluster")
            log.info("stopping the units and leaving the cluster")
            await daemon.leave()
        else:
            log.info("the units keep running; the machine stays in the cluster")
    finally:
        await daemon.close()
        await server.close()
        await systemd.close()


async def _is_stopping_for_good(systemd: SystemBus) -> bool:
    if "INVOCATION_ID" not in os.environ:
        return False
    try:
        return await systemd.is_stopping_for_good(_SERVICE)
    except ArgosyError as error:
        log.warning("cannot tell why we are to stop, so the units keep running: %s", error)
        return False


def _machine_id() -> str:
    try:
        machine_id = _MACHINE_ID.read_text().strip()
    except OSError as error:
        raise ArgosyError(f"cannot read {_MACHINE_ID}: {error.strerror}") from error
    if len(machine_id) != 32:
        raise ArgosyError(f"{_MACHINE_ID} holds no machine id", hint="systemd writes it at boot")
    return machine_id


def own_address() -> str:
    """The address that others reach us at: as the platform told, or that of the default route, or none."""
    told = os.environ.get("COREOS_PUBLIC_IPV4") or os.environ.get("COREOS_PRIVATE_IPV4")
    if told:
        return told
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        try:
            # Nothing is sent; the kernel only picks the route (the address is one for documents, RFC 5737).
            channel.connect(("192.0.2.1", 9))
        except OSError:
            return ""
        return str(channel.getsockname()[0])

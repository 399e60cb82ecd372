"""A cluster's network: a namespace that lives as long as the forwarder or a machine is in it."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from argosy.base.decode import encode_json
from argosy.base.errors import ArgosyError
from argosy.base.files import replace_file
from argosy.lab import process
from argosy.lab.model import Site
from argosy.lab.nspawn.command import forwarding
from argosy.lab.nspawn.supervisor import leader, supervisors

_ROLE = "network"
_STARTS_WITHIN_S = 60.0
_LOG_LINES = 10


def forwarder(site: Site) -> process.Process | None:
    """The forwarder, if it has said that everything of the network stands."""
    try:
        ready = _ready_file(site).read_text()
    except FileNotFoundError:
        return None
    return next((one for one in _forwarders(site) if str(one.pid) == ready), None)


def start(site: Site) -> None:
    """Start the forwarder and wait for it; raises `ArgosyError` with what it printed."""
    stop(site)
    source = site.folder / "forwarding.json"
    replace_file(source, encode_json(forwarding(site.cluster, _ready_file(site)), pretty=True))
    log = site.folder / "forwarder.log"
    log_start = size(log)
    host_namespace = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        program = [sys.executable, "-m", "argosy.lab.nspawn.forwarder", str(source), str(host_namespace)]
        argv = [*_enter_namespace(site), *program]
        process.spawn(site.cluster.id, _ROLE, argv, log=log, pass_fds=[host_namespace])
    finally:
        os.close(host_namespace)
    deadline = time.monotonic() + _STARTS_WITHIN_S
    while forwarder(site) is None:
        if not _forwarders(site) or time.monotonic() > deadline:
            raise ArgosyError("the cluster's network does not start", hint=tail(log, log_start))
        time.sleep(0.05)


def stop(site: Site) -> None:
    """End the forwarder; the namespace goes with it, unless machines run in it."""
    process.end(_forwarders(site))
    _ready_file(site).unlink(missing_ok=True)


def size(log: Path) -> int:
    """How long a log is now; 0 if there is none."""
    return log.stat().st_size if log.exists() else 0


def tail(log: Path, start: int) -> str:
    """The last lines that were added to `log` after `start` bytes."""
    with log.open("rb") as file:
        file.seek(start)
        lines = file.read().decode(errors="replace").splitlines()
    return "\n".join(lines[-_LOG_LINES:]) or f"see {log}"


def _forwarders(site: Site) -> list[process.Process]:
    return process.find_role(site.cluster.id, _ROLE)


def _enter_namespace(site: Site) -> list[str]:
    """What puts a new forwarder into the cluster's namespace: the one of machines that run, or a new one."""
    for machine in site.cluster.machines:
        for supervisor in supervisors(site, machine):
            if leader(supervisor) is not None:
                return ["nsenter", f"--net=/proc/{supervisor.pid}/ns/net", "--"]
    return ["unshare", "--net", "--"]


def _ready_file(site: Site) -> Path:
    return site.runtime / "forwarder.pid"

"""The edge: asks systemd, etcd and fleet how they are."""

from __future__ import annotations

import http.client
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from argosy.base.decode import decode_json
from argosy.base.errors import ArgosyError
from argosy.base.run import run
from argosy.formats.fleet import MachinePage, StatePage
from argosy.formats.nodestatus import NodeStatus, UnitStatus
from argosy.node.release import release_version

Page = TypeVar("Page", MachinePage, StatePage)

_ANSWER_TIMEOUT_S = 3.0
_UNITS = ("etcd-member.service", "fleet.service")


@dataclass(frozen=True, slots=True)
class Places:
    """Where etcd and fleet answer."""

    etcd_host: str = "127.0.0.1"
    etcd_port: int = 2379
    fleet_socket: Path = Path("/run/fleet.sock")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_ANSWER_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_ANSWER_TIMEOUT_S)
        self.sock.connect(str(self._path))


def look() -> NodeStatus:
    """This machine's status now."""
    machine_id = Path("/etc/machine-id").read_text().strip()
    etcd_state, fleet_state = _unit_states()
    fleet, units = fleet_status(fleet_state, machine_id, Places())
    return NodeStatus(
        hostname=socket.gethostname(),
        machine_id=machine_id,
        version=release_version(),
        slot=slot(Path("/proc/cmdline").read_text()),
        state=run(["systemctl", "is-system-running"], check=False).text,
        etcd=etcd_status(etcd_state, Places()),
        fleet=fleet,
        units=units,
    )


def finish_boot(timeout_s: float) -> None:
    """Block until systemd has started all it was to start, at most for `timeout_s`."""
    try:
        run(["systemctl", "is-system-running", "--wait"], check=False, timeout_s=timeout_s)
    except ArgosyError:
        return  # time is over


def slot(cmdline: str) -> str | None:
    """`A` or `B` from the kernel's `argosy.slot=`; None without it."""
    found = re.search(r"(?:^|\s)argosy\.slot=([ab])(?:\s|$)", cmdline)
    return found[1].upper() if found else None


def etcd_status(unit_state: str, places: Places) -> str:
    """healthy, unhealthy or off. `unit_state` is systemd's word for etcd's unit."""
    if unit_state == "inactive":
        return "off"
    connection = http.client.HTTPConnection(places.etcd_host, places.etcd_port, timeout=_ANSWER_TIMEOUT_S)
    try:
        answer = decode_json(_get(connection, "/health"), dict, source="etcd")
    except (ArgosyError, OSError, http.client.HTTPException):
        return "unhealthy"
    return "healthy" if answer.get("health") in ("true", True) else "unhealthy"


def fleet_status(unit_state: str, machine_id: str, places: Places) -> tuple[str, tuple[UnitStatus, ...]]:
    """registered, unregistered or off; and this machine's units."""
    if unit_state == "inactive":
        return "off", ()
    try:
        pages = _pages(places, "/fleet/v1/machines", "", MachinePage)
        if not any(machine.id == machine_id for page in pages for machine in page.machines):
            return "unregistered", ()
        states = _pages(places, "/fleet/v1/state", f"machineID={quote(machine_id)}", StatePage)
        units = (UnitStatus(state.name, state.active_state) for page in states for state in page.states)
        return "registered", tuple(sorted(units, key=lambda unit: unit.name))
    except (ArgosyError, OSError, http.client.HTTPException):
        return "unregistered", ()


def _pages(places: Places, path: str, query: str, kind: type[Page]) -> list[Page]:
    pages: list[Page] = []
    token = ""
    while True:
        words = [word for word in (query, token and f"nextPageToken={quote(token)}") if word]
        data = _get(_UnixConnection(places.fleet_socket), f"{path}?{'&'.join(words)}")
        pages.append(decode_json(data, kind, source="fleet"))
        token = pages[-1].next_page_token
        if not token:
            return pages


def _get(connection: http.client.HTTPConnection, path: str) -> bytes:
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        data = answer.read()
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise ArgosyError(f"{path}: answered {answer.status}")
    return data


def _unit_states() -> tuple[str, str]:
    """systemd's words for etcd's and fleet's units; `inactive` for one that the release does not have."""
    done = run(["systemctl", "show", "--property=ActiveState", "--value", *_UNITS], check=False)
    etcd, fleet, *_ = (*done.text.split(), "inactive", "inactive")
    return etcd, fleet

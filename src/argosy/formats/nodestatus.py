"""What a machine says of itself: the JSON of the image's `argosy status --json`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UnitStatus:
    """A fleet unit on the machine, and systemd's ActiveState of it."""

    name: str
    active: str


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """`slot`: "A", "B", or None without slots. `state`: as `systemctl is-system-running`.

    `etcd`: "healthy", "unhealthy" or "off". `fleet`: "registered", "unregistered" or "off".
    """

    hostname: str
    machine_id: str
    version: str
    slot: str | None
    state: str
    etcd: str
    fleet: str
    units: tuple[UnitStatus, ...] = ()

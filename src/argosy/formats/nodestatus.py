"""How one machine is: what `argosy status --json` on it prints, and the lab reads."""

from __future__ import annotations

from dataclasses import dataclass

UP = frozenset(("running", "degraded"))


@dataclass(frozen=True, slots=True)
class UnitStatus:
    """A fleet unit on the machine; `active` is systemd's word (`active`, `failed`...)."""

    name: str
    active: str


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """`state` is systemd's word for the whole system; `slot` is None where there are no slots (containers).

    `etcd` is healthy, unhealthy or off; `fleet` is registered, unregistered or off.
    """

    hostname: str
    machine_id: str
    version: str
    slot: str | None
    state: str
    etcd: str
    fleet: str
    units: tuple[UnitStatus, ...] = ()

    @property
    def ready(self) -> bool:
        """The machine has booted, and what it takes part in works."""
        return self.state in UP and self.etcd != "unhealthy" and self.fleet != "unregistered"

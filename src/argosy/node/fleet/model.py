"""What fleet's planners think in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from argosy.formats.fleet import UnitTarget
from argosy.formats.requirements import Requirements

_SHORT_ID_CHARACTERS = 8

# What systemd thinks of a unit file that it has read (org.freedesktop.systemd1(5), LoadState).
_REFUSED = {
    "bad-setting": "its unit file has a setting that systemd does not accept",
    "error": "its unit file cannot be read",
    "masked": "it is masked",
}


def short_id(machine_id: str) -> str:
    """The part of a machine's id that people read and write."""
    return machine_id[:_SHORT_ID_CHARACTERS]


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine that is in the cluster now.

    `closed` says why it takes no new units; it is empty if it does. One that `drains` is closed, and its
    units are to move.
    """

    id: str
    public_ip: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    closed: str = ""
    drains: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """A submitted unit, with the machine it is scheduled to, if any, and the one to which it moves."""

    name: str
    target: UnitTarget
    requirements: Requirements
    machine_id: str | None = None
    move_to: str | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """What is seen of units that are to leave their machine, by name.

    `settled` run on the machine to which they move, and have done so for a moment. `idle` do not run where
    they are scheduled: they have ended or failed.
    """

    settled: frozenset[str] = frozenset()
    idle: frozenset[str] = frozenset()


# What the engine decides.


@dataclass(frozen=True, slots=True)
class Place:
    """Run the unit on this machine; `previous` is where it was scheduled until now."""

    unit: str
    machine_id: str
    previous: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Withdraw:
    """The unit is to run nowhere, for now."""

    unit: str
    previous: str
    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """The unit wants a machine, and none can take it."""

    unit: str
    reason: str


@dataclass(frozen=True, slots=True)
class Move:
    """Run the unit on this machine as well; once it runs there, a `Place` ends it on `source`."""

    unit: str
    machine_id: str
    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """The unit does not move to this machine after all."""

    unit: str
    machine_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Stay:
    """The unit is to leave this machine, and cannot."""

    unit: str
    machine_id: str
    reason: str


Change = Place | Withdraw | Move | Cancel
Decision = Change | Wait | Stay


# What the agent sees and does.


@dataclass(frozen=True, slots=True)
class Desired:
    """A unit that belongs on this machine."""

    hash: str
    target: UnitTarget


@dataclass(frozen=True, slots=True)
class Observed:
    """A unit that fleet put on this machine, as systemd has it.

    `mark` is what the agent last did with it: LAUNCHED (started it), LOADED (began to stop it), or None.
    """

    hash: str
    load: str
    active: str
    sub: str
    mark: UnitTarget | None = None

    @property
    def stopped(self) -> bool:
        """Whether nothing of it runs."""
        return self.active in ("inactive", "failed")

    @property
    def refusal(self) -> str:
        """Why systemd would not start it; empty if it would."""
        return _REFUSED.get(self.load, "")

    @property
    def state(self) -> UnitTarget:
        """How far it is, as fleet counts: a unit that stops is launched until it has stopped."""
        return UnitTarget.LAUNCHED if self.mark is not None else UnitTarget.LOADED


@dataclass(frozen=True, slots=True)
class Load:
    """Give the unit's file to systemd."""

    unit: str
    reason: str


@dataclass(frozen=True, slots=True)
class Start:
    """Start it, and remember that."""

    unit: str
    reason: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop it, and remember that."""

    unit: str
    reason: str


@dataclass(frozen=True, slots=True)
class Settle:
    """It has stopped as wanted: forget the mark."""

    unit: str
    reason: str


@dataclass(frozen=True, slots=True)
class Remove:
    """Take the stopped unit's file away from systemd."""

    unit: str
    reason: str


Action = Load | Start | Stop | Settle | Remove

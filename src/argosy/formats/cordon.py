"""What fleet says of machines that take no new units: the values of etcd's keys, and the API's entities.

A machine is cordoned while anybody says so: each who does has a cordon of their own, and only their own is
undone by them. A cordon that drains has the machine's units move to others as well.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class CordonRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A cordon, in etcd. With `boot` it holds only while the machine is in that boot.

    `since_s` are seconds since 1970, for people to read.
    """

    drain: bool = False
    reason: str = ""
    boot: str = ""
    since_s: int = 0


class MoveRecord(msgspec.Struct, frozen=True, gc=False):
    """A unit that is to run on this machine before it stops on `source`."""

    machine_id: str
    source: str
    reason: str


class CordonEntity(msgspec.Struct, frozen=True, omit_defaults=True, rename={"since_s": "sinceSeconds"}):
    """A cordon, in the API; `by` is who set it."""

    by: str = ""
    drain: bool = False
    reason: str = ""
    boot: str = ""
    since_s: int = 0


class Step(StrEnum):
    """How far a unit is that is to leave a machine: it moves, it stops there at last, or it has to stay."""

    MOVES = "moves"
    STOPS = "stops"
    STAYS = "stays"


class Leaving(msgspec.Struct, frozen=True, rename={"machine_id": "machineID"}):
    """A unit that runs on a machine that is to be empty. `machine_id` is where it goes, if that is known."""

    unit: str
    step: Step
    reason: str
    machine_id: str = ""


class Standing(StrEnum):
    """What a machine is to fleet: open for units, cordoned, on its way to be empty, or as empty as can be."""

    OPEN = "open"
    CORDONED = "cordoned"
    DRAINING = "draining"
    DRAINED = "drained"


class MachineStanding(
    msgspec.Struct, frozen=True, omit_defaults=True, rename={"primary_ip": "primaryIP", "leaving": "units"}
):
    """A machine with its cordons; `leaving` are the units that run on it while it drains.

    One that is away is listed as long as it has cordons.
    """

    id: str
    standing: Standing
    primary_ip: str = ""
    present: bool = True
    boot: str = ""
    cordons: list[CordonEntity] = []
    leaving: list[Leaving] = []


class StandingList(msgspec.Struct, frozen=True):
    """All machines."""

    machines: list[MachineStanding]

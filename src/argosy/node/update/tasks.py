"""What the engine and its worker process say to each other: one task in, lines of JSON out.

The engine stays small because the worker has all that is heavy: TLS, XML, zstd, the payload's data.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from argosy.formats.omaha.model import Progress
from argosy.node.slots.store import Places
from argosy.node.update.model import Answer, Machine, Offer, Operation
from argosy.node.update.problems import Problem


@dataclass(frozen=True, slots=True)
class CheckTask:
    """Ask the service, or with `quiet` only say that this machine is there, and how far its update is.

    Events that wait are told.
    """

    machine: Machine
    server: str
    folder: str
    on_demand: bool = False
    quiet: bool = False
    pin: str = ""
    progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class SlotPlaces:
    """`slots.store.Places`, as JSON can carry it."""

    disk: str
    esp: str
    records: str
    lock: str
    running: str


def slot_places(places: Places) -> SlotPlaces:
    """For the worker."""
    return SlotPlaces(
        str(places.disk), str(places.esp), str(places.records), str(places.lock), places.running
    )


def places_of(found: SlotPlaces) -> Places:
    """From the engine."""
    return Places(Path(found.disk), Path(found.esp), Path(found.records), Path(found.lock), found.running)


@dataclass(frozen=True, slots=True)
class InstallTask:
    """Fetch an offer and put it into the standby slot. `keys` is the folder of trusted keys.

    `tells_progress`: the service wants to know how far it is.
    """

    machine: Machine
    server: str
    folder: str
    offer: Offer
    floor: str
    keys: str
    slots: SlotPlaces
    pin: str = ""
    hold: str = ""
    retry: bool = False
    afresh: bool = False
    tells_progress: bool = False


@dataclass(frozen=True, slots=True)
class Task:
    """One of the two."""

    check: CheckTask | None = None
    install: InstallTask | None = None


@dataclass(frozen=True, slots=True)
class Installed:
    """How an installation ended: without problems, the slot is armed. `floor` is the payload's own."""

    version: str
    floor: str = "0.0.0"
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """A line from the worker: how far it is, something for the log, or the result."""

    operation: Operation | None = None
    done_bytes: int = 0
    total_bytes: int = 0
    note: str = ""
    answer: Answer | None = None
    installed: Installed | None = None

"""What there is to know about the two slots."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace
from pathlib import Path

from argosy.base.errors import ArgosyError
from argosy.formats.bootenv import BootEnvironment
from argosy.formats.gpt import UsrAttributes

SLOTS = ("a", "b")
TRIES = 3
"""How often a new version may try to come up."""
RETURNS = 10
"""How many tries of one trial an orderly reboot gives back: a version that reboots itself must end, too."""


class SlotsError(ArgosyError):
    """The slots do not allow it; the message says why."""


class NoSlotsError(SlotsError):
    """This machine has no slots: a container, or a system that runs from memory."""


def other(slot: str) -> str:
    """The slot that `slot` is not."""
    return "a" if slot == "b" else "b"


@dataclass(frozen=True, slots=True)
class SlotBits:
    """The attribute bits of both slots' partitions: the truth about what may boot."""

    a: UsrAttributes
    b: UsrAttributes

    def of(self, slot: str) -> UsrAttributes:
        """One slot's bits."""
        return self.b if slot == "b" else self.a

    def having(self, slot: str, bits: UsrAttributes) -> SlotBits:
        """The same with one slot's bits replaced."""
        return replace(self, b=bits) if slot == "b" else replace(self, a=bits)


class FailureKind(enum.StrEnum):
    """How far a version came: it did not stay up, or it did and its health probes failed."""

    BOOT = "boot"
    HEALTH = "health"


@dataclass(frozen=True, slots=True)
class Failure:
    """A version that did not make it, and why. `time_s` is in seconds since 1970, by the machine's clock."""

    version: str
    slot: str
    reason: str
    time_s: int
    kind: FailureKind


@dataclass(frozen=True, slots=True)
class Records:
    """What is remembered besides the bits. If it is lost, nothing breaks.

    `versions` says what is in each slot, as far as is known. `returned` counts the tries that orderly reboots
    gave back in the trial under way. `failures` has the oldest first.
    """

    versions: dict[str, str] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    returned: int = 0

    def version(self, slot: str) -> str:
        """The slot's version, or empty if it is not known."""
        return self.versions.get(slot, "")


@dataclass(frozen=True, slots=True)
class SlotsState:
    """All that was observed. `environment` is None if the boot loader's block is missing or damaged."""

    bits: SlotBits
    environment: BootEnvironment | None
    running: str
    records: Records

    @property
    def standby(self) -> str:
        """The slot that does not run: an update goes there."""
        return other(self.running)

    @property
    def in_trial(self) -> bool:
        """The running slot is on trial: neither committed nor rejected."""
        bits = self.bits.of(self.running)
        return bits.priority > 0 and not bits.successful


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be there afterwards, and why. `notes` are for the log, a sentence each.

    The order of writing is: records, the bits' two copies, the environment.
    """

    bits: SlotBits
    environment: BootEnvironment
    records: Records
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StandbyTarget:
    """Where an update is written: the partition (or a part of an image file) and its files on the ESP.

    `usr` is opened and written from `offset_bytes`, at most `size_bytes`.
    """

    slot: str
    usr: Path
    offset_bytes: int
    size_bytes: int
    kernel: Path
    initrd: Path
    boot: Path

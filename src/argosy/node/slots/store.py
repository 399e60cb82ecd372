"""The slots of one disk, for all who change them: looks, has the state machine decide, and writes.

Each change is made under a lock and durable when the method returns. A power cut within it leaves what the
next boot's `reconcile` brings to an end.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from argosy.base.files import holding
from argosy.formats.bootenv import BootEnvironment, Choice, choose
from argosy.formats.gpt import (
    SECTOR_BYTES,
    Decoded,
    Gpt,
    Partition,
    UsrAttributes,
    grown,
    usr_attributes,
    with_usr_attributes,
)
from argosy.node.disk.device import disk_of_root
from argosy.node.disk.table import read_table, write_table
from argosy.node.disk.writes import Write, copy_writes
from argosy.node.slots import machine
from argosy.node.slots.esp import read_environment, write_environment
from argosy.node.slots.model import (
    Failure,
    NoSlotsError,
    Plan,
    Records,
    SlotBits,
    SlotsState,
    StandbyTarget,
)
from argosy.node.slots.records import read_records, write_records

LABELS = {"a": "USR-A", "b": "USR-B"}
ESP = Path("/boot")
RECORDS = Path("/var/lib/argosy/slots.json")
LOCK = Path("/run/argosy/slots.lock")
_CONTAINER = Path("/run/systemd/container")


@dataclass(frozen=True, slots=True)
class Places:
    """Where the slots are: a disk or an image of one, the mounted ESP, the records; and which slot runs."""

    disk: Path
    esp: Path
    records: Path
    lock: Path
    running: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to be written, in this order; None or nothing where it stays as it is."""

    records: Records | None
    table: tuple[Write, ...]
    environment: BootEnvironment | None


def perform(places: Places, changes: Changes) -> None:
    """Write, each durable before the next begins."""
    if changes.records is not None:
        write_records(places.records, changes.records)
    if changes.table:
        write_table(places.disk, changes.table)
    if changes.environment is not None:
        write_environment(places.esp, changes.environment)


class Slots:
    """The slots at `places`. `clock` gives seconds since 1970; `perform` is what writes."""

    def __init__(
        self,
        places: Places,
        *,
        clock: Callable[[], float] = time.time,
        perform: Callable[[Places, Changes], None] = perform,
    ) -> None:
        self.places = places
        self._clock = clock
        self._perform = perform

    def observe(self) -> SlotsState:
        """Read both slots' bits, the boot loader's environment and the records. Raises `ArgosyError`."""
        decoded, _ = read_table(self.places.disk)
        return self._state(decoded)

    def reconcile(self, version: str) -> tuple[str, ...]:
        """Bring bits and environment into line at a boot, for the running `version`. What was done, in words.

        A damaged copy of the partition table is written anew, too.
        """
        return self._change(lambda state: machine.reconcile(state, version, self._now_s()), repair=True)

    def invalidate(self) -> StandbyTarget:
        """Take the standby slot out of use, to write it. Raises `SlotsError` if it is the way back."""
        self._change(machine.invalidate)
        return self.standby_target()

    def arm(self, version: str) -> None:
        """Try the standby slot from the next boot on: it holds `version`, whole. Raises `SlotsError`."""
        self._change(lambda state: machine.arm(state, version))

    def commit(self) -> None:
        """The running slot has proved itself. Raises `SlotsError` if it was rejected before."""
        self._change(machine.commit)

    def reject(self, reason: str) -> None:
        """The running slot is bad: the other one boots next. Raises `SlotsError` if there is no way back."""
        self._change(lambda state: machine.reject(state, reason, self._now_s()))

    def return_try(self) -> tuple[str, ...]:
        """An orderly reboot begins: a trial under way is not to suffer from it. What was done, in words."""
        return self._change(machine.return_try)

    def prioritize(self, slot: str) -> None:
        """Have `slot` ("a" or "b") boot from now on. Raises `SlotsError` if it cannot boot."""
        self._change(lambda state: machine.prioritize(state, slot))

    def forget(self, version: str) -> None:
        """`version` failed here, and may be tried again all the same. Raises `SlotsError` if it did not."""
        self._change(lambda state: machine.forget(state, version))

    def follow(self) -> None:
        """The bits were changed by hand: have the boot loader do what they say now."""
        self._change(machine.follow)

    def next_boot(self) -> Choice:
        """Which slot the boot loader will take, and whether as a try."""
        return choose(self.observe().environment or BootEnvironment())

    def take_next_boot(self) -> Choice:
        """Take the next boot as the boot loader would, for who starts the next kernel without it (kexec)."""
        with self._locked():
            state = self.observe()
            choice = choose(state.environment or machine.project(state.bits))
            if choice.environment != state.environment:
                self._perform(self.places, Changes(None, (), choice.environment))
        return choice

    def failures(self) -> tuple[Failure, ...]:
        """What failed on this machine, the oldest first."""
        return read_records(self.places.records).failures

    def failed_versions(self) -> frozenset[str]:
        """Versions that failed on this machine and are not to be tried again."""
        return machine.bad_versions(read_records(self.places.records))

    def standby_target(self) -> StandbyTarget:
        """Where the standby slot's parts go."""
        decoded, _ = read_table(self.places.disk)
        slot = self._state(decoded).standby
        partition = decoded.table.partition(LABELS[slot])
        device, offset_bytes = _device_of(self.places.disk, partition)
        folder = self.places.esp / "coreos"
        return StandbyTarget(
            slot=slot,
            usr=device,
            offset_bytes=offset_bytes,
            size_bytes=partition.sectors * SECTOR_BYTES,
            kernel=folder / f"vmlinuz-{slot}",
            initrd=folder / f"initrd-{slot}",
            boot=folder / f"grub/slot-{slot}.cfg",
        )

    def _state(self, decoded: Decoded) -> SlotsState:
        return SlotsState(
            bits=SlotBits(_bits(decoded.table, "a"), _bits(decoded.table, "b")),
            environment=read_environment(self.places.esp),
            running=self.places.running,
            records=read_records(self.places.records),
        )

    def _now_s(self) -> int:
        return int(self._clock())

    def _locked(self) -> AbstractContextManager[None]:
        self.places.lock.parent.mkdir(parents=True, exist_ok=True)
        return holding(self.places.lock)

    def _change(self, decide: Callable[[SlotsState], Plan], *, repair: bool = False) -> tuple[str, ...]:
        with self._locked():
            decoded, sectors = read_table(self.places.disk)
            state = self._state(decoded)
            plan = decide(state)
            table = grown(_with_bits(decoded.table, plan.bits), sectors)
            damaged = bool(decoded.primary_problem or decoded.backup_problem)
            rewrite = plan.bits != state.bits or (repair and damaged)
            self._perform(
                self.places,
                Changes(
                    records=plan.records if plan.records != state.records else None,
                    table=copy_writes(table, decoded) if rewrite else (),
                    environment=plan.environment if plan.environment != state.environment else None,
                ),
            )
        return plan.notes


def this_machine(esp: Path = ESP) -> Slots:
    """The slots of the machine that this program runs on. Raises `NoSlotsError` where there are none."""
    if _CONTAINER.exists():
        raise NoSlotsError("this machine is a container: it has no slots", hint="its host updates it")
    running = running_slot(Path("/proc/cmdline").read_text())
    if running is None:
        raise NoSlotsError(
            "this machine has no slots: its kernel was started without argosy.slot=",
            hint="it runs from memory, or was not started by Argosy's boot loader",
        )
    return Slots(Places(disk_of_root().path, esp, RECORDS, LOCK, running))


def running_slot(cmdline: str) -> str | None:
    """ "a" or "b" from the kernel's command line; None without a slot."""
    found = re.search(r"(?:^|\s)argosy\.slot=([ab])(?:\s|$)", cmdline)
    return found[1] if found else None


def _bits(table: Gpt, slot: str) -> UsrAttributes:
    return usr_attributes(table.partition(LABELS[slot]).attributes)


def _with_bits(table: Gpt, bits: SlotBits) -> Gpt:
    slots = {label: bits.of(slot) for slot, label in LABELS.items()}
    parts = (
        replace(part, attributes=with_usr_attributes(part.attributes, slots[part.label]))
        if part.label in slots
        else part
        for part in table.partitions
    )
    return replace(table, partitions=tuple(parts))


def _device_of(disk: Path, partition: Partition) -> tuple[Path, int]:
    """A partition's own device, or the disk (an image file) and where on it the partition begins."""
    if not disk.is_block_device():
        return disk, partition.first_lba * SECTOR_BYTES
    separator = "p" if disk.name[-1].isdigit() else ""
    return disk.with_name(f"{disk.name}{separator}{partition.number}"), 0

"""Slots on a real image of a disk and a folder as its ESP, with power cuts down to single sectors."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from uuid import UUID

from tests.node.slots.world import Power

from argosy.formats import bootenv
from argosy.formats.bootenv import BootEnvironment
from argosy.formats.gpt import (
    SECTOR_BYTES,
    Gpt,
    Partition,
    UsrAttributes,
    encode,
    with_usr_attributes,
)
from argosy.node.disk.table import write_table
from argosy.node.disk.writes import Write
from argosy.node.slots.esp import block_path, read_environment, write_environment
from argosy.node.slots.model import SlotsState
from argosy.node.slots.store import Changes, Places, Slots, perform

USR_TYPE = UUID("5dfbf5f4-2848-4bac-aa5e-0d9a20b745a6")
ESP_TYPE = UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
ROOT_TYPE = UUID("3884dd41-8582-4404-b9a8-e9b84f2df50e")
SECTORS = 2048


def table(sectors: int = SECTORS) -> Gpt:
    """A fresh disk: slot A is good, slot B is empty."""
    good = with_usr_attributes(0, UsrAttributes(priority=1, successful=True))
    parts = (
        Partition(1, ESP_TYPE, UUID(int=11), 64, 127, "EFI-SYSTEM"),
        Partition(3, USR_TYPE, UUID("7130c94a-213a-4e5a-8e26-6cce9662f132"), 128, 255, "USR-A", good),
        Partition(4, USR_TYPE, UUID("e03dd35c-7c2d-4a47-b3fe-27f15780a57c"), 256, 383, "USR-B"),
        Partition(9, ROOT_TYPE, UUID(int=19), 512, 1023, "ROOT"),
    )
    return Gpt(UUID(int=99), sectors, parts)


def make_places(folder: Path, made_for: Gpt | None = None, sectors: int = SECTORS) -> Places:
    """An image in `folder` whose table is made for `made_for`, and an ESP with a fresh environment."""
    made_for = made_for or table()
    head, tail = encode(made_for, boot_code=b"boot")
    with (folder / "disk.img").open("wb") as file:
        file.write(head)
        file.seek(made_for.sectors * SECTOR_BYTES - len(tail))
        file.write(tail)
        file.truncate(sectors * SECTOR_BYTES)
    block_path(folder / "esp").parent.mkdir(parents=True)
    block_path(folder / "esp").write_bytes(bootenv.encode(BootEnvironment()))
    return Places(folder / "disk.img", folder / "esp", folder / "slots.json", folder / "lock", "a")


class DiskStore:
    """The real `Slots` on real files; `chance` decides which sectors of a torn write arrive."""

    def __init__(self, places: Places, chance: random.Random) -> None:
        self.power = Power()
        self.running = ""
        self._places = places
        self._chance = chance

    @property
    def slots(self) -> Slots:
        places = replace(self._places, running=self.running)
        return Slots(places, clock=lambda: 0.0, perform=self._perform)

    def observe(self) -> SlotsState:
        return self.slots.observe()

    def environment(self) -> BootEnvironment | None:
        return read_environment(self._places.esp)

    def loader_saves(self, environment: BootEnvironment) -> None:
        self.power.tick()
        write_environment(self._places.esp, environment)

    def reconcile(self) -> None:
        self.slots.reconcile(f"v-{self.running}")

    def invalidate(self) -> None:
        self.slots.invalidate()

    def arm(self) -> None:
        self.slots.arm(f"v-{'a' if self.running == 'b' else 'b'}")

    def commit(self) -> None:
        self.slots.commit()

    def reject(self) -> None:
        self.slots.reject("a probe failed")

    def return_try(self) -> None:
        self.slots.return_try()

    def prioritize(self, slot: str) -> None:
        self.slots.prioritize(slot)

    def _perform(self, places: Places, changes: Changes) -> None:
        """Step by step, until the power goes. Records are renamed into place: they arrive or do not."""
        if changes.records is not None:
            self.power.tick()
            perform(places, Changes(changes.records, (), None))
        for write in changes.table:
            self.power.tick(lambda write=write: self._tear(places.disk, write))
            write_table(places.disk, [write])
        if changes.environment is not None:
            self.power.tick()
            perform(places, Changes(None, (), changes.environment))

    def _tear(self, disk: Path, write: Write) -> None:
        """Of the write's sectors, only some arrive."""
        with disk.open("r+b") as file:
            for start in range(0, len(write.data), SECTOR_BYTES):
                if self._chance.random() < 0.5:
                    file.seek(write.offset_bytes + start)
                    file.write(write.data[start : start + SECTOR_BYTES])

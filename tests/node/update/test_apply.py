"""Applying a payload: what is refused with which code, and power cuts after every single step."""

from __future__ import annotations

import errno
import random
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from dataclasses import replace as changed
from pathlib import Path

import pytest
from tests.node.update.bench import (
    CHUNK_BYTES,
    NEW,
    Handle,
    Key,
    Machine,
    contents,
    packed,
    payload,
    sealed,
    serves,
    web,
)

from argosy.base import ed25519
from argosy.base.loop import Backoff
from argosy.formats import payload as p
from argosy.node.slots.store import Changes, Places, Slots
from argosy.node.slots.store import perform as really_perform
from argosy.node.update.apply import Opened, Steps, Wanted, apply, open_payload
from argosy.node.update.fetch import Download, Patience
from argosy.node.update.journal import Journal, Progress
from argosy.node.update.problems import Code, Problem, UpdateError
from argosy.node.update.target import SlotTarget, Target

QUICK = Patience(stall_s=0.3, failures=2, backoff=Backoff(first_s=0.0, most_s=0.0))


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Key:
    return Key(tmp_path_factory.mktemp("key"))


@pytest.fixture(scope="module")
def good(key: Key) -> bytes:
    return payload(key)


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory: thousands of fsyncs would take minutes on a disk."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


@pytest.fixture
def machine(memory: Path) -> Machine:
    return Machine(memory / "machine")


def wanted(key: Key, version: str = NEW) -> Wanted:
    return Wanted(p.APPLICATION_ID, version, {key.id: key.pem}, ed25519.verify)


def update(machine: Machine, key: Key, handle: Handle, size_bytes: int) -> None:
    """Download and apply, as the worker does."""
    with web(handle) as server:
        source = Download([server.url + "/x"], size_bytes, QUICK, chance=lambda: 0.0, pause=lambda s: None)
        opened = open_payload(source, wanted(key))
        target = SlotTarget(machine.slots.standby_target())
        journal = Journal(machine.state / "progress.json")
        apply(opened, source, target, journal, machine.slots, afresh=False, steps=Steps())


def refused(machine: Machine, key: Key, data: bytes, size_bytes: int | None = None) -> str:
    """The code of the refusal; and slot B cannot boot, nor lies anything partial around."""
    with pytest.raises(UpdateError) as caught:
        update(machine, key, serves(data), len(data) if size_bytes is None else size_bytes)
    assert_unharmed(machine)
    (problem,) = caught.value.problems
    assert problem.sentence and problem.number
    return problem.code


def assert_unharmed(machine: Machine) -> None:
    bits = machine.slots.observe().bits
    assert bits.b.priority == 0 and not bits.b.successful and not bits.b.tries
    assert bits.a.successful and machine.slots.next_boot().slot == "a"
    assert machine.partial_files() == []


def test_a_good_one(machine: Machine, key: Key, good: bytes) -> None:
    update(machine, key, serves(good), len(good))
    assert machine.installed() == contents()
    assert machine.armed
    assert machine.slots.observe().records.version("b") == NEW
    assert machine.partial_files() == []
    assert not (machine.state / "progress.json").exists()


# Bad payloads


def test_wrong_key(machine: Machine, key: Key, tmp_path: Path) -> None:
    assert refused(machine, key, payload(Key(tmp_path / "theirs"))) == p.Code.UNTRUSTED


def test_unsigned(machine: Machine, key: Key) -> None:
    assert refused(machine, key, sealed(*packed(contents(), NEW, None), None)) == p.Code.UNSIGNED


def test_signed_by_the_key_in_name_only(machine: Machine, key: Key, tmp_path: Path) -> None:
    manifest, data = packed(contents(), NEW, key)
    forged = ed25519.sign(Key(tmp_path / "theirs").private, b"something else")
    assert refused(machine, key, sealed(manifest, data, key, signed=forged)) == p.Code.WRONG_SIGNATURE


def test_for_another_application(machine: Machine, key: Key) -> None:
    other = payload(key, application="{00000000-0000-0000-0000-000000000001}")
    assert refused(machine, key, other) == p.Code.APPLICATION


def test_swapped_for_another_version(machine: Machine, key: Key) -> None:
    assert refused(machine, key, payload(key, "4890.0.0")) == p.Code.VERSION


def test_truncated_where_it_was_announced_so(machine: Machine, key: Key, good: bytes) -> None:
    for count in (0, 5, p.HEADER_BYTES, 100, len(good) - 1):
        if count:
            assert refused(machine, key, good[:count]) in (
                p.Code.TRUNCATED,
                Code.BROKEN_OFF,
                p.Code.BOUNDS,
            ), count


def test_longer_than_its_manifest_says(machine: Machine, key: Key, good: bytes) -> None:
    assert refused(machine, key, good + b"x") == p.Code.TOO_LONG


@pytest.mark.parametrize("more", [-1, 1])
def test_another_size_than_announced(machine: Machine, key: Key, good: bytes, more: int) -> None:
    assert refused(machine, key, good, len(good) + more) == Code.WRONG_SIZE


def test_parts_that_are_too_large(machine: Machine, key: Key) -> None:
    manifest, data = packed(contents(), NEW, key)
    usr = changed(manifest.part(p.USR), size_bytes=p.PARTS[p.USR] + 1)
    big = changed(manifest, parts=(*manifest.parts[:3], usr))
    assert refused(machine, key, sealed(big, data, key)) == p.Code.PART_SIZE


def test_a_hash_that_does_not_hold_is_found_by_reading_back(machine: Machine, key: Key) -> None:
    """The builder signed nonsense: every operation is right, the whole is not."""
    for name in p.PARTS:
        manifest, data = packed(contents(), NEW, key)
        parts = tuple(
            changed(part, sha256="0" * 64) if part.name == name else part for part in manifest.parts
        )
        assert refused(machine, key, sealed(changed(manifest, parts=parts), data, key)) == p.Code.PART_HASH


def flips(good: bytes) -> Iterable[tuple[str, int]]:
    """A place in every region, and a few more of each."""
    header = p.decode_header(good)
    manifest = p.decode_manifest(good[p.HEADER_BYTES : header.signatures_at])
    regions = {"magic": (0, 8), "format": (8, 12), "manifest length": (12, 16), "signatures length": (16, 20)}
    regions |= {"manifest": (20, header.signatures_at), "signatures": (header.signatures_at, header.data_at)}
    for part, operation in manifest.operations():
        start = header.data_at + operation.data_offset
        regions[f"{part.name} {operation.target_offset}"] = (start, start + operation.data_bytes)
    chance = random.Random(3)
    for name, (start, end) in regions.items():
        for place in {start, end - 1, *(chance.randrange(start, end) for _ in range(3))}:
            yield name, place


def test_a_flipped_bit_in_every_region(machine: Machine, key: Key, good: bytes) -> None:
    """Refused, always; and never for a reason that is a defect of ours."""
    codes = set()
    for name, place in flips(good):
        data = bytearray(good)
        data[place] ^= 1 << (place % 8)
        codes.add(refused(machine, key, bytes(data)))
        assert machine.slots.failed_versions() == set(), name
    known = {p.Code.MAGIC, p.Code.FORMAT, p.Code.DATA_HASH, p.Code.SIGNATURES}
    assert known <= codes <= {*p.Code}


def test_one_bad_mirror_is_no_harm(machine: Machine, key: Key, good: bytes) -> None:
    bad = bytearray(good)
    bad[-1] ^= 1
    with web(serves(bytes(bad))) as first, web(serves(good)) as second:
        source = Download([first.url, second.url], len(good), QUICK, chance=lambda: 0.0, pause=lambda s: None)
        opened = open_payload(source, wanted(key))
        target = SlotTarget(machine.slots.standby_target())
        journal = Journal(machine.state / "progress.json")
        apply(opened, source, target, journal, machine.slots, afresh=False, steps=Steps())
    assert machine.installed() == contents()
    assert machine.armed


# Bad disks


@dataclass
class Failing:
    """A target whose `count`th write fails."""

    real: Target
    count: int
    number: int

    @property
    def slot(self) -> str:
        return self.real.slot

    def remove_files(self) -> None:
        self.real.remove_files()

    def remove_partial(self) -> None:
        self.real.remove_partial()

    def write(self, name: str, offset: int, pieces: Iterable[bytes]) -> None:
        self.count -= 1
        if self.count < 0:
            list(pieces)
            raise OSError(self.number, "no")
        self.real.write(name, offset, pieces)

    def finish(self, name: str, size_bytes: int) -> None:
        self.real.finish(name, size_bytes)

    def sha256(self, name: str, size_bytes: int) -> str:
        return self.real.sha256(name, size_bytes)


@pytest.mark.parametrize(
    ("count", "number", "code"),
    [
        (0, errno.ENOSPC, Code.ESP_FULL),
        (3, errno.ENOSPC, Code.ESP_FULL),
        (1, errno.EIO, Code.NOT_WRITTEN),
        (9, errno.EIO, Code.NOT_WRITTEN),
        (9, errno.ENOSPC, Code.NOT_WRITTEN),
    ],
)
def test_writes_that_fail(
    machine: Machine, key: Key, good: bytes, count: int, number: int, code: Code
) -> None:
    source = InMemory(good)
    opened = open_payload(source, wanted(key))
    target = Failing(SlotTarget(machine.slots.standby_target()), count, number)
    journal = Journal(machine.state / "progress.json")
    with pytest.raises(UpdateError) as caught:
        apply(opened, source, target, journal, machine.slots, afresh=False, steps=Steps())
    assert [problem.code for problem in caught.value.problems] == [code]
    assert_unharmed(machine)
    update(machine, key, serves(good), len(good))
    assert machine.armed and machine.installed() == contents()


def test_a_running_slot_on_trial_keeps_its_way_back(machine: Machine, key: Key, good: bytes) -> None:
    """Slot A runs uncommitted: B is the way back, and is not touched."""
    machine.slots.arm("4891.5.0")
    places = changed(machine.places, running="b")
    trial = Slots(places)
    before = machine.disk.read_bytes()
    source = InMemory(good)
    target = SlotTarget(trial.standby_target())
    with pytest.raises(UpdateError) as caught:
        apply(
            open_payload(source, wanted(key)),
            source,
            target,
            Journal(machine.state / "progress.json"),
            trial,
            afresh=False,
            steps=Steps(),
        )
    assert caught.value.problems[0].code == Code.NOT_ARMED
    assert machine.disk.read_bytes() == before
    assert (machine.esp / "coreos/vmlinuz-a").read_bytes() == b"old kernel"


# Power cuts


class PowerCut(BaseException):
    """The power is gone."""


@dataclass
class InMemory:
    """A source that is always there."""

    data: bytes
    position: int = 0
    read_bytes: int = 0

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    def seek(self, position: int) -> None:
        self.position = position

    def read(self, count: int) -> bytearray:
        piece = bytearray(self.data[self.position : self.position + count])
        self.position += count
        self.read_bytes += count
        return piece

    def finish(self) -> None:
        pass

    def distrust(self, problem: Problem) -> None:
        raise UpdateError(problem)


@dataclass
class Power:
    """Goes after `left` steps."""

    left: int
    steps: int = 0

    def step(self) -> None:
        self.steps += 1
        if self.left == 0:
            raise PowerCut
        self.left -= 1


@dataclass
class CutTarget:
    """A target whose power may go before a step, or in the middle of a write: then a part of it is there.

    `write` is durable when it returns, so only the piece under way is in doubt: it may be short, and wrong.
    """

    real: SlotTarget
    power: Power
    chance: random.Random

    @property
    def slot(self) -> str:
        return self.real.slot

    def remove_files(self) -> None:
        self.power.step()
        self.real.remove_files()

    def remove_partial(self) -> None:
        self.power.step()
        self.real.remove_partial()

    def write(self, name: str, offset: int, pieces: Iterable[bytes]) -> None:
        data = b"".join(pieces)
        try:
            self.power.step()
        except PowerCut:
            torn = bytearray(data[: self.chance.randrange(len(data) + 1)])
            for _ in range(min(3, len(torn))):
                torn[self.chance.randrange(len(torn))] ^= 0xFF
            if torn:
                self.real.write(name, offset, [bytes(torn)])
            raise
        self.real.write(name, offset, [data])

    def finish(self, name: str, size_bytes: int) -> None:
        self.power.step()
        self.real.finish(name, size_bytes)

    def sha256(self, name: str, size_bytes: int) -> str:
        self.power.step()
        return self.real.sha256(name, size_bytes)


@dataclass
class CutJournal(Journal):
    """A journal whose changes may be the last thing that did not happen."""

    path: Path
    power: Power
    written: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(self.path)

    def write(self, progress: Progress) -> None:
        self.power.step()
        self.written.append(progress.operations_done)
        super().write(progress)

    def remove(self) -> None:
        self.power.step()
        super().remove()


def cut_slots(places: Places, power: Power) -> Slots:
    def perform(places: Places, changes: Changes) -> None:
        """Every write of the slots is a step of its own."""
        for each in (
            changed(changes, table=(), environment=None),
            *(Changes(None, (write,), None) for write in changes.table),
            Changes(None, (), changes.environment),
        ):
            power.step()
            really_perform(places, each)

    return Slots(places, perform=perform)


@dataclass
class Trial:
    """One update on a machine that loses its power."""

    machine: Machine
    opened: Opened
    good: bytes
    chance: random.Random

    def run(self, power: Power, source: InMemory) -> None:
        journal = CutJournal(self.machine.state / "progress.json", power)
        target = CutTarget(SlotTarget(self.machine.slots.standby_target()), power, self.chance)
        slots = cut_slots(self.machine.places, power)
        apply(self.opened, source, target, journal, slots, afresh=False, steps=Steps())

    def check(self) -> None:
        """A slot boots, and if it is B, then B is whole."""
        state = self.machine.slots.observe()
        assert state.bits.a.successful and state.bits.a.priority
        if self.machine.slots.next_boot().slot == "b" or state.bits.b.tries or state.bits.b.successful:
            assert self.machine.installed() == contents()
            assert state.records.version("b") == NEW


def trial(machine: Machine, key: Key, good: bytes, seed: int) -> Trial:
    opened = open_payload(InMemory(good), wanted(key))
    return Trial(machine, opened, good, random.Random(seed))


def steps_of_a_whole_update(folder: Path, key: Key, good: bytes) -> int:
    power = Power(-1)
    trial(Machine(folder), key, good, 0).run(power, InMemory(good))
    return power.steps


def test_a_cut_after_every_step(memory: Path, key: Key, good: bytes) -> None:
    """One cut at each place; then the machine comes back, reconciles, and completes."""
    count = steps_of_a_whole_update(memory / "whole", key, good)
    assert count > 40
    machine = Machine(memory / "cut")
    run = trial(machine, key, good, 1)
    for at in range(count):
        machine.slots.invalidate()
        (machine.state / "progress.json").unlink(missing_ok=True)
        with pytest.raises(PowerCut):
            run.run(Power(at), InMemory(good))
        run.check()
        machine.slots.reconcile("4891.0.0")
        run.check()
        if not machine.armed:
            run.run(Power(-1), InMemory(good))
        run.check()
        assert machine.armed, at
        assert machine.partial_files() == []


def test_many_cuts_in_a_row(memory: Path, key: Key, good: bytes) -> None:
    """The power goes again and again, after a few steps each; every start goes on, and it ends well."""
    cuts, opened = 0, open_payload(InMemory(good), wanted(key))
    for seed in range(500):
        machine = Machine(memory / str(seed))
        run = Trial(machine, opened, good, random.Random(seed))
        chance = random.Random(seed)
        for _ in range(400):
            try:
                run.run(Power(chance.randrange(3, 24)), InMemory(good))
                break
            except PowerCut:
                cuts += 1
            run.check()
            machine.slots.reconcile("4891.0.0")
            run.check()
            if machine.armed:
                break
        else:
            pytest.fail("it does not come to an end")
        run.check()
        assert machine.armed
        assert machine.partial_files() == []
    assert cuts > 2000


def test_what_is_done_is_not_fetched_again(machine: Machine, key: Key, good: bytes) -> None:
    whole = InMemory(good)
    run = trial(machine, key, good, 5)
    with pytest.raises(PowerCut):
        run.run(Power(38), whole)
    before = whole.read_bytes
    rest = InMemory(good)
    run.run(Power(-1), rest)
    header = p.decode_header(good)
    data_bytes = len(good) - header.data_at
    assert before + rest.read_bytes <= data_bytes + CHUNK_BYTES
    assert rest.read_bytes < data_bytes / 2
    assert machine.installed() == contents()


def test_another_payload_begins_anew(machine: Machine, key: Key, good: bytes) -> None:
    with pytest.raises(PowerCut):
        trial(machine, key, good, 5).run(Power(38), InMemory(good))
    other = payload(key, parts=contents("other"))
    source = InMemory(other)
    opened = open_payload(source, wanted(key))
    Trial(machine, opened, other, random.Random(0)).run(Power(-1), source)
    assert machine.installed() == contents("other")


def test_afresh_begins_anew(machine: Machine, key: Key, good: bytes) -> None:
    run = trial(machine, key, good, 5)
    with pytest.raises(PowerCut):
        run.run(Power(38), InMemory(good))
    source = InMemory(good)
    target = SlotTarget(machine.slots.standby_target())
    journal = Journal(machine.state / "progress.json")
    apply(run.opened, source, target, journal, machine.slots, afresh=True, steps=Steps())
    assert source.read_bytes == len(good) - p.decode_header(good).data_at
    assert machine.armed


def test_bytes_that_changed_behind_our_back_are_found(machine: Machine, key: Key, good: bytes) -> None:
    """The first half was written, then the disk loses some of it: the reading back finds that."""
    run = trial(machine, key, good, 5)
    with pytest.raises(PowerCut):
        run.run(Power(38), InMemory(good))
    paths = machine.slots.standby_target()
    with paths.usr.open("r+b") as file:
        file.seek(paths.offset_bytes + 10)
        file.write(b"lost")
    with pytest.raises(UpdateError) as caught:
        run.run(Power(-1), InMemory(good))
    assert caught.value.problems[0].code == p.Code.PART_HASH
    assert_unharmed(machine)
    run.run(Power(-1), InMemory(good))
    assert machine.armed and machine.installed() == contents()

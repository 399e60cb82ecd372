"""The engine over simulated days: a clock that is turned by hand, a worker that does as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from tests.node.update.bench import NEW, OLD, Machine

from argosy.base.errors import ArgosyError
from argosy.formats.omaha.model import Event
from argosy.node.update.edges import Edges, Identity
from argosy.node.update.engine import Engine
from argosy.node.update.model import Answer, Asked, Offer, Operation, Status
from argosy.node.update.problems import Code, problem
from argosy.node.update.store import Store
from argosy.node.update.tasks import CheckTask, Installed, Report, Task
from argosy.node.updateconf import read_settings

HOUR = 3600.0
OFFER = Offer(NEW, ("http://a/x",), 1000, payload="sha")


@dataclass
class World:
    """What the engine sees and does. `answer` and `result` are what the worker tells; an error ends it."""

    machine: Machine
    now_s: float = 20.0
    answer: Answer | ArgosyError = field(default_factory=lambda: Answer("nothing new", heard=True))
    result: Installed | ArgosyError = field(default_factory=lambda: Installed(NEW))
    tasks: list[tuple[float, Task]] = field(default_factory=list)
    statuses: list[Status] = field(default_factory=list)
    wall_s: float = 1_700_000_000.0

    async def do(self, task: Task, proxies: Mapping[str, str], tell: Callable[[Report], None]) -> None:
        self.tasks.append((self.now_s, task))
        self.now_s += 3
        found = self.answer if task.check else self.result
        if isinstance(found, ArgosyError):
            raise found
        if isinstance(found, Answer):
            # Who says only that it is there is offered nothing.
            quiet = task.check is not None and task.check.quiet
            tell(Report(answer=replace(found, offer=None) if quiet else found))
            return
        tell(Report(Operation.DOWNLOADING, 500, 1000))
        tell(Report(Operation.VERIFYING))
        if not found.problems:
            self.machine.slots.invalidate()
            self.machine.slots.arm(found.version)
        tell(Report(installed=found))

    def last_word(self, task: CheckTask, proxies: Mapping[str, str]) -> Answer | None:
        self.tasks.append((self.now_s, Task(check=task)))
        return self.answer if isinstance(self.answer, Answer) else None

    def engine(self, boot_id: str = "boot") -> Engine:
        return Engine(
            Edges(
                store=Store(self.machine.state),
                slots=lambda: self.machine.slots,
                read_settings=lambda: read_settings([self.machine.conf]),
                worker=self,
                keys=self.machine.keys,
                identity=Identity(boot_id),
                boot_clock=lambda: self.now_s,
                wall_clock=lambda: self.wall_s,
                chance=lambda: 0.5,
            ),
            self.statuses.append,
        )

    def run(self, engine: Engine, hours: float) -> None:
        """Let time pass; the engine is called when it wants to be."""
        end_s = self.now_s + hours * HOUR
        while self.now_s < end_s:
            self.now_s += asyncio.run(engine.step())

    @property
    def checks(self) -> list[float]:
        return [at_s for at_s, task in self.tasks if task.check and not task.check.quiet]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    machine = Machine(tmp_path)
    machine.configure("http://service/v1/update/")
    yield World(machine)


def test_a_day(world: World) -> None:
    world.run(world.engine(), 24)
    pauses = [later - earlier for earlier, later in zip(world.checks, world.checks[1:], strict=False)]
    assert 2 * 60 <= world.checks[0] <= 12 * 60
    assert len(pauses) > 20
    assert all(40 * 60 <= pause <= 51 * 60 for pause in pauses)
    assert not any(task.check and task.check.on_demand for _, task in world.tasks)


def test_a_day_of_errors_of_the_service(world: World) -> None:
    world.answer = Answer("busy", busy=True, problem=problem(Code.ANSWER_STATUS, "busy"))
    engine = world.engine()
    world.run(engine, 24)
    pauses = [
        round((later - earlier) / HOUR, 1)
        for earlier, later in zip(world.checks, world.checks[1:], strict=False)
    ]
    assert pauses[:4] == [1.5, 3.0, 4.0, 4.0]
    assert engine.why().answer == "busy"
    world.answer = Answer("nothing new", heard=True)
    world.run(engine, 8)
    assert world.checks[-1] - world.checks[-2] < HOUR


def test_clocks_that_jump_change_nothing(world: World) -> None:
    engine = world.engine()
    world.run(engine, 3)
    before = len(world.checks)
    world.wall_s = 0.0
    world.run(engine, 3)
    world.wall_s = 1e11
    world.run(engine, 3)
    assert 3 * before - 2 <= len(world.checks) <= 3 * before + 3


def test_from_offer_to_reboot(world: World) -> None:
    world.answer = Answer("take it", OFFER, heard=True)
    engine = world.engine()
    world.run(engine, 1)
    assert world.machine.armed
    assert [status.operation for status in world.statuses] == [
        Operation.CHECKING,
        Operation.AVAILABLE,
        Operation.DOWNLOADING,
        Operation.VERIFYING,
        Operation.NEED_REBOOT,
    ]
    assert world.statuses[2].progress == 0.5
    assert (engine.status.version, engine.status.size_bytes) == (NEW, 1000)
    world.tasks.clear()
    world.run(engine, 24)
    assert world.checks == []
    assert len(world.tasks) > 20, "it still says that it is alive"
    # The engine starts again: the slots know.
    again = world.engine()
    asyncio.run(again.step())
    assert again.status.operation is Operation.NEED_REBOOT


def test_a_person_need_not_wait(world: World) -> None:
    engine = world.engine()
    asyncio.run(engine.step())
    engine.ask(Asked())
    assert engine.busy
    asyncio.run(engine.step())
    assert world.tasks[-1][1].check is not None and world.tasks[-1][1].check.on_demand
    asyncio.run(engine.step())
    assert not engine.busy
    assert len(world.tasks) == 1, "asked once, answered once"


def test_while_it_works_there_is_no_reset(world: World) -> None:
    engine = world.engine()
    engine.ask(Asked())
    with pytest.raises(ArgosyError, match="under way"):
        engine.reset()


@pytest.mark.parametrize("error", [ArgosyError("the worker ended with -9")])
def test_a_worker_that_dies(world: World, error: ArgosyError) -> None:
    world.answer = Answer("take it", OFFER, heard=True)
    world.result = error
    engine = world.engine()
    world.run(engine, 12)
    installs = [task.install for _, task in world.tasks if task.install]
    assert len(installs) > 10
    assert [task.afresh for task in installs].index(True) == 10
    assert [each.code for each in engine.why().problems] == [Code.ENDED]
    world.answer = error
    world.run(engine, 2)
    assert [each.code for each in engine.why().problems] == [Code.ENDED]


def test_what_is_forgotten_and_what_is_not(world: World) -> None:
    bad = problem(Code.WRONG_SIZE, "wrong size")
    world.answer, world.result = (
        Answer("take it", OFFER, heard=True),
        Installed(NEW, problems=(bad,)),
    )
    world.run(world.engine(), 12)
    assert sum(1 for _, task in world.tasks if task.install) == 1
    # The daemon starts again: nothing changes. The machine does: one more try.
    world.run(world.engine(), 6)
    assert sum(1 for _, task in world.tasks if task.install) == 1
    world.now_s = 20.0
    world.run(world.engine("another boot"), 6)
    assert sum(1 for _, task in world.tasks if task.install) == 2


def test_lost_or_damaged_files_are_made_anew(world: World) -> None:
    world.run(world.engine(), 2)
    for name in ("state.json", "events.json", "progress.json"):
        (world.machine.state / name).write_bytes(b"\0garbage")
    world.tasks.clear()
    engine = world.engine()
    engine.clean_up()
    world.run(engine, 3)
    assert world.checks


def test_a_disk_that_takes_no_notes_stops_nothing(world: World) -> None:
    engine = world.engine()
    world.machine.state.rename(world.machine.folder / "away")
    world.run(engine, 3)
    assert len(world.checks) >= 3


def test_an_update_that_proved_itself_is_told(world: World) -> None:
    engine = world.engine()
    asyncio.run(engine.step())
    world.machine.configure("http://service/v1/update/", COREOS_RELEASE_VERSION=NEW)
    asyncio.run(engine.step())
    assert world.machine.state.joinpath("events.json").exists()
    assert Store(world.machine.state).events.waiting() == (Event(3, 2, previous_version=OLD),)
    # It does not wait for the next check.
    world.run(engine, 0.1)
    assert any(task.check and task.check.quiet for _, task in world.tasks)

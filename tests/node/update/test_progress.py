"""What the update service hears between events: when, in which words, and that it can take a version back."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.node.update.bench import NEW, OLD, Machine, Service, web
from tests.node.update.daemon import wait_for
from tests.node.update.test_engine import World

from argosy.base.run import run
from argosy.formats.omaha.codes import ErrorCode, EventResult, EventType
from argosy.formats.omaha.model import SERVER, Progress, Stage, Withdrawn
from argosy.formats.rebootwhy import State as RebootState
from argosy.formats.rebootwhy import Why as RebootWhy
from argosy.node.update import memory, omaha
from argosy.node.update.edges import Edges
from argosy.node.update.engine import Engine
from argosy.node.update.model import Answer, Asked, Check, Offer, Operation, State
from argosy.node.update.model import Machine as Introduced
from argosy.node.update.problems import Code, UpdateError
from argosy.node.update.process import WorkerProcess
from argosy.node.update.progress import Told, due_s, said, waiting
from argosy.node.update.tasks import CheckTask, InstallTask, slot_places
from argosy.node.update.teller import Teller

WANTED = f"version {NEW} is installed"
HELD = RebootWhy("the lock is held by core-02", RebootState.REBOOT_PLANNED, "etcd-lock", wanted=WANTED)
DRAINS = replace(HELD, answer="its units move to other machines", holds=True)
REBOOTS = replace(HELD, answer=WANTED, state=RebootState.REBOOTING)
UNHEARD = RebootWhy("no reboot is wanted", RebootState.RUNNING, "etcd-lock")
BROKEN = RebootWhy("locksmithd cannot go on: no", RebootState.RUNNING, "")
FORMER = replace(
    HELD, answer="this machine is back, but keeps the lock", state=RebootState.RUNNING, holds=True
)


@pytest.mark.parametrize(
    ("why", "strategy", "stage", "reason"),
    [
        (None, "best-effort", Stage.INSTALLED, ""),
        (None, "off", Stage.INSTALLED, "REBOOT_STRATEGY=off: a person has to reboot it"),
        (HELD, "best-effort", Stage.INSTALLED, HELD.answer),
        (UNHEARD, "best-effort", Stage.INSTALLED, ""),
        (BROKEN, "best-effort", Stage.INSTALLED, BROKEN.answer),
        (FORMER, "best-effort", Stage.INSTALLED, FORMER.answer),
        (DRAINS, "best-effort", Stage.REBOOTING, DRAINS.answer),
        (REBOOTS, "reboot", Stage.REBOOTING, ""),
    ],
)
def test_what_an_installed_version_waits_for(
    why: RebootWhy | None, strategy: str, stage: Stage, reason: str
) -> None:
    assert waiting(NEW, strategy, why) == Progress(stage, NEW, reason=reason)


LOCK = Progress(Stage.INSTALLED, NEW, reason="the lock is held by core-02 for 3 min")
LATER = replace(LOCK, reason="the lock is held by core-02 for 4 min")
OTHER = replace(LOCK, reason="the lock is held by core-03 for 1 s")


@pytest.mark.parametrize(
    ("current", "told", "due"),
    [
        (None, None, None),
        (LOCK, None, 100.0),
        (LOCK, Told(LOCK, 90, heard=True), None),
        (LATER, Told(LOCK, 90, heard=True), None),
        (OTHER, Told(LOCK, 90, heard=True), 105.0),
        (OTHER, Told(LOCK, 90, heard=True, times=3), 150.0),
        (OTHER, Told(LOCK, 90, heard=True, times=99), 690.0),
        (LOCK, Told(LOCK, 90, heard=False), 105.0),
        (replace(LOCK, stage=Stage.REBOOTING), Told(LOCK, 99, heard=False, times=9), 100.0),
        (replace(LOCK, version="9.0.0"), Told(LOCK, 99, heard=True, times=9), 100.0),
    ],
)
def test_when_it_is_told(current: Progress | None, told: Told | None, due: float | None) -> None:
    assert due_s(current, told, 100.0) == due


@given(st.lists(st.sampled_from(["a", "b", "c", "the lock for 5 min", "the lock for 6 min"]), min_size=100))
def test_however_often_the_reason_changes_the_service_hears_little(reasons: list[str]) -> None:
    """A new reason in every second is told at most some times, and the last one is heard in the end."""
    told: Told | None = None
    now_s, times = 0.0, 0
    for reason in [*reasons, *[reasons[-1]] * 700]:
        now_s += 1
        current = replace(LOCK, reason=reason)
        due = due_s(current, told, now_s)
        if due is not None and due <= now_s:
            told, times = said(current, told, now_s, heard=True), times + 1
    assert told is not None
    assert due_s(replace(LOCK, reason=reasons[-1]), told, now_s) is None
    assert times <= 12


# The engine


@dataclass
class Reports(World):
    """A world whose service reads progress. `why` is what locksmithd says, `probing` the gate."""

    why: RebootWhy | None = None
    probing: str = ""
    answer: Answer = field(default_factory=lambda: Answer("nothing new", heard=True, reads_progress=True))

    def engine(self, boot_id: str = "boot") -> Engine:
        edges = super().engine(boot_id)._edges
        with_reports: Edges = replace(edges, read_reboot=lambda: self.why, read_probing=lambda: self.probing)
        return Engine(with_reports, self.statuses.append)

    @property
    def told(self) -> list[tuple[Stage, str]]:
        checks = [task.check for _, task in self.tasks if task.check]
        return [(check.progress.stage, check.progress.reason) for check in checks if check.progress]

    def asked_once(self) -> Engine:
        """An engine that knows its service."""
        engine = self.engine()
        while not self.checks:
            self.now_s += asyncio.run(engine.step())
        self.tasks.clear()
        return engine

    def pass_s(self, engine: Engine, seconds: float) -> None:
        self.run(engine, seconds / 3600)


@pytest.fixture
def reports(tmp_path: Path) -> Iterator[Reports]:
    machine = Machine(tmp_path)
    machine.configure("http://service/v1/update/")
    yield Reports(machine)


def install(reports: Reports) -> None:
    reports.machine.slots.invalidate()
    reports.machine.slots.arm(NEW)


def test_the_way_to_the_reboot_is_told(reports: Reports) -> None:
    engine = reports.asked_once()
    install(reports)
    reports.pass_s(engine, 5)
    assert reports.told == [(Stage.INSTALLED, "")]
    reports.why = HELD
    reports.pass_s(engine, 60)
    assert reports.told[1:] == [(Stage.INSTALLED, HELD.answer)]
    reports.pass_s(engine, 1200)
    assert len(reports.told) == 2
    reports.why = DRAINS
    asyncio.run(engine.step())
    assert reports.told[2:] == [(Stage.REBOOTING, DRAINS.answer)]
    engine.say_goodbye()
    assert len(reports.told) == 3


def test_a_reboot_by_hand_is_told_on_the_way_down(reports: Reports) -> None:
    engine = reports.asked_once()
    engine.say_goodbye()
    assert reports.told == []
    install(reports)
    reports.pass_s(engine, 5)
    engine.say_goodbye()
    assert [stage for stage, _ in reports.told] == [Stage.INSTALLED, Stage.REBOOTING]


def test_the_trial_is_told_with_the_probe_that_does_not_pass(reports: Reports) -> None:
    engine = reports.asked_once()
    install(reports)
    reports.machine.slots.take_next_boot()
    reports.machine.configure("http://service/v1/update/", COREOS_RELEASE_VERSION=NEW)
    reports.machine.running = "b"
    engine = reports.engine("next boot")
    reports.probing = "etcd: not healthy"
    reports.pass_s(engine, 60)
    assert reports.told == [(Stage.PROBING, "etcd: not healthy")]


def test_another_service_hears_nothing_of_it(reports: Reports) -> None:
    reports.answer = Answer("nothing new", heard=True)
    engine = reports.asked_once()
    install(reports)
    reports.why = HELD
    reports.pass_s(engine, 3600)
    assert reports.told == []


def test_what_is_withdrawn_before_the_reboot_is_dropped(reports: Reports) -> None:
    engine = reports.asked_once()
    install(reports)
    reports.answer = replace(reports.answer, withdrawn=Withdrawn(NEW, "core-02 fell back"))
    reports.pass_s(engine, 5)
    assert not reports.machine.armed
    assert engine.status.operation is Operation.IDLE
    events = engine._edges.store.events.waiting()
    assert [(event.type, event.result, event.next_version, event.reason) for event in events] == [
        (EventType.UPDATE_COMPLETE, EventResult.CANCELLED, NEW, "core-02 fell back")
    ]
    engine._edges.store.events.told(events)
    assert engine.why().answer == "core-02 fell back"
    assert [problem.code for problem in engine.why().problems] == [Code.WITHDRAWN]


def test_an_offer_that_is_not_taken_is_answered(reports: Reports) -> None:
    """Else the service would keep its place for it, and the others waiting."""
    engine = reports.asked_once()
    asyncio.run(engine.step())
    reports.machine.configure("http://service/v1/update/", FLOOR="5000.0.0")
    reports.answer = replace(reports.answer, offer=Offer(NEW, ("http://a/x",), 1000, payload="sha"))
    engine.ask(Asked())
    reports.pass_s(engine, 10)
    [event] = engine._edges.store.events.waiting()
    assert (event.type, event.result, event.next_version) == (
        EventType.UPDATE_COMPLETE,
        EventResult.ERROR,
        NEW,
    )
    assert event.error_code == ErrorCode.BELOW_FLOOR
    assert "below the floor 5000.0.0" in event.reason
    assert asyncio.run(engine.step()) == 0.0, "it is told at once"
    assert reports.tasks[-1][1].check and reports.tasks[-1][1].check.quiet


def test_another_version_that_is_withdrawn_changes_nothing(reports: Reports) -> None:
    engine = reports.asked_once()
    install(reports)
    reports.answer = replace(reports.answer, withdrawn=Withdrawn("1.0.0"))
    reports.pass_s(engine, 5)
    assert reports.machine.armed


def test_how_often_the_service_wants_to_be_asked_counts_for_signs_of_life_too() -> None:
    asked = memory.checked(State("b", 0.0), Check(""), Answer(poll_s=60, heard=True), 0, 0, 0.5)
    assert (asked.poll_s, asked.next_check_s) == (60, 60)
    alive = memory.checked(
        replace(asked, next_check_s=0.0), Check("", quiet=True), Answer(heard=True), 0, 0, 0.5
    )
    assert alive.next_check_s == 60


# The download


@pytest.fixture
def service() -> Iterator[tuple[Service, str]]:
    service = Service(name=SERVER)
    with web(service.handle) as server:
        yield service, server.url


def task(folder: Path, server: str, *, tells: bool = True) -> InstallTask:
    machine = Machine(folder)
    return InstallTask(
        machine=Introduced("app", OLD, "stable"),
        server=server,
        folder=str(machine.state),
        offer=Offer(NEW, ("http://a/x",), 1000),
        floor="0.0.0",
        keys=str(machine.keys),
        slots=slot_places(machine.places),
        tells_progress=tells,
    )


def hears(service: Service, percent: int) -> bool:
    return bool(service.progress) and service.progress[-1].percent == percent


def test_a_download_tells_how_far_it_is(service: tuple[Service, str], tmp_path: Path) -> None:
    known, url = service
    teller = Teller(task(tmp_path, url), every_s=0.01)
    for percent in (10, 50):
        teller.moved(percent * 10)
        wait_for(partial(hears, known, percent), str)
    teller.verifying()
    wait_for(lambda: known.progress[-1].stage is Stage.VERIFYING, str)
    teller.end()
    teller.moved(700)
    assert [(each.stage, each.percent) for each in known.progress] == [
        (Stage.DOWNLOADING, 10),
        (Stage.DOWNLOADING, 50),
        (Stage.VERIFYING, None),
    ]


def test_a_download_of_what_was_withdrawn_ends(service: tuple[Service, str], tmp_path: Path) -> None:
    known, url = service
    known.withdrawn = Withdrawn(NEW, "a person aborted its rollout")
    teller = Teller(task(tmp_path, url), every_s=0.01)

    def refused() -> bool:
        try:
            teller.moved(100)
        except UpdateError as error:
            assert [each.code for each in error.problems] == [Code.WITHDRAWN]
            assert "a person aborted its rollout" in str(error)
            return True
        return False

    wait_for(refused, str)


def test_a_service_that_reads_nothing_is_not_asked(service: tuple[Service, str], tmp_path: Path) -> None:
    known, url = service
    teller = Teller(task(tmp_path, url, tells=False), every_s=0.01)
    teller.moved(100)
    assert not teller._thread.is_alive()
    assert known.requests == []


def test_only_our_service_reads_progress(service: tuple[Service, str]) -> None:
    known, url = service
    request = omaha.request(Introduced("app", OLD, "stable"), check=True)
    assert omaha.ask(url, request).reads_progress
    known.name = "update.core-os.net"
    assert not omaha.ask(url, request).reads_progress


@pytest.fixture
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has a last word sets the proxies of its process: they come back after the test."""
    for scheme in ("http", "https", "no"):
        monkeypatch.setenv(f"{scheme}_proxy", "")


@pytest.mark.usefixtures("own_environment")
def test_the_last_word_is_said_without_a_process(service: tuple[Service, str], tmp_path: Path) -> None:
    known, url = service
    known.withdrawn = Withdrawn(NEW, "core-02 fell back")
    introduced = Introduced("app", OLD, "stable")
    last = Progress(Stage.REBOOTING, NEW)
    words = CheckTask(introduced, url, str(tmp_path), quiet=True, progress=last)
    answer = WorkerProcess().last_word(words, {})
    assert answer is not None
    assert (answer.heard, answer.withdrawn) == (True, known.withdrawn)
    assert known.progress == [last]


def test_a_daemon_without_openssl_has_a_last_word_too(service: tuple[Service, str], tmp_path: Path) -> None:
    known, url = service
    code = f"""
from argosy.base.lean import without_openssl
without_openssl()
import asyncio
import socket
import sys
import time
from argosy.formats.omaha.model import Progress, Stage
from argosy.node.update.model import Machine
from argosy.node.update.process import WorkerProcess
from argosy.node.update.tasks import CheckTask
progress = Progress(Stage.REBOOTING, "{NEW}")
task = CheckTask(Machine("app", "{OLD}", "stable"), "{url}", "{tmp_path}", progress=progress)
print(WorkerProcess().last_word(task, {{"http": ""}}).heard)
"""
    done = run([sys.executable, "-c", code], timeout_s=60)
    assert done.stdout == b"True\n"
    assert known.progress == [Progress(Stage.REBOOTING, NEW)]


@pytest.mark.usefixtures("own_environment")
def test_a_service_that_does_not_answer_keeps_no_machine_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        task = CheckTask(Introduced("app", OLD, "stable"), url, str(tmp_path))
        began_s = time.monotonic()
        answer = WorkerProcess().last_word(task, {})
    assert answer is None or not answer.heard
    assert time.monotonic() - began_s < 15

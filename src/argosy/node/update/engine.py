"""The engine: observes, has `plan` decide, performs. One action at a time; a person's wish wakes it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from argosy.base.errors import ArgosyError
from argosy.base.loop import Backoff
from argosy.formats.omaha.model import Stage, Withdrawn
from argosy.formats.rebootwhy import Why as RebootWhy
from argosy.node.slots.model import SlotsError, SlotsState
from argosy.node.update import memory, why
from argosy.node.update.edges import Edges
from argosy.node.update.model import (
    Answer,
    Asked,
    Check,
    Install,
    Machine,
    Observation,
    Offer,
    Operation,
    State,
    Status,
    Wait,
    Why,
)
from argosy.node.update.plan import armed_version, current_progress, plan, progress_due_s
from argosy.node.update.problems import Code, Problem, problem
from argosy.node.update.progress import Told, said
from argosy.node.update.target import SlotTarget
from argosy.node.update.tasks import CheckTask, Installed, InstallTask, Report, Task, slot_places
from argosy.node.updateconf import Settings

log = logging.getLogger(__name__)

TICK_S = 600.0
_TRIAL_TICK_S = 20.0
_FIRST_EVENTS_S = 20.0
_LAST_STAGE = Stage.REBOOTING
_EVENTS = Backoff(first_s=60.0, most_s=3600.0)


class Engine:
    """What runs. `on_status` is called with each new status."""

    def __init__(self, edges: Edges, on_status: Callable[[Status], None] = lambda status: None) -> None:
        self._edges = edges
        self._on_status = on_status
        self._asked: Asked | None = None
        self._offer: Offer | None = None
        self._event_failures = 0
        self._said = ""
        self._told: Told | None = None
        self.status = Status()
        now_s = edges.boot_clock()
        self._events_due_s = now_s + _FIRST_EVENTS_S * edges.chance()
        self._state = memory.started(
            edges.store.read(),
            edges.identity.boot_id,
            now_s,
            edges.chance(),
            unfinished=edges.store.journal.exists(),
        )

    @property
    def busy(self) -> bool:
        """A check or an installation is under way."""
        return self.status.operation not in (Operation.IDLE, Operation.NEED_REBOOT)

    def ask(self, asked: Asked) -> None:
        """A person wants an update. What is under way goes on; the wish then counts for nothing."""
        if self.busy:
            log.info("somebody asks for an update, which is under way already")
            return
        self._asked = asked
        if self.status.operation is Operation.IDLE:
            self._show(Operation.CHECKING)

    def clean_up(self) -> None:
        """Remove what an installation that was cut short left under temporary names."""
        journal = self._edges.store.journal
        if not journal.exists():
            return
        try:
            slots = self._edges.slots()
            SlotTarget(slots.standby_target()).remove_partial()
            if armed_version(slots.observe()) is not None:
                journal.remove()
        except (ArgosyError, OSError) as error:
            log.warning("what an interrupted update left cannot be removed: %s", error)

    async def step(self) -> float:
        """Do what is to be done now. The seconds until it is to be called again."""
        seen = self._catch_up(self.observe())
        action = plan(seen)
        self._say(action.reason)
        if isinstance(action, Check):
            await self._check(action, seen)
            return 0.0
        if isinstance(action, Install):
            await self._install(action, seen)
            return 0.0
        return self._wait(action, seen)

    def observe(self) -> Observation:
        """Look at everything that a decision rests on."""
        edges = self._edges
        settings, settings_problem = None, ""
        try:
            settings = edges.read_settings()
        except ArgosyError as error:
            settings_problem = str(error)
        slots, slots_problem = self._look_at_slots()
        return Observation(
            now_s=edges.boot_clock(),
            boot_id=edges.identity.boot_id,
            state=self._state,
            settings=settings,
            settings_problem=settings_problem,
            slots=slots,
            slots_problem=slots_problem,
            offer=self._offer,
            asked=self._asked,
            waiting_events=len(edges.store.events.waiting()),
            events_due_s=self._events_due_s,
            reboot=edges.read_reboot(),
            probing=edges.read_probing() if slots and slots.in_trial else "",
            told=self._told,
        )

    def reset(self) -> None:
        """Forget failures and pauses, and an update that waits for the reboot: its slot becomes invalid.

        Raises `ArgosyError` while an update is under way.
        """
        if self.busy:
            raise ArgosyError("an update is under way", hint="wait for it to end, then try again")
        slots = self._edges.slots()
        if armed_version(slots.observe()) is not None:
            slots.invalidate()
        self._remember(replace(self._state, failures=(), problems=(), busy_answers=0))
        self._show(Operation.IDLE)

    def reboot_news(self) -> RebootWhy | None:
        """What locksmithd says while a reboot is due, to notice that it changes; else None."""
        if self.status.operation is not Operation.NEED_REBOOT:
            return None
        reboot = self._edges.read_reboot()
        return replace(reboot, at_s=0) if reboot else None

    def say_goodbye(self) -> None:
        """The machine goes down: if it does so for an update, the service hears of it."""
        if self.status.operation is not Operation.NEED_REBOOT:
            return
        seen = self.observe()
        current = current_progress(seen)
        if current is None or seen.settings is None:
            return
        if self._told and self._told.heard and self._told.progress.stage is _LAST_STAGE:
            return
        action = Check("the machine goes down", quiet=True, progress=replace(current, stage=_LAST_STAGE))
        answer = self._edges.worker.last_word(self._task(action, seen.settings), seen.settings.proxies)
        if answer:
            self._take(action, answer)

    def why(self) -> Why:
        """Why there is no update, or what is going on."""
        seen = replace(self.observe(), asked=None)
        # That the service is about to hear how far it is says nothing.
        seen = replace(seen, state=replace(seen.state, reads_progress=False))
        action = plan(replace(seen, offer=self._state.offer))
        # An offer that would be taken again says less than what became of it.
        return why.answer(self.status, seen, action if isinstance(action, Wait) else plan(seen))

    def _look_at_slots(self) -> tuple[SlotsState | None, str]:
        try:
            return self._edges.slots().observe(), ""
        except (ArgosyError, OSError) as error:
            return None, str(error)

    def _catch_up(self, seen: Observation) -> Observation:
        """What happened since the service heard of us the last time becomes events."""
        if seen.slots is None or seen.settings is None:
            return seen
        events, state = memory.news(self._state, seen.slots, seen.settings.version)
        if events:
            self._edges.store.events.add(*events)
        if state != self._state:
            self._remember(state)
        return replace(seen, state=state, waiting_events=seen.waiting_events + len(events))

    def _wait(self, action: Wait, seen: Observation) -> float:
        if self._offer and action.problems:
            self._refuse(self._offer, action.problems)
        self._asked = self._offer = None
        if action.armed:
            offer = seen.state.offer
            size_bytes = offer.size_bytes if offer and offer.version == action.armed else 0
            self._show(Operation.NEED_REBOOT, action.armed, size_bytes)
        else:
            self._show(Operation.IDLE)
        pauses = [TICK_S]
        if seen.slots is not None and seen.slots.in_trial:
            pauses.append(_TRIAL_TICK_S)
        if action.until_s is not None:
            pauses.append(action.until_s - seen.now_s)
        if seen.waiting_events and seen.settings and seen.settings.server:
            pauses.append(self._events_due_s - seen.now_s)
        if (due_s := progress_due_s(seen)) is not None:
            pauses.append(due_s - seen.now_s)
        return max(min(pauses), 1.0)

    def _refuse(self, offer: Offer, problems: tuple[Problem, ...]) -> None:
        """The service hears that its offer is not taken, and may give the place to another machine."""
        self._edges.store.events.add(memory.refused(offer.version, problems))
        self._events_due_s = self._edges.boot_clock()

    async def _check(self, action: Check, seen: Observation) -> None:
        assert seen.settings is not None
        if not action.quiet:
            self._show(Operation.CHECKING)
        task = self._task(action, seen.settings)
        answer = Answer()

        def tell(report: Report) -> None:
            nonlocal answer
            answer = report.answer or answer

        try:
            await self._edges.worker.do(Task(check=task), seen.settings.proxies, tell)
        except ArgosyError as error:
            found = _ended(error)
            answer = Answer(found.sentence, problem=found)
        if answer.problem:
            log.warning("%s", answer.sentence)
        self._take(action, answer)

    def _task(self, action: Check, settings: Settings) -> CheckTask:
        return CheckTask(
            machine=self._machine(settings),
            server=settings.server,
            folder=str(self._edges.store.folder),
            on_demand=action.on_demand,
            quiet=action.quiet,
            pin=str(settings.pin or ""),
            progress=action.progress,
        )

    def _take(self, action: Check, answer: Answer) -> None:
        edges = self._edges
        now_s = edges.boot_clock()
        self._events_heard(answer.heard, now_s)
        self._remember(memory.checked(self._state, action, answer, now_s, edges.wall_clock(), edges.chance()))
        if action.progress:
            self._told = said(action.progress, self._told, now_s, heard=answer.heard)
        if answer.withdrawn:
            self._drop(answer.withdrawn)
        self._offer = answer.offer
        if self._offer is None and not action.quiet:
            self._asked = None

    def _drop(self, withdrawn: Withdrawn) -> None:
        """The service takes back what waits for the reboot."""
        try:
            slots = self._edges.slots()
            if armed_version(slots.observe()) != withdrawn.version:
                return
            slots.invalidate()
        except (ArgosyError, OSError) as error:
            log.warning("version %s was withdrawn, but cannot be dropped: %s", withdrawn.version, error)
            return
        log.warning("version %s was withdrawn, and is dropped: %s", withdrawn.version, withdrawn.reason)
        event, state = memory.dropped(self._state, withdrawn)
        self._edges.store.events.add(event)
        self._remember(state)
        self._told, self._events_due_s = None, self._edges.boot_clock()
        self._show(Operation.IDLE)

    async def _install(self, action: Install, seen: Observation) -> None:
        assert seen.settings is not None
        settings, asked, offer = seen.settings, self._asked, action.offer
        self._asked = self._offer = None
        self._show(Operation.AVAILABLE, offer.version, offer.size_bytes)
        done = Installed(offer.version, problems=(_ended(),))
        try:
            places = slot_places(self._edges.slots().places)
            task = InstallTask(
                machine=self._machine(settings),
                server=settings.server,
                folder=str(self._edges.store.folder),
                offer=offer,
                floor=str(seen.floor),
                keys=str(self._edges.keys),
                slots=places,
                pin=str(settings.pin or ""),
                hold=settings.hold,
                retry=asked is not None and asked.retry,
                afresh=action.afresh,
                tells_progress=self._state.reads_progress,
            )
            done = await self._work(task, settings, done)
        except (ArgosyError, SlotsError) as error:
            done = Installed(offer.version, problems=(_ended(error),))
        now_s = self._edges.boot_clock()
        for each in done.problems:
            log.error("version %s was not installed: %s (%s)", offer.version, each.sentence, each.code)
        self._remember(
            memory.installed(self._state, action, done.problems, done.floor, now_s, self._edges.chance())
        )
        self._events_heard(not self._edges.store.events.waiting(), now_s)

    async def _work(self, task: InstallTask, settings: Settings, done: Installed) -> Installed:
        def tell(report: Report) -> None:
            nonlocal done
            done = report.installed or done
            if report.note:
                log.warning("%s", report.note)
            if report.operation is not None:
                part = report.done_bytes / report.total_bytes if report.total_bytes else 0.0
                self._show(report.operation, task.offer.version, task.offer.size_bytes, part)

        await self._edges.worker.do(Task(install=task), settings.proxies, tell)
        return done

    def _machine(self, settings: Settings) -> Machine:
        identity = self._edges.identity
        return Machine(
            application=settings.application,
            version=settings.version,
            group=settings.group,
            board=settings.board,
            boot_id=identity.boot_id,
            machine_id=identity.machine_id,
            oem=identity.oem,
            oem_version=identity.oem_version,
            first_version=self._state.first_version,
            host_name=self._edges.host_name(),
        )

    def _events_heard(self, heard: bool, now_s: float) -> None:
        self._event_failures = 0 if heard else self._event_failures + 1
        self._events_due_s = now_s + _EVENTS.pause_s(self._event_failures or 1, self._edges.chance())

    def _remember(self, state: State) -> None:
        """A disk that is full takes no notes; the engine then goes on from memory."""
        self._state = state
        try:
            self._edges.store.write(state)
        except OSError as error:
            log.warning("cannot write down what to remember: %s", error)

    def _say(self, reason: str) -> None:
        """What the engine waits for, once."""
        if reason != self._said:
            log.info("%s", reason)
            self._said = reason

    def _show(
        self, operation: Operation, version: str = "0.0.0", size_bytes: int = 0, part: float = 0.0
    ) -> None:
        status = Status(self._state.checked_at_s, part, operation, version, size_bytes)
        if status != self.status:
            self.status = status
            self._on_status(status)


def _ended(error: ArgosyError | None = None) -> Problem:
    why = error.message if error else "it ended without a result"
    return problem(Code.ENDED, f"the work was interrupted: {why}")

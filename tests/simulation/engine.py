"""The update engine of a machine: its planner, its memory, its messages; the work itself takes time only."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tests.simulation.service import ADDRESS, GROUP

from argosy.base.loop import Backoff
from argosy.formats.omaha.codes import EventResult, EventType
from argosy.formats.omaha.model import Event, Progress, Stage
from argosy.formats.payload import APPLICATION_ID
from argosy.node.slots import machine as slots
from argosy.node.slots.model import other
from argosy.node.update import memory, omaha
from argosy.node.update.model import Answer, Check, Install, Observation, Offer, State, Wait
from argosy.node.update.model import Machine as Identity
from argosy.node.update.plan import armed_version, current_progress, plan, progress_due_s
from argosy.node.update.problems import Code, Problem, problem
from argosy.node.update.progress import Told, said
from argosy.node.updateconf import Settings

if TYPE_CHECKING:
    from tests.simulation.machine import Machine

_FIRST_EVENTS_S = 20.0
_EVENTS = Backoff(first_s=60.0, most_s=3600.0)
_DOWNLOADS_S = (20.0, 240.0)
_VERIFIES_S = (5.0, 20.0)
_BROKEN_OFF = problem(Code.BROKEN_OFF, "the download broke off")


@dataclass
class Disk:
    """What survives. `unfinished`: an installation was begun."""

    state: State = field(default_factory=State)
    events: list[Event] = field(default_factory=list)
    unfinished: bool = False


class Engine:
    """One boot's, or one process's."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.wanted = ""
        self.reason = ""
        self._offer: Offer | None = None
        self._told: Told | None = None
        self._busy = False
        self._event_failures = 0
        self._events_due_s = 0.0
        self._wake = 0

    def start(self) -> None:
        """The daemon starts: at boot, and after it was killed."""
        machine, chance = self.machine, self.machine.world.agenda.random.random
        self._events_due_s = machine.up_s + _FIRST_EVENTS_S * chance()
        disk = machine.disk
        disk.state = memory.started(
            disk.state, machine.boot_id, machine.up_s, chance(), unfinished=disk.unfinished
        )
        self._step()

    def wake(self) -> None:
        """Look now: something has changed."""
        self._again(0.0)

    def say_goodbye(self) -> None:
        """The machine goes down, in an orderly way."""
        seen = self._observe()
        current = current_progress(seen)
        if self.wanted and current is not None:
            progress = replace(current, stage=Stage.REBOOTING)
            check = Check("the machine goes down", quiet=True, progress=progress)
            self._take(check, seen, self._send(check=False, progress=progress))

    def _again(self, in_s: float) -> None:
        self._wake += 1
        number = self._wake
        self.machine.after(in_s, lambda: self._step() if number == self._wake else None)

    def _step(self) -> None:
        if self._busy:
            return
        seen = self._observe()
        action = plan(seen)
        match action:
            case Check():
                self._check(action, seen)
            case Install():
                self._install(action, seen)
            case Wait():
                self._wait(action, seen)

    def _observe(self) -> Observation:
        machine, disk = self.machine, self.machine.disk
        state = machine.state
        events, disk.state = memory.news(disk.state, state, machine.version)
        disk.events += events
        return Observation(
            now_s=machine.up_s,
            boot_id=machine.boot_id,
            state=disk.state,
            settings=self._settings(),
            slots=state,
            offer=self._offer,
            waiting_events=len(disk.events),
            events_due_s=self._events_due_s,
            reboot=machine.locksmith.why,
            probing="its probes do not pass yet" if state.in_trial else "",
            told=self._told,
        )

    def _settings(self) -> Settings:
        machine = self.machine
        return Settings(
            *(GROUP, ADDRESS, machine.locksmith.settings.strategy),
            version=machine.version,
            application=APPLICATION_ID,
        )

    def _wait(self, action: Wait, seen: Observation) -> None:
        if self._offer and action.problems:
            self.machine.disk.events.append(memory.refused(self._offer.version, action.problems))
            self._events_due_s = seen.now_s
        self.reason, self._offer = action.reason, None
        wanted = f"version {action.armed} is installed" if action.armed else ""
        if wanted != self.wanted:
            self.wanted = wanted
            self.machine.locksmith.wake()
        pauses = [] if action.until_s is None else [action.until_s - seen.now_s]
        if seen.waiting_events:
            pauses.append(self._events_due_s - seen.now_s)
        if (due_s := progress_due_s(seen)) is not None:
            pauses.append(due_s - seen.now_s)
        if pauses:
            self._again(max(1.0, min(pauses)))

    def _check(self, action: Check, seen: Observation) -> None:
        machine, agenda = self.machine, self.machine.world.agenda
        self._take(action, seen, self._send(check=not action.quiet, progress=action.progress))
        if agenda.happens(machine.world.faults_now().killed):
            machine.engine = Engine(machine)
            machine.after(agenda.between(1.0, 10.0), machine.engine.start)
        else:
            self._again(agenda.between(0.05, 1.0))

    def _take(self, action: Check, seen: Observation, answer: Answer) -> None:
        machine, chance = self.machine, self.machine.world.agenda.random.random()
        self._events_heard(answer.heard)
        machine.disk.state = memory.checked(
            machine.disk.state, action, answer, seen.now_s, machine.wall_s, chance
        )
        if action.progress:
            self._told = said(action.progress, self._told, seen.now_s, heard=answer.heard)
        if answer.withdrawn and armed_version(machine.state) == answer.withdrawn.version:
            machine.perform(slots.invalidate(machine.state))
            event, machine.disk.state = memory.dropped(machine.disk.state, answer.withdrawn)
            machine.disk.events.append(event)
            self._told, self._events_due_s = None, machine.up_s
        self._offer = answer.offer

    def _send(self, *, check: bool, ping: bool = True, progress: Progress | None = None) -> Answer:
        machine = self.machine
        identity = Identity(
            *(APPLICATION_ID, machine.version, GROUP),
            boot_id=machine.boot_id,
            machine_id=machine.name,
            host_name=machine.name,
        )
        told = len(machine.disk.events)
        request = omaha.request(
            identity, events=tuple(machine.disk.events), check=check, ping=ping, progress=progress
        )
        answer = machine.world.service.ask(request)
        if answer.heard:
            del machine.disk.events[:told]
        return answer

    def _events_heard(self, heard: bool) -> None:
        machine = self.machine
        self._event_failures = 0 if heard else self._event_failures + 1
        chance = machine.world.agenda.random.random()
        self._events_due_s = machine.up_s + _EVENTS.pause_s(self._event_failures or 1, chance)

    # What the worker process does

    def _install(self, action: Install, seen: Observation) -> None:
        machine, agenda = self.machine, self.machine.world.agenda
        self._busy, self._offer = True, None
        machine.disk.unfinished = True
        self._tell(Event(EventType.DOWNLOAD_STARTED, EventResult.SUCCESS, next_version=action.offer.version))
        machine.perform(slots.invalidate(machine.state))
        machine.contents.pop(other(machine.running), None)
        downloads_s = agenda.between(*_DOWNLOADS_S)
        if agenda.happens(machine.world.faults_now().lost):
            machine.after(downloads_s / 2, lambda: self._installed(action, (_BROKEN_OFF,)))
        else:
            machine.after(downloads_s, lambda: self._written(action))

    def _written(self, action: Install) -> None:
        event = Event(EventType.DOWNLOAD_FINISHED, EventResult.SUCCESS, next_version=action.offer.version)
        self._tell(event)
        agenda = self.machine.world.agenda
        self.machine.after(agenda.between(*_VERIFIES_S), lambda: self._installed(action, ()))

    def _installed(self, action: Install, problems: tuple[Problem, ...]) -> None:
        machine, version = self.machine, action.offer.version
        event = Event(EventType.UPDATE_COMPLETE, EventResult.SUCCESS, next_version=version)
        if problems:
            event = memory.refused(version, problems)
        else:
            machine.contents[other(machine.running)] = version
            machine.perform(slots.arm(machine.state, version))
            machine.disk.unfinished = False
        self._tell(event)
        chance = machine.world.agenda.random.random()
        machine.disk.state = memory.installed(
            machine.disk.state, action, problems, "0.0.0", machine.up_s, chance
        )
        self._busy = False
        self._events_heard(not machine.disk.events)
        self._again(0.0)

    def _tell(self, event: Event) -> None:
        self.machine.disk.events.append(event)
        self._send(check=False, ping=False)

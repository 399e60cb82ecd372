"""All machines, etcd and the update service, and what goes wrong while a version is rolled out."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace
from functools import partial

from tests.simulation.agenda import Act, Agenda
from tests.simulation.etcd import Etcd, group_name
from tests.simulation.machine import EPOCH, Machine
from tests.simulation.promises import Promises
from tests.simulation.scenario import DAY_S, HOUR_S, NEW, Faults, Quality, Scenario
from tests.simulation.service import Service

from argosy.node.locksmith.model import Access, Settings

PUBLISHED_S = HOUR_S
"""When the new version is published: by then all machines run, and ask the service at times of their own."""

_START_OVER_S = 50 * 60.0
_OUTAGE_S = (30.0, 1800.0)
_LOOKS_S = 60.0
_NO_FAULTS = Faults()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended. Times are seconds since the publishing; `finished_s` is None if it did not finish.

    `committed_s`: when each machine had proved the new version; `tried` have booted it, `dead` are down for
    good. Machines that `fell_back`, and those `waiting` with the old version, have each a reason. `most_away`
    were away with a lock at once; `lock_s` is for how long a machine holds its lock (median).
    """

    finished_s: float | None
    committed_s: tuple[float, ...]
    tried: int
    fell_back: dict[str, str]
    dead: int
    waiting: dict[str, str]
    most_away: int
    lock_s: float


class World:
    """One scenario."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.faults = scenario.faults
        self.agenda = agenda = Agenda(scenario.seed)
        self.etcd = Etcd(agenda, scenario.locks, self.faults.lost, self._changed)
        self.service = Service(agenda, scenario, self._wall_s)
        self.machines: list[Machine] = []
        self.promises = Promises(self)
        self._committed_s: dict[str, float] = {}
        self._finished = False
        groups = len(scenario.locks)
        for number in range(scenario.machines):
            group = group_name(number % groups)
            self.machines.append(Machine(self, number, is_member=number < scenario.members, group=group))
        self._named = {machine.name: machine for machine in self.machines}
        self.etcd.members = self.machines[: scenario.members]
        people = round(self.faults.people * scenario.machines)
        self._people = {each.name for each in agenda.random.sample(self.machines, people)}

    def run(self) -> Outcome:
        """Until every machine runs the new version, or the time is over. Raises `AssertionError`."""
        agenda = self.agenda
        for machine in self.machines:
            agenda.at(agenda.between(0.0, _START_OVER_S), machine.power_on)
        agenda.at(PUBLISHED_S, self._begin)
        agenda.run(PUBLISHED_S + self.scenario.days * DAY_S, lambda: self._finished)
        self.promises.in_the_end()
        return self._outcome()

    # What the parts ask

    def machine(self, name: str) -> Machine:
        """The machine of this name."""
        return self._named[name]

    def quality(self, machine: Machine, version: str) -> Quality:
        """What a version is like on a machine."""
        good = self.scenario.machines * (1 - self.scenario.bad_part)
        bad = version == NEW and machine.number >= good
        return self.scenario.quality if bad else Quality.GOOD

    def settings(self, machine: Machine) -> Settings:
        """What the machine's update.conf says."""
        strategies = (self.scenario.settings.strategy, *self.scenario.other_strategies)
        strategy = strategies[machine.number % len(strategies)]
        return replace(self.scenario.settings, strategy=strategy, access=Access(group=machine.group))

    def faults_now(self) -> Faults:
        """What goes wrong now."""
        return self.faults if self.agenda.now_s < self.faults.until_s else _NO_FAULTS

    def fails(self, probability: float) -> bool:
        """Whether something goes wrong that does with this probability, as long as things go wrong."""
        return self.agenda.now_s < self.faults.until_s and self.agenda.happens(probability)

    def somebody_sits_at(self, machine: Machine) -> bool:
        return machine.name in self._people

    def committed(self, machine: Machine) -> None:
        """A machine has proved its version."""
        if machine.version == NEW:
            self._committed_s.setdefault(machine.name, self.agenda.now_s - PUBLISHED_S)

    # What happens

    def _begin(self) -> None:
        self.service.publish(NEW)
        self._look()
        rates: list[tuple[float, Act]] = [
            (self.faults.power_cuts * len(self.machines), self._power_cut),
            (self.faults.clock_jumps * len(self.machines), self._clock_jump),
            (self.faults.etcd_away, self._etcd_outage),
            (self.faults.service_away, self._service_outage),
        ]
        for a_day, act in rates:
            if a_day:
                self.agenda.every(DAY_S / a_day, partial(self._unless_calm, act))
        if self.scenario.operator_s is not None:
            self._operate(self.scenario.operator_s)

    def _unless_calm(self, act: Act) -> None:
        if self.fails(1.0):
            act()

    def _power_cut(self) -> None:
        machine = self.agenda.random.choice(self.machines)
        if machine.is_up:
            machine.power_off(returns=not self.fails(self.faults.never_back))

    def _clock_jump(self) -> None:
        machine = self.agenda.random.choice(self.machines)
        machine.clock_off_s = self.agenda.random.choice((0.0, self.agenda.between(-2 * DAY_S, 2 * DAY_S)))

    def _etcd_outage(self) -> None:
        self.etcd.outage = True
        self.etcd.members_changed()
        self.agenda.after(self.agenda.between(*_OUTAGE_S), self._etcd_back)

    def _etcd_back(self) -> None:
        self.etcd.outage = False
        self.etcd.members_changed()

    def _service_outage(self) -> None:
        self.service.outage = True
        self.agenda.after(self.agenda.between(*_OUTAGE_S), lambda: setattr(self.service, "outage", False))

    def _operate(self, every_s: float) -> None:
        """A person looks after what has waited for long enough."""
        now_s = self.agenda.now_s
        for machine in self.machines:
            if machine.is_dead and now_s - machine.went_at_s >= every_s:
                machine.power_on()
            elif machine.is_up and machine.idle_units and machine.up_s >= every_s:
                machine.was_mended = True
        if self.scenario.quality in (Quality.GOOD, Quality.LAME) or self.scenario.bad_part < 1:
            self.service.retry(NEW)
        self.agenda.after(every_s, lambda: self._operate(every_s))

    def _changed(self) -> None:
        for machine in self.machines:
            if machine.is_up:
                machine.locksmith.others_changed()

    def _look(self) -> None:
        """Whether all is done."""
        waiting = any(not self._is_done(machine) for machine in self.machines)
        calm = self.faults.until_s in (float("inf"),) or self.agenda.now_s >= self.faults.until_s
        held = any(not self.machine(holder).is_dead for holder in self.etcd.locks.holders())
        self._finished = not waiting and calm and not held
        self.agenda.after(_LOOKS_S, self._look)

    @staticmethod
    def _is_done(machine: Machine) -> bool:
        """It runs the new version, or has found out that it cannot, or is down for good."""
        if machine.is_dead and machine.world.scenario.operator_s is None:
            return True
        fell_back = any(failure.version == NEW for failure in machine.records.failures)
        return not machine.lacks and (machine.version == NEW or fell_back)

    def _wall_s(self) -> float:
        return EPOCH.timestamp() + self.agenda.now_s

    def _outcome(self) -> Outcome:
        committed_s = tuple(sorted(self._committed_s.values()))
        return Outcome(
            finished_s=(committed_s[-1] if committed_s else 0.0) if self._finished else None,
            committed_s=committed_s,
            tried=sum(NEW in machine.tried for machine in self.machines),
            fell_back={
                machine.name: machine.records.failures[-1].reason
                for machine in self.machines
                if machine.records.failures
            },
            dead=sum(machine.is_dead for machine in self.machines),
            waiting={
                machine.name: machine.reason
                for machine in self.machines
                if machine.is_up and machine.version != NEW
            },
            most_away=self.promises.most_away,
            lock_s=statistics.median(self.promises.held_s or [0.0]),
        )


def simulate(scenario: Scenario) -> Outcome:
    """What becomes of a scenario. Raises `AssertionError` if a promise is broken."""
    return World(scenario).run()

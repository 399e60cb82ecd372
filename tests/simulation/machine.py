"""A machine: its power, its two slots, its boot loader, and whether what runs on it is well.

What decides is the real thing: the slots' state machine, the boot loader's model, the health gate's verdict.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from tests.simulation.agenda import Act
from tests.simulation.engine import Disk, Engine
from tests.simulation.locksmith import Locksmith
from tests.simulation.scenario import OLD, Quality

from argosy.formats.bootenv import BootEnvironment, choose
from argosy.formats.gpt import UsrAttributes
from argosy.node.health.model import Decision, Result
from argosy.node.health.verdict import judge
from argosy.node.slots import machine as slots
from argosy.node.slots.model import Plan, Records, SlotBits, SlotsState
from argosy.node.updateconf import Settings

if TYPE_CHECKING:
    from tests.simulation.world import World

EPOCH = datetime(2026, 11, 23, tzinfo=UTC)  # a Monday

_HANGS_S = (30.0, 120.0)
_STARTS_S = (25.0, 60.0)
_STOPS_S = (3.0, 25.0)
_GETS_READY_S = (10.0, 40.0)
_FLEET_TTL_S = 30.0
_PROBES_EVERY_S = 15.0
_HEALTH_DEADLINE_S = Settings().health_deadline_s


class Machine:
    """`group` is that of its lock."""

    def __init__(self, world: World, number: int, *, is_member: bool, group: str) -> None:
        self.world = world
        self.name = f"m{number:04}"
        self.number = number
        self.is_member = is_member
        self.group = group
        # What the disk keeps.
        self.bits = SlotBits(UsrAttributes(priority=1, successful=True), UsrAttributes())
        self.environment: BootEnvironment | None = BootEnvironment()
        self.records = Records({"a": OLD})
        self.contents = {"a": OLD}
        self.disk = Disk()
        # What a boot has.
        self.boot = 0
        self.is_up = self.is_dead = self.going_down = self.was_mended = False
        self.went_at_s = 0.0
        self.booted_at_s = 0.0
        self.running = "a"
        self.member_runs = self.registered = False
        self.clock_off_s = 0.0
        self.steps = 0
        self.tried: set[str] = set()
        self.locksmith = Locksmith(self)
        self.engine = Engine(self)

    # Time

    @property
    def boot_id(self) -> str:
        return f"{self.name}-{self.boot}"

    @property
    def up_s(self) -> float:
        return self.world.agenda.now_s - self.booted_at_s

    @property
    def local_time(self) -> datetime:
        """What its clock says, right or wrong."""
        return EPOCH + timedelta(seconds=self.world.agenda.now_s + self.clock_off_s)

    @property
    def wall_s(self) -> int:
        """The same, in seconds since 1970."""
        return int(self.local_time.timestamp())

    def after(self, in_s: float, act: Act) -> None:
        """Have something happen, unless the machine goes off before that."""
        boot = self.boot

        def happen() -> None:
            if self.is_up and self.boot == boot:
                act()

        self.world.agenda.after(in_s, happen)

    # What runs

    @property
    def version(self) -> str:
        return self.contents[self.running]

    @property
    def quality(self) -> Quality:
        return self.world.quality(self, self.version)

    @property
    def state(self) -> SlotsState:
        return SlotsState(self.bits, self.environment, self.running, self.records)

    @property
    def idle_units(self) -> tuple[str, ...]:
        """The units due here that do not run."""
        lame = self.world.scenario.fleet and self.quality is Quality.LAME and not self.was_mended
        return ("hello.service (failed)",) if lame else ()

    @property
    def lacks(self) -> str:
        """What it lacks, as somebody sees it who knows everything; empty if it is up and well."""
        if not self.is_up:
            return "power"
        if self.state.in_trial:
            return "its commit"
        if self.is_member and not (self.member_runs and self.world.etcd.has_quorum()):
            return "its etcd member"
        if self.world.scenario.fleet and not self.registered:
            return "fleet"
        return ", ".join(self.idle_units)

    @property
    def reason(self) -> str:
        """Its answer to: why does it not run the new version?"""
        return self.locksmith.decision.reason if self.engine.wanted else self.engine.reason

    # Power

    def power_on(self) -> None:
        """The boot loader chooses; what does not come up is started again, by a watchdog or a person."""
        agenda = self.world.agenda
        self.is_dead = False
        choice = choose(self.environment or BootEnvironment())
        if choice.trial:
            self.environment = choice.environment
        version = self.contents.get(choice.slot, "")
        self.tried.add(version)
        if not version or self.world.quality(self, version) is Quality.DEAD:
            agenda.after(agenda.between(*_HANGS_S), self._unless_dead(self.power_on))
        else:
            agenda.after(agenda.between(*_STARTS_S), self._unless_dead(partial(self._come_up, choice.slot)))

    def power_off(self, *, returns: bool = True) -> None:
        """The power goes."""
        self.boot += 1  # What was to happen in this boot does not.
        self.is_up = self.going_down = False
        self.went_at_s = self.world.agenda.now_s
        self._member(runs=False)
        self.world.agenda.after(_FLEET_TTL_S, self._unless_up(lambda: self._register(False)))
        if returns:
            self.world.agenda.after(5.0, self._unless_dead(self.power_on))
        else:
            self.is_dead = True

    def reboot(self) -> None:
        """In an orderly way."""
        if self.going_down:
            return
        self.engine.say_goodbye()
        self.going_down = True
        self.after(self.world.agenda.between(*_STOPS_S), self._shut_down)

    def _shut_down(self) -> None:
        self.perform(slots.return_try(self.state))
        self.power_off(returns=not self.world.fails(self.world.faults.never_back))

    def _unless_up(self, act: Act) -> Act:
        """`act`, unless the machine has come up until then."""
        boot = self.boot
        return lambda: act() if self.boot == boot and not self.is_up else None

    def _unless_dead(self, act: Act) -> Act:
        """`act`, unless the machine has come up until then, or was given up."""
        return self._unless_up(lambda: act() if not self.is_dead else None)

    def _come_up(self, slot: str) -> None:
        agenda = self.world.agenda
        self.running, self.is_up = slot, True
        self.booted_at_s = agenda.now_s - agenda.between(5.0, 15.0)
        self.perform(slots.reconcile(self.state, self.version, self.wall_s))
        self.engine = Engine(self)
        self.locksmith = Locksmith(self)
        if self.is_member:
            self.after(agenda.between(*_GETS_READY_S), lambda: self._member(runs=True))
        self.after(agenda.between(*_GETS_READY_S), lambda: self._register(True))
        self.after(agenda.between(5.0, 15.0), self.engine.start)
        self.after(agenda.between(5.0, 15.0), self.locksmith.step)
        if self.state.in_trial:
            self.after(agenda.between(*_GETS_READY_S), self._probe)
        elif slots.next_slot(self.bits) != slot:
            self.after(agenda.between(*_GETS_READY_S), self.reboot)

    def _member(self, *, runs: bool) -> None:
        if self.is_member and self.member_runs != runs:
            self.member_runs = runs
            self.world.etcd.members_changed()

    def _register(self, yes: bool) -> None:
        if self.world.scenario.fleet:
            self.registered = yes
            self.world.etcd.fleet_hears_of(self, yes=yes)

    # The trial

    def perform(self, plan: Plan) -> None:
        """Write what the slots' state machine wants; cuts between its writes are tested with it."""
        self.records, self.bits, self.environment = plan.records, plan.bits, plan.environment

    def _probe(self) -> None:
        verdict = judge(self._results(), self.up_s, _HEALTH_DEADLINE_S)
        if verdict.decision is Decision.WAIT:
            left_s = _HEALTH_DEADLINE_S - self.up_s
            self.after(max(1.0, min(_PROBES_EVERY_S, left_s)), self._probe)
        elif verdict.decision is Decision.COMMIT:
            self.perform(slots.commit(self.state))
            self.world.committed(self)
            self.engine.wake()
        else:
            self.perform(slots.reject(self.state, verdict.reason, self.wall_s))
            self.reboot()

    def _results(self) -> list[Result]:
        has_etcd = not self.is_member or (self.member_runs and self.world.etcd.has_quorum())
        return [
            Result("units", self.quality is not Quality.UNHEALTHY, "failed: example.service"),
            Result("etcd", has_etcd, "the member is unhealthy"),
            Result("update-service", not self.world.service.outage, "it does not answer"),
        ]

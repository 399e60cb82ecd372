"""A machine in miniature: two slots with contents, the bits in two copies, the boot loader, and power cuts.

The boot loader is `formats.bootenv`'s model of os/grub/grub.cfg; what decides is the real state machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from argosy.formats.bootenv import BootEnvironment, choose, could_not_load
from argosy.formats.gpt import UsrAttributes
from argosy.node.slots import machine
from argosy.node.slots.model import TRIES, Plan, Records, SlotBits, SlotsError, SlotsState, other

GOOD, DEAD, LATE, MISSING, PARTIAL = "good", "dead", "late", "missing", "partial"
"""What a slot holds: a version that works; that never comes up; that comes up and then crashes; that lacks a
kernel; or a part of one."""


class PowerCutError(Exception):
    """The power went before the next write."""


@dataclass
class Power:
    """`cut_after`: after how many single writes it goes; `torn`: whether it tears the next one."""

    writes: int = 0
    cut_after: int | None = None
    torn: bool = False

    def goes_after(self, writes: int, *, torn: bool) -> None:
        self.cut_after, self.torn = self.writes + writes, torn

    def tick(self, tear: Callable[[], None] = lambda: None) -> None:
        """A write is about to happen. Raises `PowerCutError` if it does not."""
        if self.cut_after == self.writes:
            self.cut_after = None
            if self.torn:
                tear()
            raise PowerCutError
        self.writes += 1


class Store(Protocol):
    """Where bits, environment and records are kept, and the changes to them. The world sets `running`."""

    power: Power
    running: str

    def observe(self) -> SlotsState: ...
    def environment(self) -> BootEnvironment | None: ...
    def loader_saves(self, environment: BootEnvironment) -> None: ...
    def reconcile(self) -> None: ...
    def invalidate(self) -> None: ...
    def arm(self) -> None: ...
    def commit(self) -> None: ...
    def reject(self) -> None: ...
    def return_try(self) -> None: ...
    def prioritize(self, slot: str) -> None: ...


class MemoryStore:
    """In memory: two copies of the bits, of which a torn write makes one unreadable (None)."""

    def __init__(self) -> None:
        self.power = Power()
        self.running = ""
        fresh = SlotBits(UsrAttributes(priority=1, successful=True), UsrAttributes())
        self.copies: dict[str, SlotBits | None] = {"primary": fresh, "backup": fresh}
        self.block: BootEnvironment | None = BootEnvironment()
        self.records = Records()

    def observe(self) -> SlotsState:
        bits = self.copies["primary"] or self.copies["backup"]
        assert bits is not None, "both copies of the table are lost"
        return SlotsState(bits, self.block, self.running, self.records)

    def environment(self) -> BootEnvironment | None:
        return self.block

    def loader_saves(self, environment: BootEnvironment) -> None:
        self.power.tick()
        self.block = environment

    def reconcile(self) -> None:
        self._perform(machine.reconcile(self.observe(), f"v-{self.running}", 0))

    def invalidate(self) -> None:
        self._perform(machine.invalidate(self.observe()))

    def arm(self) -> None:
        self._perform(machine.arm(self.observe(), f"v-{other(self.running)}"))

    def commit(self) -> None:
        self._perform(machine.commit(self.observe()))

    def reject(self) -> None:
        self._perform(machine.reject(self.observe(), "a probe failed", 0))

    def return_try(self) -> None:
        self._perform(machine.return_try(self.observe()))

    def prioritize(self, slot: str) -> None:
        self._perform(machine.prioritize(self.observe(), slot))

    def _perform(self, plan: Plan) -> None:
        """In the order of the real edge."""
        if plan.records != self.records:
            self.power.tick()
            self.records = plan.records
        if plan.bits != self.observe().bits or self.copies["primary"] != self.copies["backup"]:
            order = ("backup", "primary") if self.copies["primary"] else ("primary", "backup")
            for copy in order:
                self.power.tick(lambda copy=copy: self.copies.update({copy: None}))
                self.copies[copy] = plan.bits
        if plan.environment != self.block:
            self.power.tick()
            self.block = plan.environment


@dataclass
class World:
    """The machine.

    `anchor` is the good slot that an update must not cost; `tries` and `returns` count the tries and the
    orderly reboots since the last update; what is in `judged` must not be chosen any more.
    """

    store: Store = field(default_factory=MemoryStore)
    contents: dict[str, str] = field(default_factory=lambda: {"a": GOOD, "b": PARTIAL})
    anchor: str = "a"
    tries: int = 0
    returns: int = 0
    judged: set[str] = field(default_factory=set)

    @property
    def power(self) -> Power:
        return self.store.power

    @property
    def running(self) -> str:
        return self.store.running

    @property
    def bits(self) -> SlotBits:
        return self.store.observe().bits

    def boot(self) -> None:
        """From power on until a system runs and has reconciled. At most what the queue and one more allow."""
        for _ in range(12):
            try:
                if self._boot_once():
                    return
            except PowerCutError:
                continue
        raise AssertionError(f"the machine does not come up: {self}")

    def _boot_once(self) -> bool:
        self.store.running = ""
        choice = choose(self.store.environment() or BootEnvironment())
        slot = choice.slot
        if choice.trial:
            self.store.loader_saves(choice.environment)
        self.tries += choice.trial
        assert slot not in self.judged, f"slot {slot} was judged, and chosen again"
        assert self.tries <= TRIES + self.returns, f"slot {slot} used up its tries, and was chosen again"
        if self.contents[slot] == MISSING and choice.trial:
            self.store.loader_saves(could_not_load(choice.environment, slot, "kernel"))
            slot = choice.environment.saved
        if self.contents[slot] in (DEAD, MISSING, PARTIAL):
            return False
        self.store.running = slot
        self.store.reconcile()
        self._remember_judgements()
        return True

    # What happens to a machine that runs

    def update(self, content: str) -> None:
        """The update engine: out of use, written in two halves, armed."""
        slot, running_is_good = other(self.running), self.bits.of(self.running).successful
        if running_is_good:
            self.anchor = self.running
        self.store.invalidate()
        self.power.tick()
        self.contents[slot] = PARTIAL
        self.power.tick()
        self.contents[slot] = content
        self.judged.discard(slot)
        self.tries = self.returns = 0
        self.store.arm()

    def commit(self) -> None:
        """The health probes pass only for a version that works."""
        if self.contents[self.running] != GOOD:
            raise SlotsError("the probes do not pass")
        self.store.commit()
        self.anchor = self.running

    def reject(self) -> None:
        self.store.reject()
        self.judged.add(self.running)

    def reboot(self) -> None:
        """In an orderly way."""
        self.returns += 1
        self.store.return_try()
        self.boot()

    def go_back(self) -> None:
        self.store.prioritize(other(self.running))

    def _remember_judgements(self) -> None:
        self.judged |= {slot for slot in "ab" if self.bits.of(slot).priority == 0}


def attempt(world: World, what: str, content: str) -> bool:
    """One thing that may happen to a machine that runs. Whether it came to its end.

    What the state machine refuses does not happen; what the power cuts short ends in the next boot.
    """
    actions: dict[str, Callable[[], None]] = {
        "update": lambda: world.update(content),
        "commit": world.commit,
        "reject": world.reject,
        "reboot": world.reboot,
        "go back": world.go_back,
        "crash": world.boot,
    }
    try:
        actions[what]()
    except SlotsError:
        return False
    except PowerCutError:
        world.boot()
        return False
    return True


def settle(world: World) -> None:
    """Whatever crashes, crashes again, until what runs stays up."""
    for _ in range(12):
        world.boot()
        if world.contents[world.running] == GOOD:
            return
    raise AssertionError(f"the machine does not come to rest: {world}")

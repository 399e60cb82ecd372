"""The rule and the planner: tables, and a simulated cluster whose machines all plan for themselves."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as changed

from argosy.formats.rebootlock import Holding, Semaphore
from argosy.formats.rebootwhy import State
from argosy.node.locksmith.memory import after_look
from argosy.node.locksmith.model import (
    Access,
    Back,
    Cluster,
    Drain,
    Lock,
    Locks,
    Member,
    Memory,
    Observed,
    Reboot,
    Settings,
    Strategy,
    Unlock,
    Wait,
    Warn,
)
from argosy.node.locksmith.plan import AWAY_GRACE_S, not_back, plan
from argosy.node.locksmith.rule import gone, why_not
from argosy.node.locksmith.semaphore import with_holder, with_max, without_holder
from argosy.node.locksmith.windows import open_until, parse_windows

NOW = datetime(2026, 11, 22, 4, 30, tzinfo=UTC)
ME, OTHER = "m0", "m1"


def members(count: int, *, unhealthy: int = 0) -> tuple[Member, ...]:
    """m0, m1...; the last ones are not healthy."""
    return tuple(Member(f"m{n}", f"m{n}", n < count - unhealthy) for n in range(count))


def three(**changes: object) -> Cluster:
    return replace(Cluster(members(3), own=ME), **changes)


def held(*holders: str, most: int = 1, **known: Holding) -> Semaphore:
    semaphore = with_max(Semaphore(), most)
    for holder in holders:
        semaphore = with_holder(semaphore, holder, known.get(holder, Holding()))
    return semaphore


MINE = Holding(since_s=int(NOW.timestamp()) - 10, boot="now", member=ME, daemon=True)
BEFORE = changed(MINE, boot="before")


def seen(**changes: object) -> Observed:
    """A machine of three that wants to reboot, and may."""
    observed = Observed(
        now=NOW,
        up_s=3600,
        machine_id=ME,
        boot_id="now",
        settings=Settings(Strategy.ETCD_LOCK),
        wanted="version 2 is installed",
        locks=Locks({"": Semaphore()}),
        cluster=three(),
        member="active",
    )
    return replace(observed, **changes)  # type: ignore[arg-type]


# The rule


@pytest.mark.parametrize(
    ("count", "unhealthy", "holders", "allowed"),
    [
        (1, 0, [], True),
        (2, 0, [], False),  # none can be spared
        (3, 0, [], True),
        (3, 0, ["m1"], False),
        (3, 1, [], False),
        (3, 1, ["m2"], False),  # the one that is down holds the lock
        (4, 0, [], True),
        (4, 0, ["m1"], False),
        (5, 0, ["m1"], True),
        (5, 1, ["m1"], False),
        (5, 1, ["m4"], True),
        (5, 0, ["m1", "m2"], False),
        (7, 0, ["m1", "m2"], True),
        (7, 1, ["m1", "m2"], False),
    ],
)
def test_etcd_keeps_its_quorum(count: int, unhealthy: int, holders: list[str], allowed: bool) -> None:
    cluster = Cluster(members(count, unhealthy=unhealthy), own=ME)
    assert (why_not(cluster, dict.fromkeys(holders, Holding()), ME) == "") == allowed


@given(st.integers(3, 9), st.integers(0, 9), st.sets(st.integers(1, 8)))
def test_whoever_goes_down_leaves_a_quorum_and_more_than_half(
    count: int, sick: int, others: set[int]
) -> None:
    cluster = Cluster(members(count, unhealthy=min(sick, count - 1)), own=ME)
    holders = {f"m{n}": Holding(member=f"m{n}") for n in others if n < count}
    down = {member.id for member in cluster.members if not member.healthy} | holders.keys() | {ME}
    if not why_not(cluster, holders, ME):
        assert count - len(down) >= count // 2 + 1
        assert 2 * len(down) < count


def test_a_machine_without_a_member_costs_no_quorum_but_counts() -> None:
    workers = frozenset(f"w{n}" for n in range(7))
    cluster = Cluster(members(3), own="", machines=workers)
    assert why_not(cluster, {}, "w0") == ""
    assert why_not(cluster, {"w1": Holding(), "w2": Holding()}, "w0") == ""
    assert "half or more" in why_not(cluster, dict.fromkeys(["w1", "w2", "w3", "w4"], Holding()), "w0")


def test_a_learner_has_no_vote() -> None:
    learner = Member("l", "l", healthy=True, votes=False)
    assert "needs 2" in why_not(Cluster((*members(2), learner), own=ME), {}, ME)


def test_a_machine_that_would_be_the_only_one_down_may_always_go() -> None:
    assert why_not(Cluster(machines=frozenset({"w0", "w1"})), {}, "w0") == ""


def test_gone() -> None:
    cluster = replace(three(), members=members(3, unhealthy=1), machines=frozenset({"m0", "m1", "w"}))
    assert gone(cluster, "m1", Holding(member="m1")) == ""
    assert gone(cluster, "m2", Holding()) == "its etcd member does not answer"
    assert gone(cluster, "x", Holding(member="ff")) == "its etcd member was removed"
    assert gone(cluster, "x", Holding()) == "fleet does not hear of it"
    assert gone(cluster, "w", Holding()) == ""
    assert gone(Cluster(), "x", Holding(member="ff")) == ""


# The planner: one table of what it does and says


WINDOW = parse_windows("04:00", "1h")
CLOSED = parse_windows("05:00", "1h")
READY = Memory(drained=True, drain_began_s=0)
WELL = Memory(well_since_s=3590)
LOCKED = Locks({"": held(ME, m0=MINE)})
USERS = {"locks": LOCKED, "users": ("core",)}


@pytest.mark.parametrize(
    ("changes", "action", "words"),
    [
        ({"going_down": True}, Wait(), "going down"),
        ({"settings": None, "settings_problem": "update.conf:1: no"}, Wait(), "update.conf:1: no"),
        ({"wanted": ""}, Wait(), "no reboot is wanted"),
        ({}, Lock(""), "but the lock"),
        ({"settings": Settings(Strategy.ETCD_LOCK, Access(group="g"))}, Lock("g"), "but the lock"),
        ({"settings": Settings(Strategy.OFF)}, Wait(), "REBOOT_STRATEGY=off"),
        ({"settings": Settings(Strategy.REBOOT), "locks": None}, Drain(), "units move"),
        ({"settings": Settings(Strategy.REBOOT), "locks": None, "memory": READY}, Reboot(), "version 2"),
        ({"locks": Locks({"": held(OTHER)})}, Wait(), "the lock is held by m1"),
        ({"locks": Locks({"": held(OTHER, most=9)})}, Wait(), "while m1 is down or about to be"),
        ({"locks": Locks({"other": held(OTHER)})}, Wait(), "cannot be spared"),
        ({"locks": Locks({"": with_max(Semaphore(), 0)})}, Wait(), "max is 0"),
        ({"locks": None, "etcd_problem": "gone"}, Wait(), "no reboot without the lock"),
        # Best-effort
        ({"settings": Settings(), "locks": None, "member": "active"}, Wait(), "runs a member"),
        ({"settings": Settings(), "locks": None, "member": "inactive"}, Wait(AWAY_GRACE_S), "a little"),
        (
            {
                "settings": Settings(),
                "locks": None,
                "member": "inactive",
                "memory": replace(READY, away_since_s=3600 - AWAY_GRACE_S),
            },
            Reboot(),
            "version 2",
        ),
        ({"settings": Settings()}, Lock(""), "but the lock"),
        # Windows
        ({"settings": Settings(Strategy.ETCD_LOCK, windows=WINDOW)}, Lock(""), "but the lock"),
        ({"settings": Settings(Strategy.ETCD_LOCK, windows=CLOSED)}, Wait(1800.0), "2026-11-22 at 05:00 UTC"),
        (
            {"settings": Settings(Strategy.ETCD_LOCK, windows=CLOSED), "locks": LOCKED, "memory": READY},
            Unlock("", ME),
            "the lock is not needed: the next reboot window",
        ),
        # With the lock
        ({"locks": LOCKED}, Drain(), "units move"),
        ({"locks": LOCKED, "memory": Memory(drain_began_s=3299)}, Drain(last=True), "units move"),
        ({"locks": LOCKED, "memory": READY}, Reboot(), "version 2"),
        (
            {"locks": LOCKED, "memory": READY, "cluster": three(members=members(3, unhealthy=1))},
            Unlock("", ME),
            "m2",
        ),
        ({"locks": LOCKED, "wanted": ""}, Unlock("", ME), "no reboot is wanted"),
        (
            {"locks": LOCKED, "settings": Settings(Strategy.ETCD_LOCK, Access(group="g"))},
            Unlock("", ME),
            "group",
        ),
        ({"locks": LOCKED, "memory": replace(READY, reboot_sent_s=3500)}, Wait(), "was asked for"),
        ({"locks": LOCKED, "memory": replace(READY, reboot_sent_s=100)}, Reboot(), "version 2"),
        # Users
        ({**USERS, "memory": READY}, Warn(300), "core"),
        ({**USERS, "memory": replace(READY, warned_s=3400)}, Wait(100.0), "2 min"),
        ({**USERS, "memory": replace(READY, warned_s=3300)}, Reboot(), "version 2"),
        ({**USERS, "memory": READY, "postponed_until_s": 3700.0}, Unlock("", ME), "postponed"),
        ({"postponed_until_s": 3700.0}, Wait(100.0), "postponed the reboot by 2 min"),
        ({"postponed_until_s": 3599.0}, Lock(""), "but the lock"),
        # A lock from before
        ({"locks": Locks({"": held(ME, m0=BEFORE)})}, Wait(10.0), "a moment longer"),
        ({"locks": Locks({"": held(ME, m0=BEFORE)}), "memory": WELL}, Unlock("", ME), "back and healthy"),
        ({"locks": Locks({"": held(ME)}), "wanted": "", "memory": WELL}, Unlock("", ME), "back and healthy"),
        (
            {"locks": Locks({"old": held(ME, m0=BEFORE)}), "wanted": "", "memory": WELL},
            Unlock("old", ME),
            "back and healthy",
        ),
        (
            {"locks": Locks({"": held(ME, m0=BEFORE)}), "back": Back(idle=("hello.service (failed)",))},
            Wait(5),
            "hello.service (failed)",
        ),
        (
            {
                "locks": Locks({"": held(ME, m0=BEFORE)}),
                "settings": Settings(Strategy.OFF),
                "memory": WELL,
            },
            Unlock("", ME),
            "back and healthy",
        ),
        # What a person locked in this boot stays
        (
            {"locks": Locks({"": held(ME, m0=changed(MINE, daemon=False))}), "wanted": ""},
            Wait(),
            "no reboot is wanted",
        ),
        (
            {
                "locks": Locks({"": held(ME, m0=changed(MINE, daemon=False))}),
                "cluster": three(members=members(3, unhealthy=1)),
            },
            Wait(),
            "cannot be spared",
        ),
    ],
)
def test_what_it_does_and_says(changes: dict[str, object], action: object, words: str) -> None:
    decision = plan(seen(**changes))
    assert decision.action == action
    assert words in decision.reason


def test_a_delay_between_machines() -> None:
    settings = Settings(Strategy.ETCD_LOCK, delay_s=600)
    for released_ago_s, action in ((60, Wait(540)), (600, Lock("")), (-3600, Lock(""))):
        semaphore = without_holder(held(OTHER), OTHER, int(NOW.timestamp()) - released_ago_s)
        assert plan(seen(settings=settings, locks=Locks({"": semaphore}))).action == action


def test_of_many_holders_a_few_are_named_and_first_who_is_gone() -> None:
    since_s = int(NOW.timestamp()) - 100
    known = {f"w{n}": Holding(since_s + n) for n in range(6)}
    machines = frozenset({ME, "w0", "w1", "w2", "w3", "w5"})
    locks = Locks({"": held(*known, most=6, **known)})
    decision = plan(seen(locks=locks, cluster=three(own="", machines=machines)))
    assert decision.reason == (
        "the lock is held by w4 for 96 s, and fleet does not hear of it;"
        " w0 for 2 min; w1 for 99 s; and 3 more"
    )


def test_a_stale_lock_is_freed_only_by_policy_and_only_if_its_machine_is_gone() -> None:
    old = Holding(since_s=int(NOW.timestamp()) - 7200, member="ff")
    stale = Locks({"": held("x", x=old)})
    assert "removed" in plan(seen(locks=stale)).reason
    assert "unlock" in plan(seen(locks=stale)).hint
    policy = Settings(Strategy.ETCD_LOCK, stale_after_s=3600)
    long = Memory(gone_since_s={"x": 0.0, "w": 0.0})
    assert plan(seen(locks=stale, settings=policy, memory=long)).action == Unlock("", "x")
    alive = Locks({"": held("w", w=Holding(since_s=old.since_s))})
    cluster = three(machines=frozenset({"w", ME}))
    found = plan(seen(locks=alive, settings=policy, memory=long, cluster=cluster))
    assert isinstance(found.action, Wait)


def test_how_long_a_machine_is_gone_is_what_was_seen_here_not_what_clocks_say() -> None:
    """Its lock may be old, or another machine's clock wrong, while it is away for a minute."""
    policy = Settings(Strategy.ETCD_LOCK, stale_after_s=3600)
    old = Holding(since_s=int(NOW.timestamp()) - 7200)
    stale = Locks({"": held("x", x=old)})
    away, there = three(machines=frozenset({ME})), three(machines=frozenset({ME, "x"}))
    look = seen(locks=stale, settings=policy, cluster=away, up_s=100.0)
    assert isinstance(plan(look).action, Wait)
    look = replace(look, up_s=3800.0, memory=after_look(look))
    assert plan(look).action == Unlock("", "x")
    # Whoever was seen meanwhile, or may have been there while etcd was away, is gone from then on.
    for meanwhile in (replace(look, cluster=there), replace(look, locks=None)):
        assert after_look(meanwhile).gone_since_s == {}
    assert after_look(replace(look, settings=Settings())).gone_since_s == {}


def test_since_when_etcd_is_away_and_the_machine_well() -> None:
    away = after_look(seen(locks=None, up_s=0.0))
    assert away.away_since_s == 0.0
    assert after_look(seen(locks=None, up_s=50.0, memory=away)).away_since_s == 0.0
    assert after_look(seen(memory=away)).away_since_s is None
    back = Locks({"": held(ME, m0=BEFORE)})
    well = after_look(seen(locks=back, up_s=40.0))
    assert well.well_since_s == 40.0
    assert after_look(seen(locks=back, memory=well)).well_since_s == 40.0
    assert after_look(seen(locks=back, memory=well, back=Back(in_trial=True))).well_since_s is None
    assert after_look(seen(memory=well)).well_since_s is None


@pytest.mark.parametrize(
    ("back", "healthy", "words"),
    [
        (Back(), True, ""),
        (Back(member="active"), True, ""),
        (Back(member="active"), False, "its etcd member is not healthy"),
        (Back(member="failed"), False, "its etcd member is not healthy"),
        (Back(in_trial=True), True, "on trial"),
        (Back(slot_problem="no table"), True, "no table"),
        (Back(fleet="unregistered"), True, "fleet has not registered it"),
        (Back(fleet="registered"), True, ""),
        (Back(fleet="registered", idle=("a.service (failed)",)), True, "a.service (failed)"),
    ],
)
def test_when_a_machine_is_back(back: Back, healthy: bool, words: str) -> None:
    missing = not_back(back, own_member_healthy=healthy)
    assert words in missing
    assert bool(words) == bool(missing)


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),
    st.sampled_from(["04:00", "Sun 23:30", "Mon 00:00, Thu 12:00"]),
    st.sampled_from(["10m", "1h", "30h"]),
    st.sampled_from(list(Strategy)),
    st.booleans(),
    st.builds(
        Memory,
        drained=st.booleans(),
        drain_began_s=st.none() | st.floats(0, 3600),
        warned_s=st.none() | st.floats(0, 3600),
        reboot_sent_s=st.none() | st.floats(0, 3600),
        away_since_s=st.none() | st.floats(0, 3600),
    ),
)
def test_no_reboot_outside_a_window_wherever_the_clock_jumps(
    now: datetime, starts: str, length: str, strategy: Strategy, locked: bool, memory: Memory
) -> None:
    """Whatever was prepared before the clock jumped."""
    windows = parse_windows(starts, length)
    locks = LOCKED if locked else None
    decision = plan(
        seen(
            now=now,
            settings=Settings(strategy, windows=windows),
            locks=locks and Locks({"": held(ME, m0=changed(MINE, since_s=int(now.timestamp())))}),
            memory=memory,
        )
    )
    if isinstance(decision.action, Reboot | Lock | Drain | Warn):
        assert open_until(windows, now) is not None


# A cluster


@dataclass
class Sim:
    """Machines that plan for themselves; one that reboots is down for a while, and some do not come back."""

    count: int
    most: int
    down_s: int
    broken: frozenset[int] = frozenset()
    now_s: int = int(NOW.timestamp())
    locks: Locks = field(default_factory=Locks)
    up_at_s: dict[int, int] = field(default_factory=dict)
    boots: dict[int, int] = field(default_factory=dict)
    memories: dict[int, Memory] = field(default_factory=dict)
    most_down: int = 0

    def __post_init__(self) -> None:
        self.locks = Locks({"": with_max(Semaphore(), self.most)})

    def is_up(self, number: int) -> bool:
        return self.up_at_s.get(number, 0) <= self.now_s

    def observe(self, number: int) -> Observed:
        machines = [Member(f"m{n}", f"m{n}", self.is_up(n)) for n in range(self.count)]
        own = f"m{number}"
        boot = self.boots.get(number, 0)
        return Observed(
            now=datetime.fromtimestamp(self.now_s, UTC),
            up_s=float(self.now_s - self.up_at_s.get(number, 0)),
            machine_id=own,
            boot_id=f"boot-{boot}",
            settings=Settings(Strategy.ETCD_LOCK),
            wanted="" if boot else "version 2 is installed",
            locks=self.locks,
            cluster=Cluster(tuple(machines), own),
            member="active",
            memory=self.memories.get(number, Memory()),
        )

    def step(self, number: int) -> None:
        """Like the daemon's: observe, plan, perform; what it remembers may get lost at any time."""
        observed = self.observe(number)
        decision = plan(observed)
        well_s = observed.memory.well_since_s or observed.up_s or None
        memory = replace(observed.memory if decision.under_way else Memory(), well_since_s=well_s)
        match decision.action:
            case Lock(group):
                holding = Holding(self.now_s, observed.boot_id, observed.machine_id, daemon=True)
                semaphore = with_holder(self.locks.of(group), observed.machine_id, holding)
                self.locks = Locks({group: semaphore})
            case Unlock(group, holder):
                semaphore = without_holder(self.locks.of(group), holder, self.now_s)
                self.locks = Locks({group: semaphore})
            case Drain():
                memory = replace(memory, drained=True, drain_began_s=observed.up_s)
            case Reboot():
                self.boots[number] = self.boots.get(number, 0) + 1
                away_s = 10**9 if number in self.broken else self.down_s
                self.up_at_s[number] = self.now_s + away_s
                memory = Memory()
        self.memories[number] = memory
        down = sum(not self.is_up(n) for n in range(self.count))
        self.most_down = max(self.most_down, down)
        assert down <= (self.count - 1) // 2 or self.count == 1, "etcd lost its quorum"
        assert down <= self.most


@given(
    st.sampled_from([1, 3, 5, 7]),
    st.integers(1, 5),
    st.integers(30, 200),
    st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=30),
    st.randoms(use_true_random=False),
)
def test_all_machines_reboot_and_never_too_many_at_once(
    count: int, most: int, down_s: int, kills: list[tuple[int, bool]], random: object
) -> None:
    """In any order of steps, and with a locksmithd killed at any of them: all it remembers may be lost."""
    sim = Sim(count, most, down_s)
    killed = dict(enumerate(kills))
    for round_number in range(count * (down_s // 10 + 12) * 2):
        order = list(range(count))
        random.shuffle(order)  # type: ignore[attr-defined]
        for number in order:
            if sim.is_up(number):
                sim.step(number)
        victim = killed.get(round_number)
        if victim is not None:
            sim.memories.pop(victim[0], None)
        sim.now_s += 10
    assert [sim.boots.get(number) for number in range(count)] == [1] * count
    assert sim.locks.of("").semaphore == most


def test_a_machine_that_does_not_come_back_stops_the_others() -> None:
    sim = Sim(3, 3, 60, broken=frozenset({0}))
    for _ in range(100):
        for number in range(3):
            if sim.is_up(number):
                sim.step(number)
        sim.now_s += 10
    assert sim.boots == {0: 1}
    assert "m0 is down or about to be" in plan(sim.observe(1)).reason


def test_the_state_file_has_the_originals_words() -> None:
    states = [
        plan(seen(settings=Settings(Strategy.OFF))).state,
        plan(seen(wanted="")).state,
        plan(seen()).state,
        plan(seen(locks=LOCKED, memory=READY)).state,
    ]
    assert states == ["disabled", "running", "reboot-planned", "rebooting"]
    assert State.STARTING == "starting"
    assert plan(seen(now=NOW + timedelta(days=1))).state == "reboot-planned"

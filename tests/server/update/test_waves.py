"""Waves: how many machines may take a version, in tables, and over every order of what machines do."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.server.update.test_policy import APP, ME, NOW_S, activity, ask, channel, grant, group

from argosy.formats.shares import amount_of
from argosy.formats.updateapi import Policy, State, Wave
from argosy.server.update.catalogue import Application
from argosy.server.update.model import Activity, Asker, Decision, Grant, Group
from argosy.server.update.policy import decide
from argosy.server.update.waves import Count, wave, wave_limit

WAVES = ("1", "10%", "50%")


@pytest.mark.parametrize(
    ("done", "machines", "limit"),
    [
        (0, 100, 1),
        (1, 100, 10),
        (9, 100, 10),
        (10, 100, 50),
        (50, 100, None),
        (0, 0, 1),
        (1, 3, None),
        (1, 4, 2),
    ],
)
def test_the_limit_grows_when_all_of_a_wave_run_it(done: int, machines: int, limit: int | None) -> None:
    assert wave_limit(Policy(waves=WAVES), Count(done, done), machines) == limit


@pytest.mark.parametrize(
    ("counted", "machines", "shown"),
    [
        (Count(0, 0), 100, Wave(1, 4, 1)),
        (Count(5, 1), 100, Wave(2, 4, 10)),
        (Count(60, 50), 100, Wave(4, 4, 100)),
        (Count(100, 100), 100, Wave(4, 4, 100)),
        (Count(1, 0), 3, Wave(1, 2, 1)),
        (Count(2, 1), 3, Wave(2, 2, 3)),
        (Count(0, 0), 1, Wave(1, 1, 1)),
        (Count(0, 0), 0, Wave(1, 1, 0)),
    ],
)
def test_waves_are_shown_as_far_as_the_group_has_them(counted: Count, machines: int, shown: Wave) -> None:
    assert wave(Policy(waves=WAVES), counted, machines) == shown
    assert wave(Policy(), counted, machines) is None


def of(grants: Activity, *, done: int = 0, machines: int = 100) -> Activity:
    return Activity(grants.begun_s, grants.open, {"5.0.0": {f"d{n}" for n in range(done)}}, machines)


@pytest.mark.parametrize(
    ("policy", "going", "reason", "soon"),
    [
        (Policy(waves=WAVES), of(activity(grant("core-01"))), "core-01 takes 5.0.0 first", True),
        (
            Policy(waves=("2", "50%")),
            of(activity(grant("core-01")), done=1),
            "2 machines of the group stable take 5.0.0 before the others; 1 of them run it",
            True,
        ),
        (
            Policy(waves=WAVES),
            of(activity(grant("core-01", ago_s=3601, state=State.REBOOTING)), done=60),
            "core-01 took 5.0.0, was rebooting, and has not been heard of since 2026-11-22 10:59 UTC: "
            "look at it, then let the group retry",
            False,
        ),
        (
            Policy(at_once="2"),
            of(activity(grant("core-01"), grant("core-02", "4.5.0"))),
            "core-01, core-02 update, and not more than 2 may at once",
            True,
        ),
        (
            Policy(at_once="1%"),
            of(activity(grant("core-01"))),
            "core-01 updates, and not more than 1 may at once",
            True,
        ),
    ],
)
def test_who_has_to_wait(policy: Policy, going: Activity, reason: str, soon: bool) -> None:
    decision = ask(ME, Group(APP, "stable", channel(), policy), going)
    assert decision == Decision(State.WAITING, reason, soon=soon)


@pytest.mark.parametrize(
    ("policy", "going"),
    [
        (Policy(waves=WAVES), of(activity(grant("core-01")), done=1)),
        (Policy(waves=WAVES), of(activity(grant("core-01", "4.5.0")))),
        (Policy(at_once="2"), of(activity(grant("core-01")))),
        # Who is late with another version will not come back for this one.
        (Policy(at_once="1"), of(activity(grant("core-01", "4.5.0", ago_s=7200)))),
        (Policy(), of(activity(grant("core-01", ago_s=7200)))),
    ],
)
def test_who_may_begin(policy: Policy, going: Activity) -> None:
    assert ask(ME, Group(APP, "stable", channel(), policy), going).fresh


def test_machines_go_by_their_names() -> None:
    first = Grant(APP, "stable", "3f9a51c2d8e9", "5.0.0", State.OFFERED, NOW_S, NOW_S, host="core-01")
    assert ask(ME, group(waves=WAVES), activity(first)).reason == "core-01 (3f9a51c2) takes 5.0.0 first"


# Over time


@dataclass
class Cluster:
    """Machines of one group that ask, finish, fail, vanish and come back, in any order."""

    policy: Policy
    machines: int
    now_s: float = NOW_S
    known: Application = field(init=False)
    ran_when_begun: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.known = Application(APP)
        its_channel = channel()
        self.known.put_channel(its_channel)
        self.known.put_group(Group(APP, "stable", its_channel, self.policy))

    @property
    def done(self) -> set[str]:
        going = self.known.going.get("stable")
        return going.done.get("5.0.0", set()) if going else set()

    def ask(self, machine: str) -> None:
        own = self.known.grants.get(machine)
        if own:
            self.known.put_grant(Grant(APP, "stable", machine, "5.0.0", own.state, own.granted_s, self.now_s))
        going = self.known.going.get("stable")
        activity = going.activity(self.machines) if going else Activity(machines=self.machines)
        asker = Asker(machine, "5.0.0" if machine in self.done else "4.0.0", grant=own)
        decision = decide(asker, self.known.groups["stable"], activity, self.now_s)
        if decision.fresh:
            late = [g for g in self.known.grants.values() if self.now_s - g.heard_s > 3600]
            assert not late
            self.ran_when_begun.append((len(self.done), len(self.done) + len(self.known.grants)))
            self.known.put_grant(
                Grant(APP, "stable", machine, "5.0.0", State.OFFERED, self.now_s, self.now_s), fresh=True
            )

    def finish(self, machine: str) -> None:
        self.known.end(machine, done=True)

    def fail(self, machine: str) -> None:
        self.known.end(machine)

    def sleep(self, _machine: str) -> None:
        self.now_s += 1801


amounts = st.integers(1, 12).map(str) | st.integers(1, 100).map("{}%".format)


@given(
    st.lists(amounts, max_size=4).map(tuple),
    amounts | st.just(""),
    st.integers(1, 20),
    st.lists(
        st.tuples(st.sampled_from(["ask", "ask", "finish", "fail", "sleep"]), st.integers(0, 19)), max_size=80
    ),
)
def test_a_wave_begins_when_all_of_the_one_before_run_the_version(
    waves: tuple[str, ...], at_once: str, machines: int, story: list[tuple[str, int]]
) -> None:
    """Whatever machines do, and in which order: nobody begins beyond a wave's limit, or beside a late one."""
    if not waves and not at_once:
        at_once = "3"
    cluster = Cluster(Policy(waves=waves, at_once=at_once), machines)
    for verb, number in story:
        getattr(cluster, verb)(f"m{number % machines}")
    for ran, taken in cluster.ran_when_begun:
        for amount in waves:
            limit = amount_of(amount, machines)
            assert ran >= limit or taken < limit
        assert not at_once or taken - ran < amount_of(at_once, machines)
    # And nobody is stuck: when all that have begun finish, everybody has it after some rounds.
    for _ in range(2 * machines):
        for number in range(machines):
            cluster.ask(f"m{number}")
        for machine in list(cluster.known.grants):
            cluster.finish(machine)
    assert len(cluster.done) == machines

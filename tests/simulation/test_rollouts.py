"""Rollouts of a version over simulated clusters, small ones and one of 1,000 machines, while things go wrong.

What an error prints is a whole scenario: `simulate` does it again. ARGOSY_SCENARIOS=2000 tries more of them.
"""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.simulation.scenario import DAY_S, HOUR_S, Faults, Quality, Scenario
from tests.simulation.world import PUBLISHED_S, World, simulate

from argosy.formats.updateapi import CAREFUL, Policy
from argosy.node.locksmith.model import Settings, Strategy
from argosy.node.locksmith.windows import parse_windows

SCENARIOS = int(os.environ.get("ARGOSY_SCENARIOS", "40"))
LOCK = Settings(Strategy.ETCD_LOCK)
NIGHTLY = parse_windows("23:30", "5h")


def some(*values: object) -> st.SearchStrategy[object]:
    return st.sampled_from(values)


def faults(until_s: float) -> st.SearchStrategy[Faults]:
    return st.builds(
        Faults,
        lost=some(0.0, 0.05, 0.2),
        killed=some(0.0, 0.05, 0.3),
        never_back=some(0.0, 0.05, 0.2),
        power_cuts=some(0.0, 1.0, 8.0),
        clock_jumps=some(0.0, 1.0, 6.0),
        etcd_away=some(0.0, 4.0, 20.0),
        service_away=some(0.0, 4.0, 20.0),
        people=some(0.0, 0.2),
        slow_drain=some(0.0, 0.1, 1.0),
        until_s=st.just(until_s),
    )


def locksmiths() -> st.SearchStrategy[Settings]:
    return st.builds(
        replace,
        st.just(LOCK),
        windows=some((), NIGHTLY, parse_windows("Mon 22:00, Tue 13:30, Fri 00:00", "3h, 6h, 8h")),
        delay_s=some(0.0, 300.0),
        drain_s=some(20.0, 300.0),
        stale_after_s=some(None, 2 * HOUR_S),
    )


def policies() -> st.SearchStrategy[Policy]:
    return some(  # type: ignore[return-value]
        Policy(),
        CAREFUL,
        Policy(safe_mode=True),
        Policy(rate_updates=3),
        Policy(at_once="2"),
        Policy(waves=("2", "50%"), at_once="20%", update_timeout_s=1800),
    )


def scenarios() -> st.SearchStrategy[Scenario]:
    """Faults end after some hours, and somebody looks after what they left."""
    return st.builds(
        Scenario,
        machines=some(3, 4, 5, 7, 12, 30),
        seed=st.integers(0, 1 << 32),
        members=some(1, 3, 3, 5, 7),
        locks=some((1,), (1,), (2,), (10,), (1, 2)),
        settings=locksmiths(),
        other_strategies=some((), (), (Strategy.BEST_EFFORT,), (Strategy.REBOOT, Strategy.BEST_EFFORT)),
        policy=policies(),
        fleet=some(True, True, False),
        quality=some(Quality.GOOD, Quality.GOOD, Quality.LAME),
        bad_part=st.just(0.2),
        faults=some(3 * HOUR_S, 12 * HOUR_S).flatmap(faults),  # type: ignore[arg-type]
        operator_s=st.just(HOUR_S / 2),
        days=st.just(30.0),
    ).map(lambda scenario: replace(scenario, members=min(scenario.members, scenario.machines)))


@settings(
    max_examples=SCENARIOS, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
@given(scenarios())
def test_whatever_goes_wrong_promises_hold_and_everybody_gets_there(scenario: Scenario) -> None:
    """Or knows why not: etcd or the service were away for so long that the version was rejected."""
    if scenario.members == 2:
        return  # None can be spared: told by the next test.
    outcome = simulate(scenario)
    assert outcome.finished_s is not None, (outcome, scenario)
    assert outcome.waiting.keys() <= outcome.fell_back.keys()
    cuts = scenario.faults.power_cuts
    assert all(cuts or reason.startswith("not healthy within") for reason in outcome.fell_back.values())


def test_an_etcd_of_two_has_none_to_spare() -> None:
    outcome = simulate(Scenario(5, members=2, days=1))
    assert outcome.waiting.keys() == {"m0000", "m0001"}
    assert all("none can be spared" in reason for reason in outcome.waiting.values())


# 1,000 machines

THOUSAND = Scenario(1000, seed=4, members=5, locks=(40,), settings=LOCK, days=4)
STORM = Faults(
    lost=0.05,
    killed=0.05,
    never_back=0.01,
    power_cuts=0.5,
    clock_jumps=0.2,
    etcd_away=6.0,
    service_away=6.0,
    people=0.02,
    slow_drain=0.02,
    until_s=PUBLISHED_S + 8 * HOUR_S,
)


def test_a_thousand_machines_all_get_there() -> None:
    outcome = simulate(THOUSAND)
    assert outcome.finished_s is not None and outcome.finished_s < 2 * HOUR_S
    assert len(outcome.committed_s) == 1000
    assert 20 <= outcome.most_away <= 40
    assert not outcome.waiting and not outcome.dead and not outcome.fell_back


def test_a_thousand_machines_in_a_storm() -> None:
    windows = parse_windows("22:00, 02:00", "9h, 12h")
    scenario = replace(
        THOUSAND, settings=replace(LOCK, windows=windows), policy=CAREFUL, faults=STORM, operator_s=HOUR_S
    )
    outcome = simulate(scenario)
    assert outcome.finished_s is not None
    assert outcome.most_away <= 40
    assert len(outcome.committed_s) + len(outcome.waiting) >= 1000
    assert len(outcome.waiting) < 20
    assert outcome.waiting.keys() <= outcome.fell_back.keys()


@pytest.mark.parametrize("quality", [Quality.DEAD, Quality.UNHEALTHY])
def test_a_bad_version_is_tried_by_one_of_a_thousand(quality: Quality) -> None:
    outcome = simulate(replace(THOUSAND, policy=CAREFUL, quality=quality, days=0.25))
    assert outcome.tried == len(outcome.fell_back) == 1
    assert len(outcome.waiting) == 1000
    others = [reason for reason in outcome.waiting.values() if "failed on this machine" not in reason]
    assert len(others) == 999
    assert all("2.0.0 was stopped for the group stable" in reason for reason in others)


def test_a_bad_version_is_taken_back_from_those_who_have_installed_it() -> None:
    """Without waves all install it; only those who went down before the first fell back have tried it."""
    outcome = simulate(replace(THOUSAND, locks=(5,), quality=Quality.UNHEALTHY, days=0.25))
    assert outcome.tried == len(outcome.fell_back) == 5
    assert len(outcome.waiting) == 1000


def test_a_version_that_is_bad_on_a_few_of_a_thousand_stops_in_its_wave() -> None:
    """The first wave's machine may be a good one; of the 100 of the second, about five fail."""
    outcome = simulate(replace(THOUSAND, policy=CAREFUL, quality=Quality.UNHEALTHY, bad_part=0.05, days=0.25))
    assert 1 <= len(outcome.fell_back) <= outcome.tried <= 100
    assert len(outcome.waiting) >= 900


def test_a_version_that_breaks_a_service_stops_at_as_many_machines_as_may_be_down() -> None:
    """Without waves, too: who lacks a unit keeps the lock."""
    outcome = simulate(replace(THOUSAND, locks=(5,), quality=Quality.LAME, days=0.1))
    assert outcome.tried == outcome.most_away == 5
    assert len(outcome.waiting) == 995
    assert all("the lock is held by" in reason for reason in outcome.waiting.values())


def test_machines_that_never_come_back_stop_it_and_are_named() -> None:
    lost = replace(THOUSAND, machines=200, locks=(10,), faults=Faults(never_back=0.1), days=0.25)
    outcome = simulate(lost)
    assert outcome.finished_s is None and outcome.dead == 10
    assert all("and fleet does not hear of it" in reason for reason in outcome.waiting.values())
    # Freed by policy, each costs its time, and the others go on.
    outcome = simulate(replace(lost, settings=replace(LOCK, stale_after_s=1800.0), days=1))
    assert 10 < outcome.dead <= 40
    assert len(outcome.committed_s) == 200 - outcome.dead and not outcome.waiting


# The checks themselves


def world_in_the_middle(scenario: Scenario) -> World:
    """Half an hour after the publishing, with machine 0 up."""
    world = World(replace(scenario, days=HOUR_S / DAY_S))
    world.run()
    return world


def test_a_broken_promise_is_seen() -> None:
    world = world_in_the_middle(Scenario(5, settings=replace(LOCK, windows=parse_windows("12:00", "1h"))))
    machine = next(each for each in world.machines if each.engine.wanted)
    seen = machine.locksmith.observe()
    with pytest.raises(AssertionError, match="reboots outside its windows"):
        world.promises.about_to_reboot(machine, seen)
    machine.locksmith.settings = LOCK
    with pytest.raises(AssertionError, match="reboots without the lock"):
        world.promises.about_to_reboot(machine, seen)
    world.etcd.outage = True
    with pytest.raises(AssertionError, match="reboots without etcd"):
        world.promises.about_to_reboot(machine, seen)
    world.etcd.outage = False
    machine.locksmith.decision = replace(machine.locksmith.decision, reason="it just waits")
    with pytest.raises(AssertionError, match="waits for no true reason: 'it just waits'"):
        world.promises.in_the_end()


def test_the_same_seed_is_the_same_story() -> None:
    scenario = Scenario(7, seed=3, faults=Faults(lost=0.2, killed=0.2, power_cuts=8.0), days=1)
    assert simulate(scenario) == simulate(scenario)
    assert simulate(scenario) != simulate(replace(scenario, seed=4))

"""How a rollout stands: every state, with its reason and who is to blame."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tests.server.update.test_policy import NOW_S, STOP, activity, channel, grant, group, package

from argosy.formats import updateapi as api
from argosy.formats.updateapi import CAREFUL, Machine, RolloutState, State, parse_window
from argosy.server.update.model import Activity, Group
from argosy.server.update.rollout import Population, as_seen, on_target, rollout

OLD, NEW = ("4.0.0", State.CURRENT), ("5.0.0", State.CURRENT)
TRIAL = ("5.0.0", State.PROBING)
PERSON = replace(STOP, machine="", reason="a person aborted its rollout")
ON_THE_WAY = replace(STOP, version="4.5.0")
LATE = activity(grant("core-03", ago_s=7200, state=State.REBOOTING))


def careful(**values: object) -> Group:
    return replace(group(**values), policy=replace(CAREFUL, **values))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("its_group", "going", "population", "state", "reason", "culprit"),
    [
        (group(channel(None)), None, {OLD: 3}, RolloutState.IDLE, "nothing was published to stable yet", ""),
        (
            group(),
            None,
            {},
            RolloutState.IDLE,
            "no machine of the group stable was heard of within a day",
            "",
        ),
        (group(), None, {NEW: 3}, RolloutState.DONE, "all machines run 5.0.0", ""),
        (group(), None, {NEW: 1}, RolloutState.DONE, "the only machine runs 5.0.0", ""),
        (group(), None, {OLD: 2, NEW: 1}, RolloutState.ROLLING, "1 of 3 machines run 5.0.0", ""),
        (group(), None, {TRIAL: 1}, RolloutState.ROLLING, "0 of 1 machines run 5.0.0", ""),
        (
            group(updates_enabled=False),
            None,
            {OLD: 1},
            RolloutState.PAUSED,
            "updates are paused for the group stable",
            "",
        ),
        (group(updates_enabled=False), None, {NEW: 1}, RolloutState.DONE, "the only machine runs 5.0.0", ""),
        (
            replace(group(), stopped={"5.0.0": STOP}),
            None,
            {OLD: 1},
            RolloutState.STOPPED,
            "5.0.0 was stopped for the group stable: on core-02, etcd did not come up",
            "core-02",
        ),
        (
            replace(group(), stopped={"5.0.0": PERSON}),
            None,
            {OLD: 1},
            RolloutState.ABORTED,
            "5.0.0 was withdrawn from the group stable: a person aborted its rollout",
            "",
        ),
        (
            replace(
                group(channel(milestones=(package("4.5.0"),))),
                stopped={"4.5.0": ON_THE_WAY},
            ),
            None,
            {OLD: 1},
            RolloutState.STOPPED,
            "4.5.0 was stopped for the group stable: on core-02, etcd did not come up",
            "core-02",
        ),
        (
            careful(),
            LATE,
            {OLD: 2},
            RolloutState.STOPPED,
            "core-03 took 5.0.0, was rebooting, and has not been heard of since 2026-11-22 10:00 UTC: "
            "look at it, then let the group retry",
            "core-03",
        ),
        (group(), LATE, {OLD: 2}, RolloutState.ROLLING, "0 of 2 machines run 5.0.0", ""),
        (
            group(windows=(parse_window("mon 09:00-10:00"),)),
            None,
            {OLD: 2},
            RolloutState.ROLLING,
            "0 of 2 machines run 5.0.0; the group stable updates again from Mon 2026-11-23 09:00 (UTC)",
            "",
        ),
    ],
)
def test_how_it_stands(
    its_group: Group,
    going: Activity | None,
    population: Population,
    state: RolloutState,
    reason: str,
    culprit: str,
) -> None:
    found = rollout(its_group, going or Activity(), population, NOW_S)
    assert (found.state, found.reason, found.culprit) == (state, reason, culprit)
    assert found.machines_total == sum(population.values())


def test_the_wave_and_the_counts() -> None:
    going = replace(activity(grant("a"), grant("b")), done={"5.0.0": {"c"}})
    found = rollout(careful(), going, {OLD: 38, NEW: 2}, NOW_S)
    assert (found.machines_done, found.machines_taking) == (2, 2)
    assert found.wave == api.Wave(2, 4, 4)


@pytest.mark.parametrize(
    ("version", "state", "there"),
    [
        ("5.0.0", State.CURRENT, True),
        ("5.0.0", State.WAITING, True),
        ("5.0.0", State.PROBING, False),
        ("6.0.0", State.CURRENT, True),
        ("7.0.0", State.CURRENT, False),
        ("4.0.0", State.CURRENT, False),
    ],
)
def test_who_has_arrived(version: str, state: State, there: bool) -> None:
    back = group(channel(withdrawn=frozenset({"7.0.0"})))
    assert on_target(back, version, state) is there


SEEN = Machine(
    "app", "me", "stable", "4.0.0", State.CURRENT, "runs 4.0.0", datetime(2026, 11, 22, 9, tzinfo=UTC)
)


def test_last_words_are_read_in_the_light_of_what_came_after() -> None:
    asked = as_seen(SEEN, group(), None, 0.0, NOW_S)
    assert (asked.state, asked.reason) == (
        State.WAITING,
        "has not asked since 5.0.0 was given to stable",
    )
    assert as_seen(replace(SEEN, version="5.0.0"), group(), None, 0.0, NOW_S).state is State.CURRENT
    told = replace(SEEN, state=State.REBOOTING, reason="reboots into 5.0.0")
    assert as_seen(told, group(), grant("me"), 0.0, NOW_S) == told
    assert as_seen(told, group(), grant("me", ago_s=7200), 0.0, NOW_S).reason == (
        "has not been heard of since 2026-11-22 09:00 UTC; then: reboots into 5.0.0"
    )
    waits = replace(SEEN, state=State.WAITING, reason="nothing was published to stable yet")
    assert as_seen(waits, group(), None, NOW_S, NOW_S).reason == asked.reason
    assert as_seen(waits, group(), None, 0.0, NOW_S) == waits

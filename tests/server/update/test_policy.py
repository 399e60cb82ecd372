"""May this machine update now? Every rule, the order of the rules, and what holds for all of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.formats.updateapi import Policy, State, Stop, parse_window
from argosy.server.update.model import Activity, Asker, Channel, Decision, Grant, Group, Package
from argosy.server.update.ordering import order
from argosy.server.update.policy import decide

NOW_S = datetime(2026, 11, 22, 12, 0, tzinfo=UTC).timestamp()  # a Sunday
APP = "app"


def package(version: str, *, ours: bool = True, arch: str = "") -> Package:
    return Package(APP, version, version, "sha1", 1, "update.payload", 0.0, ours=ours, arch=arch)


def channel(version: str | None = "5.0.0", **values: object) -> Channel:
    return Channel(APP, "stable", package(version) if version else None, **values)  # type: ignore[arg-type]


def group(its_channel: Channel | None = None, **policy: object) -> Group:
    return Group(APP, "stable", its_channel or channel(), Policy(**policy))  # type: ignore[arg-type]


def grant(machine: str, version: str = "5.0.0", *, ago_s: float = 60, state: State = State.OFFERED) -> Grant:
    return Grant(APP, "stable", machine, version, state, NOW_S - ago_s, NOW_S - ago_s)


def activity(*grants: Grant, begun_ago_s: tuple[float, ...] = ()) -> Activity:
    return Activity(tuple(NOW_S - ago for ago in begun_ago_s), {each.machine: each for each in grants})


def ask(asker: Asker, its_group: Group, going: Activity | None = None) -> Decision:
    return decide(asker, its_group, going or Activity(), NOW_S)


ME = Asker("me", "4.0.0")
STOP = Stop("5.0.0", datetime.fromtimestamp(NOW_S, UTC), "core-02", "etcd did not come up")
WITH_STOP = replace(group(), stopped={"5.0.0": STOP})


def test_an_update_begins() -> None:
    decision = ask(ME, group())
    assert decision == Decision(
        State.OFFERED, "5.0.0 was offered: stable has it", package("5.0.0"), fresh=True
    )


@pytest.mark.parametrize(
    ("asker", "its_group", "going", "state", "reason"),
    [
        (ME, group(channel(None)), None, State.WAITING, "nothing was published to stable yet"),
        (replace(ME, version="5.0.0"), group(), None, State.CURRENT, "runs 5.0.0, which is what stable has"),
        (
            replace(ME, version="6.0.0"),
            group(),
            None,
            State.CURRENT,
            "runs 6.0.0, which is not older than stable's 5.0.0",
        ),
        (
            ME,
            group(channel(floor="5.0.1")),
            None,
            State.WAITING,
            "5.0.0 is below the floor of stable, which is 5.0.1",
        ),
        (
            replace(ME, bad={"5.0.0": "no kernel"}),
            WITH_STOP,
            None,
            State.FELL_BACK,
            "5.0.0 failed on this machine: no kernel",
        ),
        (ME, group(updates_enabled=False), None, State.WAITING, "updates are paused for the group stable"),
        (
            ME,
            WITH_STOP,
            None,
            State.WAITING,
            "5.0.0 was stopped for the group stable: on core-02, etcd did not come up",
        ),
        (
            replace(ME, prefix="4."),
            group(),
            None,
            State.WAITING,
            "wants only versions that begin with 4., and the next is 5.0.0",
        ),
        (
            replace(ME, arch="aarch64"),
            group(replace(channel(), package=package("5.0.0", arch="x86_64"))),
            None,
            State.WAITING,
            "5.0.0 is for x86_64, this machine is aarch64",
        ),
        (
            replace(ME, ours=False),
            group(),
            None,
            State.WAITING,
            "5.0.0 is in Argosy's format, and this machine runs CoreOS",
        ),
        (
            ME,
            group(replace(channel(), package=package("5.0.0", ours=False))),
            None,
            State.WAITING,
            "5.0.0 is in CoreOS's format, and this machine runs Argosy",
        ),
        (
            ME,
            group(windows=(parse_window("mon-fri 09:00-17:00"),), timezone="Europe/Berlin"),
            None,
            State.WAITING,
            "the group stable updates again from Mon 2026-11-23 09:00 (Europe/Berlin)",
        ),
        (
            ME,
            group(safe_mode=True),
            activity(grant("core-01")),
            State.WAITING,
            "core-01 tries 5.0.0 first",
        ),
        (
            ME,
            group(safe_mode=True),
            activity(grant("core-01", ago_s=7200)),
            State.WAITING,
            "core-01 was to try 5.0.0 first and has not been heard of since 2026-11-22 10:00 UTC: "
            "look at it, then let the group retry",
        ),
        (
            ME,
            group(rate_updates=2, rate_period_s=3600),
            activity(begun_ago_s=(4000, 3000, 60)),
            State.WAITING,
            "2 machines of the group stable began to update within 1 h, which is its rate; "
            "the next may at 2026-11-22 12:10 UTC",
        ),
        (
            ME,
            group(rate_updates=1, rate_period_s=60, update_timeout_s=600),
            activity(grant("core-03", ago_s=601)),
            State.WAITING,
            "1 machines of the group stable did not finish their updates in time, among them core-03: "
            "look at them, then let the group retry",
        ),
    ],
)
def test_why_not(asker: Asker, its_group: Group, going: Activity | None, state: State, reason: str) -> None:
    decision = ask(asker, its_group, going)
    assert (decision.state, decision.reason, decision.package) == (state, reason, None)


def test_the_first_machine_goes_on_and_the_others_follow_once_it_has_reported() -> None:
    careful = group(safe_mode=True)
    assert ask(ME, careful).fresh
    mine = grant("me")
    again = ask(replace(ME, grant=mine), careful, activity(mine))
    assert (again.package, again.fresh) == (package("5.0.0"), False)
    other = Asker("other", "4.0.0")
    assert ask(other, careful, activity(mine)).package is None
    assert ask(other, replace(careful, proven=frozenset({"5.0.0"})), activity(mine)).package


def test_in_safe_mode_who_takes_another_version_is_in_nobodys_way() -> None:
    assert ask(ME, group(safe_mode=True), activity(grant("core-01", "4.5.0"))).package


def test_who_has_begun_goes_on_whatever_the_window_and_the_rate() -> None:
    busy = group(windows=(parse_window("mon 09:00-10:00"),), rate_updates=1)
    mine = grant("me")
    going = activity(mine, begun_ago_s=(60,))
    assert ask(replace(ME, grant=mine), busy, going).package
    paused = group(updates_enabled=False)
    assert ask(replace(ME, grant=mine), paused, going).package is None


def test_a_grant_for_another_version_is_no_leave() -> None:
    busy = group(rate_updates=1)
    old = grant("me", "4.5.0")
    assert ask(replace(ME, grant=old), busy, activity(old, begun_ago_s=(60,))).package is None


def test_milestones_are_taken_one_after_the_other() -> None:
    steps = channel("9.0.0", milestones=(package("3.0.0"), package("5.0.0"), package("7.0.0")))
    offers = []
    version = "4.0.0"
    for _ in range(4):
        decision = ask(Asker("me", version), group(steps))
        if decision.package is None:
            break
        version = decision.package.version
        offers.append((version, decision.reason.partition(": ")[2]))
    assert offers == [
        ("5.0.0", "it must not be skipped on the way from 4.0.0"),
        ("7.0.0", "it must not be skipped on the way from 5.0.0"),
        ("9.0.0", "stable has it"),
    ]


def test_a_rollback_takes_back_only_those_who_run_what_was_withdrawn() -> None:
    back = channel("5.0.0", withdrawn=frozenset({"6.0.0"}), milestones=(package("5.5.0"),))
    decision = ask(Asker("me", "6.0.0"), group(back))
    assert decision.package == package("5.0.0")
    assert decision.reason == "5.0.0 was offered: stable was rolled back from 6.0.0"
    assert ask(Asker("me", "6.0.1"), group(back)).state is State.CURRENT


@pytest.mark.parametrize(
    ("version", "numbers"),
    [
        ("4890.0.0", (4890, 0, 0)),
        ("3850.0.0+nightly-20260101", (3850, 0, 0)),
        ("0.0.0.0", (0, 0, 0, 0)),
        ("ForcedUpdate", ()),
        ("", ()),
    ],
)
def test_the_order_of_versions(version: str, numbers: tuple[int, ...]) -> None:
    assert order(version) == numbers


names = st.sampled_from(["me", "a", "b", "c"])
versions = st.sampled_from(["0.0.0", "3.0.0", "4.0.0", "5.0.0", "6.0.0", "7.0.0", "ForcedUpdate"])
ages = st.floats(0, 10_000)
grants = st.builds(
    lambda machine, version, ago_s: grant(machine, version, ago_s=ago_s), names, versions, ages
)
activities = st.builds(
    lambda open_, begun: activity(*open_, begun_ago_s=tuple(sorted(begun, reverse=True))),
    st.lists(grants, max_size=4),
    st.lists(ages, max_size=4),
)
groups = st.builds(
    lambda target, floor, steps, gone, policy, stopped, proven: replace(
        Group(
            APP,
            "stable",
            Channel(
                APP,
                "stable",
                package(target),
                floor,
                tuple(package(step) for step in sorted(steps)),
                frozenset(gone),
            ),
            policy,
        ),
        stopped={version: replace(STOP, version=version) for version in stopped},
        proven=frozenset(proven),
    ),
    versions,
    st.sampled_from(["0.0.0", "4.0.0", "6.0.0"]),
    st.sets(versions, max_size=2),
    st.sets(versions, max_size=2),
    st.builds(
        Policy,
        updates_enabled=st.booleans(),
        rate_updates=st.integers(0, 3),
        rate_period_s=st.sampled_from([60, 3600]),
        update_timeout_s=st.sampled_from([60, 3600]),
        windows=st.sampled_from([(), (parse_window("mon 09:00-10:00"),), (parse_window("11:00-13:00"),)]),
        safe_mode=st.booleans(),
    ),
    st.sets(versions, max_size=2),
    st.sets(versions, max_size=2),
)


@given(versions, groups, activities, st.dictionaries(versions, st.just("broken"), max_size=2))
def test_what_holds_for_every_decision(
    version: str, its_group: Group, going: Activity, bad: dict[str, str]
) -> None:
    decision = ask(Asker("me", version, bad=bad, grant=going.open.get("me")), its_group, going)
    assert decision.reason
    assert (decision.package is not None) == (decision.state is State.OFFERED)
    assert not decision.fresh or decision.package
    if decision.package is None:
        return
    policy, offered = its_group.policy, decision.package.version
    assert policy.updates_enabled
    assert offered != version
    assert offered not in its_group.stopped
    assert offered not in bad
    assert order(offered) >= order(its_group.channel.floor)
    down = order(offered) < order(version)
    assert not down or version in its_group.channel.withdrawn
    if not decision.fresh:
        return
    if policy.rate_updates:
        begun = [at for at in going.begun_s if at > NOW_S - policy.rate_period_s]
        assert len(begun) < policy.rate_updates
    others = [each for machine, each in going.open.items() if machine != "me" and each.version == offered]
    assert not policy.safe_mode or offered in its_group.proven or not others

"""Cordons and drains in the engine's plan: a table for each rule, and what holds wherever a drain is cut."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.node.fleet.cluster import applied, draining, job, machines, violations

from argosy.formats.fleet import UnitTarget
from argosy.formats.requirements import Requirements
from argosy.node.fleet.model import Cancel, Decision, Job, Machine, Move, Place, Progress, Stay, Wait
from argosy.node.fleet.schedule import explain, plan

LEAST = "least loaded of the machines that can run it (0 units)"
LEAVES = f"m1 is to be empty; {LEAST}"
MOVED = "it has moved from m1, and runs"
TWO = {"conflicts": ("two@*",)}


def decide(
    jobs: list[Job],
    present: Mapping[str, Machine],
    *,
    settled: tuple[str, ...] = (),
    idle: tuple[str, ...] = (),
    may_evict: bool = True,
) -> list[Decision]:
    progress = Progress(frozenset(settled), frozenset(idle))
    return plan(jobs, present, may_evict=may_evict, progress=progress)


THREE = machines("m1", "m2", "m3")
DRAIN = draining(THREE, "m1")


def test_a_cordoned_machine_keeps_its_units_and_gets_no_new_ones() -> None:
    present = THREE | {"m2": Machine("m2", closed="cordoned for a test")}
    jobs = [job("a.service", "m2"), job("b.service"), job("c.service"), job("d.service")]
    assert [(item.unit, item.machine_id) for item in decide(jobs, present) if isinstance(item, Place)] == [
        ("b.service", "m1"),
        ("c.service", "m3"),
        ("d.service", "m1"),
    ]
    alone = {"m2": present["m2"]}
    (wait,) = decide([job("b.service")], alone)
    assert wait == Wait(
        "b.service", "no machine can run it: it takes no new units: cordoned for a test (1 of 1)"
    )
    assert decide([job("p.service", peers=("a.service",)), job("a.service", "m2")], present) == [
        Wait(
            "p.service",
            "no machine can run it: it must be with a.service, which is on m2 (2 of 3); "
            "it takes no new units: cordoned for a test (1 of 3)",
        )
    ]


def test_a_unit_starts_elsewhere_and_only_then_leaves() -> None:
    jobs = [job("a.service", "m1"), job("b.service", "m2")]
    (move,) = decide(jobs, DRAIN)
    assert move == Move("a.service", "m3", "m1", LEAVES)
    jobs = applied(jobs, [move])
    assert decide(jobs, DRAIN) == []
    (place,) = decide(jobs, DRAIN, settled=("a.service",))
    assert place == Place("a.service", "m3", "m1", MOVED)
    jobs = applied(jobs, [place])
    assert jobs[0] == job("a.service", "m3")
    assert decide(jobs, DRAIN) == []


def test_two_of_a_kind_with_a_machine_to_spare() -> None:
    jobs = [job("two@1.service", "m1", **TWO), job("two@2.service", "m2", **TWO)]
    assert decide(jobs, DRAIN) == [Move("two@1.service", "m3", "m1", LEAVES)]


def test_a_copy_counts_where_it_is() -> None:
    """A new unit that conflicts with one that is on its way does not get in its way."""
    jobs = [
        job("two@1.service", "m1", to="m3", **TWO),
        job("two@2.service", "m2", **TWO),
        job("two@3.service", **TWO),
    ]
    (wait,) = decide(jobs, DRAIN)
    assert isinstance(wait, Wait)


@pytest.mark.parametrize(
    ("units", "reasons"),
    [
        (
            [job(f"two@{index}.service", f"m{index}", **TWO) for index in (1, 2, 3)],
            {
                "two@1.service": "no other machine can run it: "
                "it conflicts with two@2.service, which is there (1 of 2); "
                "it conflicts with two@3.service, which is there (1 of 2)"
            },
        ),
        (
            [job("a.service", "m1", machine_id="m1")],
            {"a.service": "no other machine can run it: the unit asks for machine m1 (2 of 2)"},
        ),
        (
            [job("a.service", "m1", single="its Conflicts names itself")],
            {"a.service": "it must not run twice: its Conflicts names itself"},
        ),
        (
            [
                job("a.service", "m1", single="reason"),
                job("b.service", "m1", peers=("a.service",)),
            ],
            {
                "a.service": "it must not run twice: reason",
                "b.service": "it must be with a.service: it must not run twice: reason",
            },
        ),
        (
            [
                job("a.service", "m1", machine_id="m1"),
                job("b.service", "m1", peers=("a.service",)),
            ],
            dict.fromkeys(
                ("a.service", "b.service"),
                "no other machine can run all that must be together: "
                "on m2 a.service: the unit asks for machine m1",
            ),
        ),
    ],
)
def test_units_that_have_to_stay_are_named(units: list[Job], reasons: dict[str, str]) -> None:
    assert decide(units, DRAIN) == [Stay(name, "m1", reason) for name, reason in reasons.items()]


def test_units_that_must_be_together_move_together() -> None:
    jobs = [
        job("a-side.service", "m1", peers=("db.service",)),
        job("db.service", "m1"),
        job("other.service", "m2", conflicts=("a-side.*",)),
        *(job(f"load{index}.service", "m3") for index in range(5)),
    ]
    moves = decide(jobs, DRAIN)
    assert [(item.unit, item.machine_id) for item in moves if isinstance(item, Move)] == [
        ("a-side.service", "m3"),
        ("db.service", "m3"),
    ]
    jobs = applied(jobs, moves)
    assert decide(jobs, DRAIN, settled=("db.service",)) == []
    assert decide(jobs, DRAIN, settled=("db.service", "a-side.service")) == [
        Place("a-side.service", "m3", "m1", MOVED),
        Place("db.service", "m3", "m1", MOVED),
    ]
    # Half of the moves were written when the engine died.
    half = applied(jobs, [Cancel("db.service", "m3", "")])
    (cancel,) = decide(half, DRAIN)
    assert cancel == Cancel("a-side.service", "m3", "the units that must be together have changed")
    assert decide(applied(half, [cancel]), DRAIN) == moves


def test_half_of_a_group_has_been_placed() -> None:
    """The engine died between two writes: the other half goes to the same machine, where it runs already."""
    jobs = [job("a-side.service", "m1", to="m3", peers=("db.service",)), job("db.service", "m3")]
    (place,) = decide(jobs, DRAIN)
    assert isinstance(place, Place)
    assert (place.unit, place.machine_id, place.previous) == ("a-side.service", "m3", "m1")


def test_what_does_not_run_is_not_moved() -> None:
    jobs = [
        job("ended.service", "m1"),
        job("everywhere.service", is_global=True),
        job("loaded.service", "m1", target="loaded"),
    ]
    # Nothing of a loaded unit runs, so that nothing has to overlap.
    assert decide(jobs, DRAIN, idle=("ended.service",)) == [
        Place("loaded.service", "m2", "m1", f"m1 is to be empty; {LEAST.replace('0 units', '1 unit')}")
    ]


@pytest.mark.parametrize(
    ("present", "target", "reason"),
    [
        (THREE, "launched", "m1 is not to be empty any more"),
        (draining(THREE, "m1", "m3"), "launched", "m3 is to be empty as well"),
        (draining(machines("m1", "m2"), "m1"), "launched", "machine m3 is gone"),
        (DRAIN, "loaded", "it is not to run any more"),
    ],
)
def test_moves_that_are_given_up(present: dict[str, Machine], target: str, reason: str) -> None:
    jobs = [job("a.service", "m1", target, to="m3")]
    assert decide(jobs, present) == [Cancel("a.service", "m3", reason)]


def test_more_moves_that_are_given_up() -> None:
    jobs = [job("two@1.service", "m1", to="m3", **TWO), job("two@9.service", "m3", **TWO)]
    assert decide(jobs, DRAIN) == [
        Cancel("two@1.service", "m3", "it conflicts with two@9.service, which is there")
    ]
    jobs = [job("a.service", "m1", to="m3", single="reason")]
    assert decide(jobs, DRAIN) == [Cancel("a.service", "m3", "it must not run twice: reason")]
    jobs = [job("a.service", target="inactive", to="m3")]
    assert decide(jobs, DRAIN) == [Cancel("a.service", "m3", "it has no machine to move from")]


def test_moves_that_go_on() -> None:
    jobs = [job("a.service", "m1", to="m3")]
    # A cordon alone does not stop what is under way, nor does an etcd that has just come back.
    closed = DRAIN | {"m3": replace(DRAIN["m3"], closed="cordoned")}
    assert decide(jobs, closed) == []
    assert decide(jobs, draining(machines("m1", "m2"), "m1"), may_evict=False) == []
    # The unit fails on the old machine before it runs on the new one.
    assert decide(jobs, DRAIN, idle=("a.service",)) == [Place("a.service", "m3", "m1", MOVED)]


def test_the_old_machine_dies_during_a_move() -> None:
    jobs = [job("a.service", "m1", to="m3"), *(job(f"u{index}.service", "m3") for index in range(5))]
    present = machines("m2", "m3")
    assert decide(jobs, present, may_evict=False) == []
    (place,) = decide(jobs, present, may_evict=False, settled=("a.service",))
    assert isinstance(place, Place)
    assert place.machine_id == "m3"
    (place,) = decide(jobs, present)
    assert isinstance(place, Place)
    assert (place.machine_id, place.reason.startswith("machine m1 is gone")) == ("m3", True)


def test_both_machines_die_during_a_move() -> None:
    (place,) = decide([job("a.service", "m1", to="m3")], machines("m2"))
    assert isinstance(place, Place)
    assert place.machine_id == "m2"


def test_two_machines_are_drained_onto_the_third() -> None:
    jobs = [job("a.service", "m1"), job("b.service", "m2")]
    decisions = decide(jobs, draining(THREE, "m1", "m2"))
    assert [(item.unit, item.machine_id) for item in decisions if isinstance(item, Move)] == [
        ("a.service", "m3"),
        ("b.service", "m3"),
    ]


def test_all_machines_are_drained() -> None:
    (stay,) = decide([job("a.service", "m1")], draining(THREE, "m1", "m2", "m3"))
    assert stay == Stay(
        "a.service", "m1", "no other machine can run it: it takes no new units: draining for a test (2 of 2)"
    )


def test_explanations() -> None:
    jobs = [job("a.service", "m1"), job("b.service", "m1", to="m2"), job("c.service", "m1", single="reason")]

    def told(name: str) -> str:
        return explain(name, jobs, DRAIN, may_evict=True).reason

    assert told("a.service") == f"it is scheduled to m1, and moves to m3: {LEAVES}"
    assert told("b.service") == "it moves from m1 to m2"
    assert told("c.service") == (
        "it is scheduled to m1, which is to be empty, but it must not run twice: reason"
    )
    verdicts = explain("a.service", jobs, DRAIN, may_evict=True).machines
    assert [item.able for item in verdicts] == [True, True, True]
    verdicts = explain("a.service", [job("a.service", "m2")], DRAIN, may_evict=True).machines
    assert verdicts[0].reason == "it takes no new units: draining for a test"


IDS = ["m1", "m2", "m3", "m4"]
UNITS = ["a@1.service", "a@2.service", "b@1.service", "b@2.service", "c.service", "d.service"]
WANTED = st.one_of(
    st.builds(
        Requirements,
        conflicts=st.lists(st.sampled_from(["a@*", "b@*", "c.*"]), max_size=2).map(tuple),
        metadata=st.sampled_from([(), (("zone", frozenset("a")),), (("zone", frozenset("ab")),)]),
        peers=st.lists(st.sampled_from(UNITS), max_size=1).map(tuple),
        single=st.sampled_from(["", "", "reason"]),
    ),
    st.builds(Requirements, machine_id=st.sampled_from(IDS)),
)
JOBS = st.dictionaries(st.sampled_from(UNITS), WANTED, min_size=1).map(
    lambda jobs: [Job(name, UnitTarget.LAUNCHED, wanted) for name, wanted in jobs.items()]
)
MACHINES = st.dictionaries(st.sampled_from(IDS), st.sampled_from("ab"), min_size=2).map(
    lambda zones: {name: Machine(name, metadata={"zone": zone}) for name, zone in zones.items()}
)


def settle(jobs: list[Job], present: Mapping[str, Machine]) -> tuple[list[Job], list[Decision]]:
    """What the cluster comes to if nothing else happens, and what the engine says then."""
    for _ in range(30):
        settled = tuple(item.name for item in jobs if item.move_to in present)
        decisions = decide(jobs, present, settled=settled)
        changes = [item for item in decisions if not isinstance(item, Wait | Stay)]
        if not changes:
            return jobs, decisions
        jobs = applied(jobs, changes)
    raise AssertionError(f"the engine does not come to rest: {decisions}")


def places(item: Job) -> set[str]:
    """Where a unit runs: where it is scheduled, and where it moves."""
    return {place for place in (item.machine_id, item.move_to) if place is not None}


@settings(max_examples=400)
@example(
    [job("a.service"), job("b.service", peers=("a.service",))],
    machines("m1", "m2"),
    [({"m1"}, 2, False), ({"m1"}, 1, True), (set(), 1, False)],
)
@given(
    JOBS,
    MACHINES,
    st.lists(st.tuples(st.sets(st.sampled_from(IDS), max_size=2), st.integers(0, 4), st.booleans())),
)
def test_no_drain_stops_a_unit_wherever_it_is_cut_short(
    jobs: list[Job], present: dict[str, Machine], story: list[tuple[set[str], int, bool]]
) -> None:
    """Machines are drained and taken back in any order; the engine dies after any part of its writes."""
    jobs, _ = settle(jobs, present)
    for to_empty, cut, run_well in [*story, (story[-1][0] if story else set(), 99, True)]:
        now = draining(present, *to_empty)
        settled = tuple(item.name for item in jobs if item.move_to) if run_well else ()
        decisions = decide(jobs, now, settled=settled)
        before = {
            item.name: places(item if item.name in settled else replace(item, move_to=None)) for item in jobs
        }
        changes = [item for item in decisions if not isinstance(item, Wait | Stay)]
        jobs = applied(jobs, changes[:cut])
        _check(jobs, before, now)
    now = draining(present, *to_empty)
    jobs, decisions = settle(jobs, now)
    stays = {item.unit for item in decisions if isinstance(item, Stay)}
    assert not violations(jobs, now)
    for item in jobs:
        assert item.move_to is None
        assert item.machine_id not in to_empty or item.name in stays or item.machine_id not in present
    for item in jobs:
        assert item.name not in stays or item.machine_id in to_empty


def _check(jobs: list[Job], before: Mapping[str, set[str]], now: Mapping[str, Machine]) -> None:
    """No unit has left all places where it ran; none runs twice that must not; no two that conflict meet."""
    where = {item.name: item.machine_id for item in jobs}
    for item in jobs:
        # One whose peer was placed before the engine died goes where the peer is, whatever runs there.
        follows = any(where.get(peer) not in before[item.name] for peer in item.requirements.peers)
        assert not before[item.name] or follows or before[item.name] & places(item), item
        assert not item.requirements.single or len(places(item)) < 2
    both = [replace(item, machine_id=item.move_to) for item in jobs if item.move_to is not None]
    for copy in both:
        others = [item for item in jobs if item.name != copy.name]
        copies = [item for item in both if item.name != copy.name]
        for crowd in ([copy, *others], [copy, *copies]):
            alone = replace(copy.requirements, peers=())
            found = violations([replace(copy, requirements=alone), *crowd[1:]], now)
            assert not [fault for fault in found if fault.startswith(copy.name)]


def test_a_drain_of_a_thousand_units_is_planned_in_seconds() -> None:
    present = machines(*(f"m{index:04}" for index in range(1000)))
    jobs = [
        Job(f"u@{index}.service", UnitTarget.LAUNCHED, Requirements(), f"m{index % 10:04}")
        for index in range(10_000)
    ]
    start_s = time.process_time()
    decisions = decide(jobs, draining(present, "m0000"))
    assert len([item for item in decisions if isinstance(item, Move)]) == 1000
    assert time.process_time() - start_s < 10

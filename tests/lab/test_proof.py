"""What a rollout has broken, from what was seen."""

from __future__ import annotations

import pytest

from argosy.lab.proof import Change, Runs, broken_by_bad_version, broken_by_update, changes
from argosy.lab.ticks import Tally, Tick

BEFORE = {"a": Runs("1", "A", "a1"), "b": Runs("1", "A", "b1")}
AFTER = {"a": Runs("2", "B", "a2"), "b": Runs("2", "B", "b2")}
CHANGED = [Change("a", "10:01", "10:05"), Change("b", "10:05", "10:09")]
WELL = Tally(ticks=100, silent_at_once=1)


def _ticks(**machines: str) -> list[Tick]:
    """Ticks from a letter each: "1" and "2" are versions, "." is silence."""
    rows = zip(*machines.values(), strict=True)
    return [
        Tick(
            f"{at:03}",
            {
                name: None if v == "." else f"{name}, Argosy {v}"
                for name, v in zip(machines, row, strict=True)
            },
        )
        for at, row in enumerate(rows)
    ]


def test_changes_are_in_the_order_in_which_machines_left() -> None:
    ticks = _ticks(a="1111..22222", b="1..22222222", c="11111111111")
    assert changes(ticks, "1", "2") == [Change("b", "000", "003"), Change("a", "003", "006")]


def test_one_missed_answer_is_no_change() -> None:
    assert changes(_ticks(a="11.11.1..2.2"), "1", "2") == [Change("a", "006", "009")]


def test_all_is_well() -> None:
    assert broken_by_update(BEFORE, AFTER, "2", CHANGED, WELL, 0) == []


@pytest.mark.parametrize(
    ("problem", "after", "changed", "tally", "lost"),
    [
        ("b runs 1, not 2", AFTER | {"b": Runs("1", "B", "b2")}, CHANGED, WELL, 0),
        ("b runs from slot A, as before", AFTER | {"b": Runs("2", "A", "b2")}, CHANGED, WELL, 0),
        ("b was never seen", AFTER, CHANGED[:1], WELL, 0),
        ("b left before a was back", AFTER, [CHANGED[0], Change("b", "10:04", "10:09")], WELL, 0),
        ("2 of 100 ticks", AFTER, CHANGED, Tally(100, 2), 0),
        ("nobody was asked", AFTER, CHANGED, Tally(), 0),
        ("without quorum in 3", AFTER, CHANGED, WELL, 3),
    ],
)
def test_what_an_update_breaks(
    problem: str, after: dict[str, Runs], changed: list[Change], tally: Tally, lost: int
) -> None:
    [found] = broken_by_update(BEFORE, after, "2", changed, tally, lost)
    assert problem in found


FELL_BACK = BEFORE | {"a": Runs("1", "A", "a3")}


def test_a_bad_version_touches_one() -> None:
    assert broken_by_bad_version(BEFORE, FELL_BACK, "a", WELL, 0) == []


@pytest.mark.parametrize(
    ("problem", "after"),
    [
        ("b has rebooted", FELL_BACK | {"b": Runs("1", "A", "b2")}),
        ("a has not tried the version", BEFORE),
        ("a runs 3 from slot B, not 1 from A", BEFORE | {"a": Runs("3", "B", "a2")}),
    ],
)
def test_what_a_bad_version_breaks(problem: str, after: dict[str, Runs]) -> None:
    assert broken_by_bad_version(BEFORE, after, "a", WELL, 0) == [problem]

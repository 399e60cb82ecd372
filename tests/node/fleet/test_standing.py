"""What the API says of machines that are to be empty."""

from __future__ import annotations

import pytest
from tests.node.fleet.cluster import job

from argosy.formats.cordon import CordonRecord, Leaving, MoveRecord, Standing, Step
from argosy.formats.fleet import StateRecord, UnitTarget
from argosy.node.fleet.model import Decision, Job, Move, Place, Stay
from argosy.node.fleet.standing import describe, leaving

DRAIN = {"person": CordonRecord(drain=True)}


def state(active: str, refusal: str = "") -> StateRecord:
    return StateRecord("h", "loaded", active, "sub", UnitTarget.LAUNCHED, refusal)


@pytest.mark.parametrize(
    ("unit", "decision", "here", "there", "expected"),
    [
        (job("a", "m1"), Move("a", "m3", "m1", "why"), "active", None, (Step.MOVES, "why", "m3")),
        (job("a", "m1"), Place("a", "m3", "m1", "why"), "active", None, (Step.MOVES, "why", "m3")),
        (job("a", "m1"), Stay("a", "m1", "why"), "active", None, (Step.STAYS, "why", "")),
        (job("a", "m1"), None, "failed", None, None),
        (job("a", "m1", to="m3"), None, "active", None, (Step.MOVES, "m3 has not got it yet", "m3")),
        (
            job("a", "m1", to="m3"),
            None,
            "active",
            state("activating"),
            (Step.MOVES, "on m3 it is activating (sub)", "m3"),
        ),
        (
            job("a", "m1", to="m3"),
            None,
            "active",
            state("active"),
            (Step.MOVES, "it runs on m3 as well, and stops here in a moment", "m3"),
        ),
        (
            job("a", "m1", to="m3"),
            None,
            "active",
            state("inactive", "no such file"),
            (Step.MOVES, "systemd on m3 refuses it: no such file", "m3"),
        ),
        # It is scheduled elsewhere, and still runs here.
        (job("a", "m3"), None, "deactivating", None, (Step.STOPS, "it runs on m3 now, and stops here", "m3")),
        (job("a", "m3"), None, "inactive", None, None),
        (job("a", "m3"), None, None, None, None),
        # It comes from elsewhere, is not to run, or runs everywhere.
        (job("a", "m3", to="m1"), None, "active", None, None),
        (job("a", "m1", "loaded"), None, "active", None, None),
        (job("a", is_global=True), None, "active", None, None),
    ],
)
def test_units_that_leave(
    unit: Job,
    decision: Decision | None,
    here: str | None,
    there: StateRecord | None,
    expected: tuple[Step, str, str] | None,
) -> None:
    states = {("a", "m1"): state(here)} if here else {}
    states |= {("a", "m3"): there} if there else {}
    moves = {"a": MoveRecord(unit.move_to, "m1", "r")} if unit.move_to else {}
    found = leaving("m1", [unit], [decision] if decision else [], states, moves)
    assert found == ([Leaving("a", *expected)] if expected else [])


def test_standings() -> None:
    stays, moves = Leaving("a", Step.STAYS, "why"), Leaving("b", Step.MOVES, "why")
    assert describe("m1", {}, []).standing is Standing.OPEN
    assert describe("m1", {"person": CordonRecord()}, []).standing is Standing.CORDONED
    assert describe("m1", DRAIN, [stays, moves]).standing is Standing.DRAINING
    assert describe("m1", DRAIN, [stays]).standing is Standing.DRAINED

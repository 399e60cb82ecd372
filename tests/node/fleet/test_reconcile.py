"""The agent's planner: a table, and what holds however a pass is cut short."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.formats.fleet import UnitTarget
from argosy.node.fleet.model import Action, Desired, Load, Observed, Remove, Settle, Start, Stop
from argosy.node.fleet.reconcile import farewell, plan

INACTIVE, LOADED, LAUNCHED = UnitTarget
RUNNING = Observed("h1", "loaded", "active", "running", LAUNCHED)
STOPPED = Observed("h1", "loaded", "inactive", "dead")
STOPPING = Observed("h1", "loaded", "deactivating", "stop-sigterm", LOADED)


@pytest.mark.parametrize(
    ("desired", "observed", "expected"),
    [
        (None, None, []),
        (Desired("h1", INACTIVE), None, []),
        (Desired("h1", LOADED), None, [Load]),
        (Desired("h1", LAUNCHED), None, [Load, Start]),
        (Desired("h1", LOADED), STOPPED, []),
        (Desired("h1", LAUNCHED), replace(STOPPED, load="not-found"), [Load, Start]),
        (Desired("h1", LAUNCHED), STOPPED, [Start]),
        (Desired("h1", LAUNCHED), RUNNING, []),
        # One that has ended or failed by itself is not started again.
        (Desired("h1", LAUNCHED), replace(RUNNING, active="failed"), []),
        (Desired("h1", LAUNCHED), replace(RUNNING, active="inactive"), []),
        # Stopping: begin, wait, settle.
        (Desired("h1", LOADED), RUNNING, [Stop]),
        (Desired("h1", LOADED), STOPPING, []),
        (Desired("h1", LOADED), replace(STOPPING, active="active"), [Stop]),
        (Desired("h1", LOADED), replace(STOPPING, active="inactive"), [Settle]),
        (Desired("h1", LOADED), replace(STOPPING, active="failed"), [Settle]),
        # Wanted again while it stops.
        (Desired("h1", LAUNCHED), STOPPING, [Start]),
        # A loaded unit that a socket or another unit started is left alone.
        (Desired("h1", LOADED), replace(STOPPED, active="active"), []),
        # Leaving: stop, wait, remove.
        (None, RUNNING, [Stop]),
        (None, replace(STOPPED, active="active"), [Stop]),
        (Desired("h1", INACTIVE), RUNNING, [Stop]),
        (None, STOPPING, []),
        (None, STOPPED, [Remove]),
        (None, replace(RUNNING, active="failed"), [Remove]),
        # New content: out with the old first.
        (Desired("h2", LAUNCHED), RUNNING, [Stop]),
        (Desired("h2", LAUNCHED), STOPPING, []),
        (Desired("h2", LAUNCHED), STOPPED, [Remove]),
    ],
)
def test_the_next_actions(desired: Desired | None, observed: Observed | None, expected: list[type]) -> None:
    actions = plan({"u": desired} if desired else {}, {"u": observed} if observed else {})
    assert [type(action) for action in actions] == expected
    assert all(action.unit == "u" and action.reason for action in actions)


def test_what_goes_comes_first() -> None:
    actions = plan({"a": Desired("h1", LAUNCHED)}, {"z": STOPPED, "y": RUNNING})
    assert [(type(action), action.unit) for action in actions] == [
        (Stop, "y"),
        (Remove, "z"),
        (Load, "a"),
        (Start, "a"),
    ]


def test_farewell_stops_and_removes_all() -> None:
    actions = farewell({"a": RUNNING, "b": STOPPED, "c": STOPPING})
    assert [(type(action), action.unit) for action in actions] == [(Stop, "a"), (Remove, "b")]


def acted(observed: dict[str, Observed], action: Action, desired: dict[str, Desired]) -> dict[str, Observed]:
    """What systemd would show after an action."""
    result = dict(observed)
    if isinstance(action, Load):
        result[action.unit] = Observed(desired[action.unit].hash, "loaded", "inactive", "dead")
    elif isinstance(action, Start):
        result[action.unit] = replace(result[action.unit], active="active", mark=LAUNCHED)
    elif isinstance(action, Stop):
        result[action.unit] = replace(result[action.unit], active="deactivating", mark=LOADED)
    elif isinstance(action, Settle):
        result[action.unit] = replace(result[action.unit], mark=None)
    else:
        del result[action.unit]
    return result


NAMES = st.sampled_from(["a", "b", "c"])
HASHES = st.sampled_from(["h1", "h2"])
DESIRED = st.dictionaries(NAMES, st.builds(Desired, HASHES, st.sampled_from(UnitTarget)))
OBSERVED = st.dictionaries(
    NAMES,
    st.builds(
        Observed,
        HASHES,
        st.just("loaded"),
        st.sampled_from(["active", "inactive", "failed", "activating", "deactivating"]),
        st.just(""),
        st.sampled_from([None, LOADED, LAUNCHED]),
    ),
)


@settings(max_examples=300)
@given(DESIRED, OBSERVED, st.lists(st.integers(0, 3), max_size=40))
def test_it_converges_wherever_it_is_cut_short(
    desired: dict[str, Desired], observed: dict[str, Observed], cuts: list[int]
) -> None:
    """After any prefix of a pass the daemon may die; the passes that follow reach the goal all the same."""
    for cut in [*cuts, *([99] * 10)]:
        actions = plan(desired, observed)
        for action in actions[:cut]:
            observed = acted(observed, action, desired)
        if cut == 99:
            observed = {
                name: replace(seen, active="inactive") if seen.active == "deactivating" else seen
                for name, seen in observed.items()
            }
    wanted = {name: item for name, item in desired.items() if item.target is not INACTIVE}
    assert plan(desired, observed) == []
    assert {name: seen.hash for name, seen in observed.items()} == {
        n: item.hash for n, item in wanted.items()
    }
    assert {name: seen.state for name, seen in observed.items()} == {
        n: item.target for n, item in wanted.items()
    }

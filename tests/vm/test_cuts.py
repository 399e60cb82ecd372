"""The schedule of power cuts."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.vm.cuts import Phase, schedule


@given(st.integers(0, 60), st.integers(0, 2**32))
def test_as_many_cuts_as_wanted_in_the_order_of_an_update(cuts: int, seed: int) -> None:
    rounds = schedule(cuts, seed)
    assert sum(map(len, rounds)) == cuts
    assert rounds == schedule(cuts, seed)
    order = list(Phase)
    for phases in ([order.index(cut.phase) for cut in one] for one in rounds):
        assert phases == sorted(phases)


@given(st.integers(0, 60), st.integers(0, 2**32))
def test_a_trial_survives_its_cuts(cuts: int, seed: int) -> None:
    for one in schedule(cuts, seed):
        assert sum(cut.phase in (Phase.REBOOT, Phase.COMMIT) for cut in one) == 1


@pytest.mark.parametrize(("cuts", "least"), [(5, 1), (30, 5)])
def test_no_phase_is_left_out(cuts: int, least: int) -> None:
    counts = Counter(cut.phase for one in schedule(cuts, 1) for cut in one)
    assert set(counts) == set(Phase) and min(counts.values()) >= least

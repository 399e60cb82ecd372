"""Five power cuts, as `python -m tests.vm.chaos` makes thirty."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.vm.chaos import Chaos
from tests.vm.cuts import Phase, schedule
from tests.vm.updates import LEAN, one_machine

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1800)]


def test_updates_survive_power_cuts(release: Path, second: Path, tmp_path: Path) -> None:
    rounds = schedule(5, seed=1)
    assert {cut.phase for one in rounds for cut in one} == set(Phase)
    with one_machine(tmp_path, release, user_data=LEAN) as node:
        came = Chaos(node, (release, second), print).run(rounds)
    assert len(came) == 5

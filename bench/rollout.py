"""How long 1,000 machines take to update against the reboot lock's max, on the planners themselves.

It is the simulation of tests/simulation: it takes minutes of the processor, and finds the same everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tests.simulation.scenario import HOUR_S, Faults, Scenario
from tests.simulation.world import Outcome, simulate

from argosy.base.errors import ArgosyError
from argosy.base.progress import Progress
from argosy.formats.updateapi import CAREFUL
from argosy.node.locksmith.model import Settings, Strategy
from argosy.node.locksmith.windows import parse_windows

MACHINES = 1000
MAXIMA = (200, 100, 50, 20, 10, 5, 2, 1)

_LOCK = Settings(Strategy.ETCD_LOCK)
# Published at 1:00 on the simulation's clock: 13 hours before the window.
_NIGHTS = replace(_LOCK, windows=parse_windows("14:00", "6h"))
_FREED = replace(_LOCK, stale_after_s=2 * HOUR_S)
_LOSSES = Faults(never_back=0.01)
_PLAIN = Scenario(MACHINES, seed=1, members=5, settings=_LOCK, days=60.0)


@dataclass(frozen=True, slots=True)
class Case:
    """A curve: its name, the scenario, and the least max: small ones take long."""

    name: str
    scenario: Scenario
    least: int


CASES = (
    Case("the lock alone", _PLAIN, 1),
    Case("in waves: 1, 10%, 50%", replace(_PLAIN, policy=CAREFUL), 10),
    Case("1 of 100 stays down (STALE_LOCK_AFTER=2h)", replace(_PLAIN, settings=_FREED, faults=_LOSSES), 2),
    Case("reboots only in 6 hours of the night", replace(_PLAIN, settings=_NIGHTS), 2),
)


@dataclass(frozen=True, slots=True)
class Point:
    """`hours` from the publishing until the last machine had proved the new version; `most_away` at once."""

    max: int
    hours: float
    most_away: int
    updated: int


@dataclass(frozen=True, slots=True)
class Curve:
    """One case; points by falling max."""

    case: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """`lock_s` is for how long a machine holds its lock in the first case (median)."""

    machines: int
    lock_s: float
    curves: tuple[Curve, ...]


def measure(progress: Progress) -> Result:
    """Simulate every case with every max. Raises `AssertionError` if a promise is broken."""
    curves, lock_s = [], 0.0
    for case in CASES:
        points = []
        maxima = [most for most in MAXIMA if most >= case.least]
        with progress.step(f"simulate: {case.name}", total=len(maxima)) as step:
            for most in maxima:
                outcome = simulate(replace(case.scenario, locks=(most,)))
                lock_s = lock_s or outcome.lock_s
                points.append(_point(most, outcome))
                step.advance(1)
        curves.append(Curve(case.name, tuple(points)))
    return Result(MACHINES, round(lock_s, 1), tuple(curves))


def _point(most: int, outcome: Outcome) -> Point:
    if len(outcome.committed_s) + outcome.dead < MACHINES:
        raise ArgosyError(f"with max {most} only {len(outcome.committed_s)} machines were updated in time")
    hours = outcome.committed_s[-1] / HOUR_S
    return Point(most, round(hours, 2), outcome.most_away, len(outcome.committed_s))

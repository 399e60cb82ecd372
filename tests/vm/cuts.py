"""Which moments of updates lose their power: drawn from a seed, so that a run can be repeated. Pure."""

from __future__ import annotations

import enum
import itertools
import random
from dataclasses import dataclass

_CUTS_IN_ROUND = (2, 4)


class Phase(enum.Enum):
    """What a machine is doing when its power goes, in the order of an update."""

    DOWNLOAD = "download and write"
    FINISH = "verify and arm"
    REBOOT = "reboot"
    COMMIT = "start and commit"


@dataclass(frozen=True, slots=True)
class Cut:
    """A power cut in a phase, after `fraction` (0 to 1) of it."""

    phase: Phase
    fraction: float


Round = tuple[Cut, ...]
"""The cuts of one update, in the order of its phases."""


def schedule(cuts: int, seed: int) -> list[Round]:
    """Rounds with `cuts` cuts in all; every phase of an update is hit about as often as the others.

    In a round there is one cut at most from the reboot on. Nobody can tell a power cut from a crash, so a few
    of them during the trial of a version are the end of it; and after one the update goes on by itself.
    """
    chance = random.Random(seed)
    late = itertools.cycle(chance.sample((Phase.REBOOT, Phase.COMMIT), k=2))
    early = itertools.cycle(chance.sample((Phase.DOWNLOAD, Phase.FINISH), k=2))
    rounds: list[Round] = []
    while left := cuts - sum(map(len, rounds)):
        size = min(left, chance.randint(*_CUTS_IN_ROUND))
        phases = [*sorted(itertools.islice(early, size - 1), key=list(Phase).index), next(late)]
        rounds.append(tuple(Cut(phase, round(chance.random(), 3)) for phase in phases))
    return rounds

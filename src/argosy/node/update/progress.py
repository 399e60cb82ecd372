"""What the update service is told between events, and when: pure.

Only a service of ours is told (`State.reads_progress`). A new stage is told at once; a new reason for the
same stage less and less often, for in a large cluster each reboot gives all who wait for the lock a new one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from argosy.formats.omaha.model import Progress, Stage
from argosy.formats.rebootwhy import State as RebootState
from argosy.formats.rebootwhy import Why as RebootWhy

_FIRST_GAP_S = 15.0
_LONGEST_GAP_S = 600.0


@dataclass(frozen=True, slots=True)
class Told:
    """What was said last, on which second of the boot clock, and whether it was heard.

    `times` counts what was said of this stage, in vain or with another reason.
    """

    progress: Progress
    at_s: float
    heard: bool
    times: int = 1


def waiting(version: str, strategy: str, why: RebootWhy | None) -> Progress:
    """How an installed version is: waiting for the reboot, or close to it. `why` is locksmithd's."""
    if strategy == "off":
        return Progress(Stage.INSTALLED, version, reason="REBOOT_STRATEGY=off: a person has to reboot it")
    if why is None or (why.strategy and not why.wanted):
        return Progress(Stage.INSTALLED, version)  # locksmithd is not there, or has not heard of it yet.
    planned = why.holds and why.state is RebootState.REBOOT_PLANNED
    stage = Stage.REBOOTING if planned or why.state is RebootState.REBOOTING else Stage.INSTALLED
    # Why it reboots is clear, if nothing is left to be done before.
    return Progress(stage, version, reason="" if why.answer == why.wanted else why.answer)


def due_s(current: Progress | None, told: Told | None, now_s: float) -> float | None:
    """When `current` is to be told (not after `now_s`: now); None if there is nothing new."""
    if current is None:
        return None
    if told is None or (told.progress.stage, told.progress.version) != (current.stage, current.version):
        return now_s
    if told.heard and _gist(told.progress) == _gist(current):
        return None
    return told.at_s + min(_FIRST_GAP_S * 2.0 ** min(told.times - 1, 10), _LONGEST_GAP_S)


def said(current: Progress, told: Told | None, now_s: float, *, heard: bool) -> Told:
    """After `current` was told."""
    same = told is not None and told.progress.stage is current.stage
    return Told(current, now_s, heard, told.times + 1 if same and told else 1)


def _gist(progress: Progress) -> str:
    """A sentence whose numbers of minutes alone have changed is no news."""
    return re.sub(r"\d+ (s|min|h|days)\b", "", progress.reason)

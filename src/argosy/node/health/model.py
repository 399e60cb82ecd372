"""What a probe says, and what follows from all of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Result:
    """One probe's answer; `detail` says in words what it found."""

    name: str
    passed: bool
    detail: str


class Decision(StrEnum):
    """What becomes of the version on trial."""

    COMMIT = "commit"
    WAIT = "wait"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision and its reason in words."""

    decision: Decision
    reason: str


@dataclass(frozen=True, slots=True)
class HealthReport:
    """What `argosy health --json` prints. `on_trial` is false on machines without slots, too."""

    healthy: bool
    on_trial: bool
    probes: tuple[Result, ...]

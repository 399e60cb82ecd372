"""What is simulated: the machines, their settings, the version that is published, and what goes wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from argosy.formats.updateapi import Policy
from argosy.node.locksmith.model import Settings, Strategy

OLD, NEW = "1.0.0", "2.0.0"
HOUR_S, DAY_S = 3600.0, 86400.0


class Quality(StrEnum):
    """What a version is like on a machine."""

    GOOD = "it works"
    DEAD = "it does not come up"
    UNHEALTHY = "it comes up, and a health probe fails"
    LAME = "its probes pass, and a unit of fleet's fails on it"


@dataclass(frozen=True, slots=True)
class Faults:
    """How much goes wrong, until `until_s`. Parts are from 0 to 1, rates are per machine and day.

    `lost`: messages to etcd and to the update service that get lost; of half of them only the answer.
    `killed`: steps of a daemon after which it is killed. `never_back`: of reboots and power cuts, those after
    which a machine stays down until somebody repairs it. `power_cuts` and `clock_jumps` come at any time; a
    clock is then off by up to two days, or right again. `etcd_away` and `service_away` are outages of the
    whole, so many a day, of up to half an hour. `people`: machines at which somebody sits, and may postpone.
    `slow_drain`: drains that do not end in time.
    """

    lost: float = 0.0
    killed: float = 0.0
    never_back: float = 0.0
    power_cuts: float = 0.0
    clock_jumps: float = 0.0
    etcd_away: float = 0.0
    service_away: float = 0.0
    people: float = 0.0
    slow_drain: float = 0.0
    until_s: float = float("inf")


@dataclass(frozen=True, slots=True)
class Scenario:
    """`locks` has the max of each group of machines; `members` is how many of them run etcd.

    `quality` is what the new version is like on the part `bad_part` of the machines, the last ones first; it
    works on the others. A person who looks every `operator_s` repairs what is broken for as long and lets the
    group retry a version that works; None: nobody looks. It ends after `days`.
    """

    machines: int
    seed: int = 0
    members: int = 3
    locks: tuple[int, ...] = (1,)
    settings: Settings = field(default_factory=lambda: Settings(Strategy.ETCD_LOCK))
    other_strategies: tuple[Strategy, ...] = ()
    policy: Policy = field(default_factory=Policy)
    fleet: bool = True
    quality: Quality = Quality.GOOD
    bad_part: float = 1.0
    faults: Faults = field(default_factory=Faults)
    operator_s: float | None = None
    days: float = 10.0

"""What to do next to a cluster: (wanted, observed) -> actions, in order, each with its reason.

Nothing is remembered between commands but the cluster's own state, so a command that was interrupted after
any action is continued by planning again.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field


class Power(enum.Enum):
    """How a machine should be."""

    ON = "on"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Wanted:
    """`exists`: whether the cluster should be there at all. Machines that `power`
    does not name stay as they are.

    A cluster of which no machine should run needs no network and no server either.
    """

    exists: bool
    power: dict[str, Power] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Observed:
    """What is there: `machines` in their order, and which of them have a whole disk, and run.

    `prepared`: the cluster has its own copy of the release. `token`: it has its discovery token. `server`
    and `network` are whole: of those that are not, something may be left nevertheless.
    """

    machines: tuple[str, ...]
    prepared: bool = False
    token: bool = False
    server: bool = False
    network: bool = False
    created: frozenset[str] = frozenset()
    running: frozenset[str] = frozenset()


class Verb(enum.Enum):
    """What can be done to a cluster or one of its machines."""

    PREPARE = "copy the release"
    START_SERVER = "start the cluster's server"
    TAKE_TOKEN = "take a discovery token"
    CREATE = "make the disk"
    START_NETWORK = "start the network"
    POWER_ON = "power on"
    SHUT_DOWN = "shut down"
    CUT_POWER = "cut the power"
    STOP_NETWORK = "stop the network"
    STOP_SERVER = "stop the cluster's server"
    END_STRAYS = "end what else runs"
    REMOVE_MACHINE = "remove the machine"
    REMOVE_CLUSTER = "remove the cluster's folder"


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do, and why. `machine` is empty where the whole cluster is meant."""

    verb: Verb
    reason: str
    machine: str = ""


def plan(wanted: Wanted, observed: Observed) -> list[Action]:
    """The actions that lead from `observed` to `wanted`.

    What is so already needs none, except that stopping what machines share is always asked for: half of it
    may be left where the whole is not seen.
    """
    if not wanted.exists:
        return list(_destroy(observed))
    return [*_bring_up(wanted, observed), *_bring_down(wanted, observed)]


def stages(actions: Iterable[Action]) -> list[list[Action]]:
    """Consecutive actions of one verb, which may be done side by side."""
    result: list[list[Action]] = []
    for action in actions:
        if result and result[-1][-1].verb is action.verb:
            result[-1].append(action)
        else:
            result.append([action])
    return result


def _bring_up(wanted: Wanted, observed: Observed) -> Iterator[Action]:
    on = [name for name in observed.machines if wanted.power.get(name) is Power.ON]
    missing = [name for name in on if name not in observed.created]
    off = [name for name in on if name not in observed.running]
    if not on:
        return
    if not observed.prepared:
        yield Action(Verb.PREPARE, "the cluster needs its own copy of the release")
    if not observed.server:
        yield Action(Verb.START_SERVER, "machines find each other through it")
    if not observed.token:
        yield Action(Verb.TAKE_TOKEN, "a new cluster needs a token of its own")
    for name in missing:
        yield Action(Verb.CREATE, "it has no disk yet", name)
    if not observed.network:
        yield Action(Verb.START_NETWORK, "machines reach each other over it")
    for name in off:
        yield Action(Verb.POWER_ON, "it is off", name)


def _bring_down(wanted: Wanted, observed: Observed) -> Iterator[Action]:
    off = [name for name in observed.machines if wanted.power.get(name) is Power.OFF]
    for name in off:
        if name in observed.running:
            yield Action(Verb.SHUT_DOWN, "it is on", name)
    if set(off) == set(observed.machines):
        yield from _stop_the_rest("no machine needs it any more")


def _destroy(observed: Observed) -> Iterator[Action]:
    for name in observed.machines:
        if name in observed.running:
            yield Action(Verb.CUT_POWER, "its disk is about to be removed", name)
    yield from _stop_the_rest("the cluster is about to be removed")
    for name in observed.machines:
        yield Action(Verb.REMOVE_MACHINE, "the cluster is about to be removed", name)
    yield Action(Verb.REMOVE_CLUSTER, "nothing of it runs any more")


def _stop_the_rest(reason: str) -> Iterator[Action]:
    for verb in (Verb.STOP_NETWORK, Verb.STOP_SERVER, Verb.END_STRAYS):
        yield Action(verb, reason)

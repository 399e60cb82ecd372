"""The agent's planner: what to do with the units on this machine, and why.

Pure, and safe to stop after any action: each pass looks at what systemd has and decides anew. An action that
takes time (stopping) is only begun; the next pass sees how far it is.

A unit is started once for each time that it is wanted, not whenever it is found stopped: one that ends or
fails is systemd's business (Restart=). What was started is remembered by a mark that survives the daemon,
not a reboot.
"""

from __future__ import annotations

from collections.abc import Mapping

from argosy.formats.fleet import UnitTarget
from argosy.node.fleet.model import Action, Desired, Load, Observed, Remove, Settle, Start, Stop


def plan(desired: Mapping[str, Desired], observed: Mapping[str, Observed]) -> list[Action]:
    """The next actions: for each unit by name, what goes away before what comes."""
    leaving: list[Action] = []
    coming: list[Action] = []
    for name in sorted({*desired, *observed}):
        wanted, seen = desired.get(name), observed.get(name)
        if wanted is not None and wanted.target is UnitTarget.INACTIVE:
            wanted = None
        if seen is not None and wanted is None:
            leaving += _leave(name, seen, "it is no longer scheduled here")
        elif seen is not None and wanted is not None and seen.hash != wanted.hash:
            leaving += _leave(name, seen, "its content has changed")
        elif wanted is not None:
            coming += _come(name, wanted, seen)
    return leaving + coming


def _leave(name: str, seen: Observed, reason: str) -> list[Action]:
    if seen.stopped:
        return [Remove(name, reason)]
    if seen.active == "deactivating":
        return []
    return [Stop(name, reason)]


def _come(name: str, wanted: Desired, seen: Observed | None) -> list[Action]:
    launch = wanted.target is UnitTarget.LAUNCHED
    if seen is None or seen.load == "not-found":
        # Without a file, or with one that systemd was not told of: the daemon died in between.
        load: list[Action] = [Load(name, "it is scheduled here")]
        return [*load, Start(name, "it is to be launched")] if launch else load
    if launch:
        return [] if seen.mark is UnitTarget.LAUNCHED else [Start(name, "it is to be launched")]
    if seen.mark is None or seen.active == "deactivating":
        return []
    if seen.stopped:
        return [Settle(name, "it has stopped")]
    return [Stop(name, "it is to be loaded, not launched")]


def farewell(observed: Mapping[str, Observed]) -> list[Action]:
    """What to do when this machine leaves the cluster: the next actions until nothing is left."""
    actions: list[Action] = []
    for name in sorted(observed):
        actions += _leave(name, observed[name], "this machine leaves the cluster")
    return actions

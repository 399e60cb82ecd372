"""What locksmithd remembers of each look: since when it has been so. Pure.

Times are on the clock of this boot. It knows no jumps: what has to last for a while is counted on it, not on
the times that other machines wrote down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from argosy.formats.rebootlock import Holding
from argosy.node.locksmith.model import Memory, Observed
from argosy.node.locksmith.plan import lacks
from argosy.node.locksmith.rule import gone


def after_look(seen: Observed) -> Memory:
    """The memory when this was seen."""
    before = seen.memory
    is_away = seen.settings is not None and seen.locks is None
    is_well = seen.locks is not None and bool(seen.locks.held_by(seen.machine_id)) and not lacks(seen)
    return replace(
        before,
        away_since_s=_since(before.away_since_s, seen.up_s) if is_away else None,
        well_since_s=_since(before.well_since_s, seen.up_s) if is_well else None,
        gone_since_s=_gone_since_s(seen),
    )


def _since(before_s: float | None, now_s: float) -> float:
    return now_s if before_s is None else before_s


def _gone_since_s(seen: Observed) -> Mapping[str, float]:
    """Since when each holder of our group's lock has not been seen; nobody is while etcd is away."""
    settings, before = seen.settings, seen.memory.gone_since_s
    if settings is None or settings.stale_after_s is None or seen.locks is None:
        return {}
    semaphore = seen.locks.of(settings.access.group)
    return {
        holder: before.get(holder, seen.up_s)
        for holder in semaphore.ids
        if gone(seen.cluster, holder, semaphore.holding.get(holder, Holding()))
    }

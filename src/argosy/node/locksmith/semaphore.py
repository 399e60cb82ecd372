"""Changes of the semaphore: pure, with the original's refusals in its words."""

from __future__ import annotations

from argosy.base.errors import ArgosyError
from argosy.formats.rebootlock import Holding, Semaphore


class FullError(ArgosyError):
    """No lock is left."""


class HolderExistsError(ArgosyError):
    """It holds the lock already."""


class NoHolderError(ArgosyError):
    """It does not hold the lock."""


def with_holder(semaphore: Semaphore, holder: str, holding: Holding) -> Semaphore:
    """With a lock for `holder`. Raises `FullError` (to one that holds it, too) or `HolderExistsError`."""
    if semaphore.semaphore <= 0:
        raise FullError(f"semaphore is at {semaphore.semaphore}")
    if holder in semaphore.ids:
        raise HolderExistsError("holder exists")
    return Semaphore(
        semaphore.semaphore - 1,
        semaphore.max,
        tuple(sorted((*semaphore.ids, holder))),
        {**_known(semaphore), holder: holding},
        semaphore.released_s,
    )


def without_holder(semaphore: Semaphore, holder: str, now_s: int) -> Semaphore:
    """The semaphore after `holder` gave its lock back. Raises `NoHolderError`."""
    if holder not in semaphore.ids:
        raise NoHolderError("holder does not exist")
    return Semaphore(
        semaphore.semaphore + 1,
        semaphore.max,
        tuple(each for each in semaphore.ids if each != holder),
        {each: known for each, known in _known(semaphore).items() if each != holder},
        now_s,
    )


def with_max(semaphore: Semaphore, most: int) -> Semaphore:
    """The semaphore for at most `most` holders; those that hold keep their locks."""
    return Semaphore(
        semaphore.semaphore + most - semaphore.max,
        most,
        semaphore.ids,
        _known(semaphore),
        semaphore.released_s,
    )


def _known(semaphore: Semaphore) -> dict[str, Holding]:
    """What is known of those that hold: the original leaves behind what it does not know."""
    return {each: known for each, known in semaphore.holding.items() if each in semaphore.ids}

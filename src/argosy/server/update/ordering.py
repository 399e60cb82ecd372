"""The order of versions, ours and those of stock machines, which are more varied."""

from __future__ import annotations

import functools
import re

_NUMBERS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})*")


@functools.lru_cache(maxsize=4096)
def order(version: str) -> tuple[int, ...]:
    """What to sort by: the numbers that a version begins with.

    `3850.0.0+nightly` sorts as `3850.0.0`. What is no version, such as the `ForcedUpdate` of a machine that
    wants an update in any case, sorts before every version.
    """
    match = _NUMBERS.match(version)
    return tuple(int(number) for number in match[0].split(".")) if match else ()

"""How long work tells a person what it is doing, without knowing who listens.

Rooms take a `Progress`; the front door passes one that draws on a terminal, tests pass `Silent()`.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Step(Protocol):
    """One step under way."""

    def note(self, text: str) -> None:
        """Show a short text behind the step's title, in place of the last one."""

    def advance(self, amount: int) -> None:
        """`amount` more of the step's total is done (bytes, machines: what the total counts)."""


class Progress(Protocol):
    """Where steps are shown. Steps may nest and may run side by side."""

    def step(self, title: str, *, total: int | None = None) -> AbstractContextManager[Step]:
        """A step for as long as the block runs. A `total` that is known gives a bar."""


class _SilentStep:
    def note(self, text: str) -> None:
        pass

    def advance(self, amount: int) -> None:
        pass


class Silent:
    """Shows nothing."""

    def step(self, title: str, *, total: int | None = None) -> AbstractContextManager[Step]:
        return nullcontext(_SilentStep())

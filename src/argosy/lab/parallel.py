"""Something done for several machines at once, in threads: most of it is waiting."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_parallel(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """`work` for each item; the results in the items' order. If some fail, the first one's error is raised.

    The others are not waited for then, nor on Ctrl-C: the threads end with the command.
    """
    outcomes = [_Outcome(work, item) for item in items]
    for outcome in outcomes:
        threading.Thread(target=outcome.run, daemon=True).start()
    remaining = list(outcomes)
    while remaining:
        for outcome in remaining:
            if outcome.error:
                raise outcome.error
        remaining = [outcome for outcome in remaining if not outcome.done.wait(0.05)]
    for outcome in outcomes:
        if outcome.error:
            raise outcome.error
    return [outcome.results[0] for outcome in outcomes]


class _Outcome(Generic[Item, Result]):
    """One item's work, done or to be done."""

    def __init__(self, work: Callable[[Item], Result], item: Item) -> None:
        self._work = work
        self._item = item
        self.results: list[Result] = []
        self.error: BaseException | None = None
        self.done = threading.Event()

    def run(self) -> None:
        try:
            self.results.append(self._work(self._item))
        except BaseException as error:
            self.error = error
        finally:
            self.done.set()

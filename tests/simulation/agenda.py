"""Time that goes from event to event, in seconds since the beginning; and chance, from one seed."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from itertools import count

Act = Callable[[], None]

_MOST_AT_ONCE = 20_000


class Agenda:
    """What is to happen, and when. Of events at the same time, what was planned first comes first."""

    def __init__(self, seed: int) -> None:
        self.now_s = 0.0
        self.random = random.Random(seed)
        self._heap: list[tuple[float, int, Act]] = []
        self._number = count()

    def at(self, at_s: float, act: Act) -> None:
        """Have `act` happen at a time, or now if that is over."""
        heapq.heappush(self._heap, (max(at_s, self.now_s), next(self._number), act))

    def after(self, in_s: float, act: Act) -> None:
        """Have `act` happen in so many seconds."""
        self.at(self.now_s + in_s, act)

    def happens(self, probability: float) -> bool:
        """Whether something of this probability happens."""
        return probability > 0 and self.random.random() < probability

    def between(self, least: float, most: float) -> float:
        """A number between the two."""
        return self.random.uniform(least, most)

    def every(self, mean_s: float, act: Act) -> None:
        """Have `act` happen again and again, at random, every `mean_s` on average."""

        def happen() -> None:
            act()
            self.after(self.random.expovariate(1 / mean_s), happen)

        self.after(self.random.expovariate(1 / mean_s), happen)

    def run(self, until_s: float, done: Callable[[], bool]) -> None:
        """Until `done`, or the time is over. Raises `AssertionError` if time stands still."""
        at_once = 0
        while self._heap and not done():
            at_s, _, act = heapq.heappop(self._heap)
            if at_s > until_s:
                self.now_s = until_s
                return
            at_once = at_once + 1 if at_s == self.now_s else 0
            assert at_once < _MOST_AT_ONCE, f"time stands still at {at_s:.0f} s: something spins"
            self.now_s = at_s
            act()

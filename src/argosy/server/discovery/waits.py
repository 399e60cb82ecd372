"""Long polls: who waits for what, in memory, woken by events as they happen.

Used from one event loop. An event is published after it is committed, in the order of the indexes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterator

from argosy.server.discovery.model import Event, Limits, Wait
from argosy.server.discovery.protocol import concerns


class TooManyWaitsError(Exception):
    """The limit of waits held at a time is reached."""


class Ticket:
    """A place among those who wait."""

    def __init__(self, wait: Wait) -> None:
        self.wait = wait
        self._event: asyncio.Future[Event | None] = asyncio.get_running_loop().create_future()

    def offer(self, event: Event | None) -> None:
        """Give the event to the one who waits, if it is what it waits for. None: there will be none."""
        if not self._event.done() and (event is None or concerns(event, self.wait)):
            self._event.set_result(event)

    async def event(self, timeout_s: float) -> Event | None:
        """The first event since the ticket was taken; None after `timeout_s` or if the server ends."""
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(asyncio.shield(self._event), timeout_s)
        return None


class Waits:
    """All tickets."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._tickets: defaultdict[str, set[Ticket]] = defaultdict(set)
        self._closed = False
        self.count = 0

    @contextlib.contextmanager
    def ticket(self, token: str, wait: Wait) -> Iterator[Ticket]:
        """Wait from now on. Raises `TooManyWaitsError`."""
        if (
            self.count >= self._limits.waits
            or len(self._tickets.get(token, ())) >= self._limits.waits_per_cluster
        ):
            raise TooManyWaitsError
        ticket = Ticket(wait)
        if self._closed:
            ticket.offer(None)
        self._tickets[token].add(ticket)
        self.count += 1
        try:
            yield ticket
        finally:
            self.count -= 1
            self._tickets[token].discard(ticket)
            if not self._tickets[token]:
                del self._tickets[token]

    def publish(self, token: str, event: Event) -> None:
        """Wake those who wait for `event`."""
        for ticket in self._tickets.get(token, ()):
            ticket.offer(event)

    def close(self) -> None:
        """End every wait, and those to come, at once."""
        self._closed = True
        for tickets in self._tickets.values():
            for ticket in tickets:
                ticket.offer(None)

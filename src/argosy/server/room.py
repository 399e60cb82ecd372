"""What the server asks of each of its rooms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from starlette.routing import BaseRoute, Route


class Room(Protocol):
    """A part of the server with its own addresses and tables; all share one process and one database."""

    def routes(self) -> Sequence[BaseRoute]:
        """The addresses that it answers."""

    async def measure(self) -> None:
        """Bring gauges up to date that are not counted as things happen; called before each `/metrics`."""

    def stop(self) -> None:
        """The server is about to end: let go of every request that waits for something."""


def exact_route(route: Route) -> Route:
    """`route` for its own methods only: Starlette would add HEAD to GET, and a HEAD must not do things."""
    assert route.methods is not None
    route.methods.discard("HEAD")
    return route

"""Those who wait: woken by their events only, within the limits, and let go at the end."""

from __future__ import annotations

import asyncio

import pytest

from argosy.server.discovery.model import Action, Event, Limits, Wait
from argosy.server.discovery.waits import TooManyWaitsError, Waits

EVENT = Event(7, Action.CREATE, "a", "x", 7)
LATER = Event(8, Action.SET, "a", "y", 8)


def test_the_first_event_that_fits_is_the_answer() -> None:
    async def scenario() -> Event | None:
        waits = Waits(Limits())
        with waits.ticket("one", Wait("a", False, None)) as ticket:
            waits.publish("two", EVENT)
            waits.publish("one", Event(6, Action.CREATE, "b", "x", 6))
            waits.publish("one", EVENT)
            waits.publish("one", LATER)
            return await ticket.event(5)

    assert asyncio.run(scenario()) == EVENT


def test_nothing_comes_in_time() -> None:
    async def scenario() -> Event | None:
        waits = Waits(Limits())
        with waits.ticket("one", Wait("a", False, 8)) as ticket:
            waits.publish("one", EVENT)
            return await ticket.event(0.01)

    assert asyncio.run(scenario()) is None


@pytest.mark.parametrize("limits", [Limits(waits=2), Limits(waits_per_cluster=2)])
def test_limits(limits: Limits) -> None:
    async def scenario() -> None:
        waits, wait = Waits(limits), Wait("", True, None)
        with waits.ticket("one", wait):
            with waits.ticket("one", wait):
                assert waits.count == 2
                with pytest.raises(TooManyWaitsError), waits.ticket("one", wait):
                    pass
            with waits.ticket("one", wait):
                pass
        assert waits.count == 0

    asyncio.run(scenario())


def test_the_end_lets_all_go_and_those_who_come_later() -> None:
    async def scenario() -> list[Event | None]:
        waits, wait = Waits(Limits()), Wait("", True, None)
        with waits.ticket("one", wait) as before:
            waits.close()
            with waits.ticket("one", wait) as after:
                return [await before.event(5), await after.event(5)]

    assert asyncio.run(scenario()) == [None, None]

"""The edge: what fleet knows of machines and of the units due on this one, and moving them elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import quote

import msgspec

from argosy.base.address import parse_address
from argosy.base.errors import ArgosyError
from argosy.base.http import Client
from argosy.formats.fleet import MachinePage, StatePage, UnitEntity, UnitPage, UnitStateEntity
from argosy.node.locksmith.model import Drained

SOCKET = Path("/run/fleet.sock")
_TIMEOUT_S = 10.0
_WORKS = ("active", "reloading")

Page = TypeVar("Page", MachinePage, StatePage, UnitPage)


class Drainer(Protocol):
    """Moves this machine's units elsewhere before it goes down."""

    async def drain(self, *, last: bool) -> Drained:
        """Go on with it; `last` if no more time is given."""

    async def undo(self) -> None:
        """The machine stays: it takes units again."""


class FleetApi:
    """Questions to fleet over its socket."""

    def __init__(self, machine_id: str, path: Path = SOCKET) -> None:
        self._machine_id = machine_id
        self._address = parse_address(f"unix://{path}")

    async def machines(self) -> frozenset[str]:
        """The machines that fleet hears of. Raises `ArgosyError`."""
        pages = await self._pages("/fleet/v1/machines", "", MachinePage)
        return frozenset(machine.id for page in pages for machine in page.machines)

    async def idle_units(self) -> tuple[str, ...]:
        """The units due on this machine that do not run, each with systemd's word. Raises `ArgosyError`."""
        states = await self._states()
        units = [unit for page in await self._pages("/fleet/v1/units", "", UnitPage) for unit in page.units]
        return idle(units, states, self._machine_id)

    async def running_units(self) -> tuple[str, ...]:
        """The names of the units that run on this machine. Raises `ArgosyError`."""
        states = await self._states()
        return tuple(name for name, state in sorted(states.items()) if state.active_state in _WORKS)

    async def _states(self) -> dict[str, UnitStateEntity]:
        pages = await self._pages("/fleet/v1/state", f"machineID={quote(self._machine_id)}", StatePage)
        return {state.name: state for page in pages for state in page.states}

    async def _pages(self, path: str, query: str, kind: type[Page]) -> list[Page]:
        client = Client(self._address, timeout_s=_TIMEOUT_S)
        pages: list[Page] = []
        token = ""
        try:
            while True:
                words = "&".join(word for word in (query, token and f"nextPageToken={quote(token)}") if word)
                answer = await client.request("GET", f"{path}?{words}")
                if answer.status != 200:
                    raise ArgosyError(f"fleet answered {answer.status} to {path}")
                pages.append(msgspec.json.decode(answer.body, type=kind))
                token = pages[-1].next_page_token
                if not token:
                    return pages
        except msgspec.DecodeError as error:
            raise ArgosyError(f"fleet's answer to {path} cannot be understood: {error}") from error
        finally:
            client.close()


class FleetDrainer:
    """fleet moves a machine's units when the machine leaves, not before: this names those that will."""

    def __init__(self, api: FleetApi) -> None:
        self._api = api

    async def drain(self, *, last: bool) -> Drained:
        """Never takes long: fleet has no request for it."""
        try:
            units = await self._api.running_units()
        except ArgosyError as error:
            return Drained(True, f"fleet does not say what runs here, so nothing is moved ahead: {error}")
        if not units:
            return Drained(True, "no fleet unit runs here")
        return Drained(
            True, f"fleet moves units only when their machine leaves; these stop with it: {', '.join(units)}"
        )

    async def undo(self) -> None:
        """Nothing was moved."""


def idle(units: list[UnitEntity], states: dict[str, UnitStateEntity], machine_id: str) -> tuple[str, ...]:
    """The units due on a machine that do not run. One that runs once is as it should be when it has ended."""
    found = []
    for unit in units:
        state = states.get(unit.name)
        here = unit.machine_id == machine_id or (not unit.machine_id and state is not None)
        if unit.desired_state != "launched" or not here:
            continue
        word = state.active_state if state else "unknown"
        if word not in _WORKS and not (word == "inactive" and _runs_once(unit)):
            found.append(f"{unit.name} ({word})")
    return tuple(found)


def _runs_once(unit: UnitEntity) -> bool:
    return any(
        option.section == "Service" and option.name == "Type" and option.value == "oneshot"
        for option in unit.options
    )

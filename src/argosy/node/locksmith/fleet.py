"""The edge: what fleet knows of machines and of the units due on this one, and moving them elsewhere."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import quote

import msgspec

from argosy.base.address import parse_address
from argosy.base.decode import decode_json, encode_json
from argosy.base.errors import ArgosyError
from argosy.base.http import Client
from argosy.formats.cordon import CordonEntity, Leaving, MachineStanding, Step
from argosy.formats.fleet import ErrorReply, MachinePage, StatePage, UnitEntity, UnitPage, UnitStateEntity
from argosy.node.locksmith.model import Drained

SOCKET = Path("/run/fleet.sock")
_TIMEOUT_S = 10.0
_WORKS = ("active", "reloading")
_BY = "locksmith"

SILENCE_S = 60.0
"""How long fleet may say nothing, or that etcd is away, before the machine goes down without a drain."""

Page = TypeVar("Page", MachinePage, StatePage, UnitPage)


class Drainer(Protocol):
    """Moves this machine's units elsewhere before it goes down."""

    async def drain(self, *, last: bool) -> Drained:
        """Begin it, or go on with it; `last` if no more time is given."""

    async def undo(self) -> None:
        """The machine stays: it takes units again. Raises `ArgosyError`."""


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

    async def drain(self, boot_id: str) -> list[Leaving]:
        """Have this machine drained, in this boot; the units that still run here. Raises `ArgosyError`."""
        wanted = CordonEntity(drain=True, reason="it is about to reboot", boot=boot_id)
        body = await self._ask("PUT", self._cordon, encode_json(wanted))
        return decode_json(body, MachineStanding, source="fleet's answer").leaving

    async def undo_drain(self) -> None:
        """Have this machine take units again; one that fleet does not know does. Raises `ArgosyError`."""
        await self._ask("DELETE", self._cordon, unknown_is_fine=True)

    @property
    def _cordon(self) -> str:
        return f"/argosy/v1/machines/{quote(self._machine_id)}/cordons/{_BY}"

    async def _ask(
        self, method: str, path: str, body: bytes = b"", *, unknown_is_fine: bool = False
    ) -> bytes:
        client = Client(self._address, timeout_s=_TIMEOUT_S)
        try:
            answer = await client.request(method, path, body=body)
        finally:
            client.close()
        if answer.status >= 300 and not (unknown_is_fine and answer.status == 404):
            raise ArgosyError(_refusal(answer.status, answer.body))
        return answer.body

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
    """Has fleet move this machine's units. The cordon is for this boot: after the reboot it holds no more.

    `runs` says whether fleet runs here; one that does not is not started for the question. `clock` gives the
    seconds of a clock that only goes forward.
    """

    def __init__(
        self,
        api: FleetApi,
        boot_id: str,
        runs: Callable[[], Awaitable[bool]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._boot_id = boot_id
        self._runs = runs
        self._clock = clock
        self._silent_since_s: float | None = None

    async def drain(self, *, last: bool) -> Drained:
        """Ask for it, again and again: fleet is asked only once, and says how far it is."""
        if not await self._runs():
            return Drained(True, "fleet does not run here: there are no units to move")
        try:
            left = await self._api.drain(self._boot_id)
        except ArgosyError as error:
            now_s = self._clock()
            if self._silent_since_s is None:
                self._silent_since_s = now_s
            hopeless = now_s - self._silent_since_s >= SILENCE_S
            return Drained(last or hopeless, f"fleet cannot move this machine's units: {error}")
        self._silent_since_s = None
        return drained(left, last=last)

    async def undo(self) -> None:
        """The machine stays: it takes units again. Raises `ArgosyError`."""
        if await self._runs():
            await self._api.undo_drain()


def drained(left: Sequence[Leaving], *, last: bool) -> Drained:
    """How far a drain is, in words, from the units that still run here."""
    staying = [f"{unit.unit} ({unit.reason})" for unit in left if unit.step is Step.STAYS]
    going = [f"{unit.unit} ({unit.reason})" for unit in left if unit.step is not Step.STAYS]
    sentences = []
    if going:
        waiting = (
            "the time to move them is over (REBOOT_DRAIN_TIMEOUT)"
            if last
            else "waiting until they have moved"
        )
        sentences.append(f"{waiting}: {', '.join(going)}")
    if staying:
        sentences.append(f"they cannot run elsewhere, and stop with this machine: {', '.join(staying)}")
    return Drained(last or not going, "; ".join(sentences) or "no fleet unit runs here that could move")


def _refusal(status: int, body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=ErrorReply).error.message or f"fleet answered {status}"
    except msgspec.DecodeError:
        return f"fleet answered {status}"


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

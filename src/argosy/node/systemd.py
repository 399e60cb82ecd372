"""systemd over D-Bus: states of units, starting and stopping them, unit files, and word of changes.

Interface: org.freedesktop.systemd1(5). Unit files here are linked for the time until the next boot (runtime).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from argosy.base.errors import ArgosyError

log = logging.getLogger(__name__)

_NAME = "org.freedesktop.systemd1"
_PATH = "/org/freedesktop/systemd1"
_MANAGER = f"{_NAME}.Manager"
_PROPERTIES = "org.freedesktop.DBus.Properties"
_TIMEOUT_S = 30.0


class SystemdError(ArgosyError):
    """systemd refused, or did not answer."""


class RefusedError(SystemdError):
    """systemd refused; the message is its own."""


@dataclass(frozen=True, slots=True)
class UnitStatus:
    """A unit's load, active and sub state, in systemd's words."""

    load: str
    active: str
    sub: str


class Systemd(Protocol):
    """What we ask of systemd. Starting and stopping is begun, not waited for."""

    async def states(self, names: Sequence[str]) -> dict[str, UnitStatus]:
        """How these units are."""

    async def link(self, paths: Sequence[Path]) -> None:
        """Make unit files known that lie outside of systemd's folders."""

    async def enable(self, path: Path) -> None:
        """Do what the file's [Install] says."""

    async def disable(self, names: Sequence[str]) -> None:
        """Undo `link` and `enable`."""

    async def reload(self) -> None:
        """Read all unit files again."""

    async def start(self, name: str) -> None:
        """Begin to start a unit."""

    async def stop(self, name: str) -> None:
        """Begin to stop a unit."""

    async def reset_failed(self, name: str) -> None:
        """Forget that a unit has failed."""

    async def is_stopping_for_good(self, name: str) -> bool:
        """Whether this unit is being stopped, and neither restarted nor ended without systemd's doing."""


def unit_path(name: str) -> str:
    """A unit's D-Bus object: what is no letter or digit is written as _xx, as is a leading digit."""
    escaped = "".join(
        chr(byte)
        if chr(byte).isalnum() and byte < 128 and (index or not chr(byte).isdigit())
        else f"_{byte:02x}"
        for index, byte in enumerate(name.encode())
    )
    return f"{_PATH}/unit/{escaped}"


class SystemBus:
    """`Systemd` over the system bus. Connects on first use, and again after the bus went away."""

    def __init__(self, on_change: Callable[[str], None] | None = None, *, address: str | None = None) -> None:
        """`on_change` is called with the D-Bus path of each unit whose state changes."""
        self._on_change = on_change
        self._address = address
        self._bus: Any = None

    async def states(self, names: Sequence[str]) -> dict[str, UnitStatus]:
        """How these units are, in one question."""
        if not names:
            return {}
        (rows,) = await self._manager("ListUnitsByNames", "as", [list(names)])
        return {row[0]: UnitStatus(row[2], row[3], row[4]) for row in rows}

    async def link(self, paths: Sequence[Path]) -> None:
        """Link them for the time until the next boot."""
        await self._manager("LinkUnitFiles", "asbb", [[str(path) for path in paths], True, True])

    async def enable(self, path: Path) -> None:
        """Enable it for the time until the next boot."""
        await self._manager("EnableUnitFiles", "asbb", [[str(path)], True, True])

    async def disable(self, names: Sequence[str]) -> None:
        """Remove all links under /run to these units."""
        await self._manager("DisableUnitFiles", "asb", [list(names), True])

    async def reload(self) -> None:
        """The same as `systemctl daemon-reload`."""
        await self._manager("Reload", "", [])

    async def start(self, name: str) -> None:
        """Queue a job in place of what is queued."""
        await self._manager("StartUnit", "ss", [name, "replace"])

    async def stop(self, name: str) -> None:
        """Queue a job in place of what is queued."""
        await self._manager("StopUnit", "ss", [name, "replace"])

    async def reset_failed(self, name: str) -> None:
        """The same as `systemctl reset-failed`."""
        await self._manager("ResetFailedUnit", "s", [name])

    async def is_stopping_for_good(self, name: str) -> bool:
        """Asks for the system's state and the unit's job."""
        if await self.is_going_down():
            return True
        number, path = await self._property(unit_path(name), f"{_NAME}.Unit", "Job")
        return bool(number) and await self._property(path, f"{_NAME}.Job", "JobType") == "stop"

    async def is_going_down(self) -> bool:
        """Whether the machine is being stopped. Raises `SystemdError`."""
        return bool(await self._property(_PATH, _MANAGER, "SystemState") == "stopping")

    async def close(self) -> None:
        """Leave the bus."""
        if self._bus is not None:
            self._bus.disconnect()
            self._bus = None

    async def _property(self, path: str, interface: str, name: str) -> Any:
        (variant,) = await self._call(path, _PROPERTIES, "Get", "ss", [interface, name])
        return variant.value

    async def _manager(self, member: str, signature: str, body: list[Any]) -> list[Any]:
        return await self._call(_PATH, _MANAGER, member, signature, body)

    async def _call(
        self,
        path: str,
        interface: str,
        member: str,
        signature: str,
        body: list[Any],
        *,
        destination: str = _NAME,
    ) -> list[Any]:
        from dbus_fast.constants import MessageType
        from dbus_fast.message import Message

        bus = await self._connected()
        message = Message(
            destination=destination,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=body,
        )
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                reply = await bus.call(message)
        except TimeoutError as error:
            raise SystemdError(f"systemd did not answer {member} within {_TIMEOUT_S:g} s") from error
        except (EOFError, OSError) as error:
            self._bus = None
            raise SystemdError(f"the system bus is gone: {error}") from error
        if reply.message_type is MessageType.ERROR:
            raise RefusedError(str(reply.body[0]) if reply.body else f"{member}: {reply.error_name}")
        return list(reply.body)

    async def _connected(self) -> Any:
        if self._bus is not None and self._bus.connected:
            return self._bus
        from dbus_fast.aio.message_bus import MessageBus
        from dbus_fast.constants import BusType

        try:
            bus = MessageBus(bus_address=self._address, bus_type=BusType.SYSTEM)
            async with asyncio.timeout(_TIMEOUT_S):
                self._bus = await bus.connect()
        except (OSError, EOFError, TimeoutError) as error:
            raise SystemdError(f"cannot connect to the system bus: {error}") from error
        if self._on_change is not None:
            await self._listen(self._on_change)
        return self._bus

    async def _listen(self, on_change: Callable[[str], None]) -> None:
        def handle(message: Any) -> None:
            if message.member == "PropertiesChanged" and message.path:
                on_change(message.path)

        self._bus.add_message_handler(handle)
        rule = f"type='signal',sender='{_NAME}',interface='{_PROPERTIES}',path_namespace='{_PATH}/unit'"
        await self._call(
            "/org/freedesktop/DBus",
            "org.freedesktop.DBus",
            "AddMatch",
            "s",
            [rule],
            destination="org.freedesktop.DBus",
        )
        await self._manager("Subscribe", "", [])


def paths_of(names: Iterable[str]) -> set[str]:
    """The D-Bus paths of units."""
    return {unit_path(name) for name in names}

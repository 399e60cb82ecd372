"""The edge: asking the engine over D-Bus, and changing this machine's settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from argosy.base.decode import decode_json
from argosy.base.errors import ArgosyError
from argosy.base.files import replace_file
from argosy.node.update.dbus import MANAGER, NAME, OURS, PATH
from argosy.node.update.model import Operation, Status, Why
from argosy.node.updateconf import with_value

_TIMEOUT_S = 60.0


class ClientError(ArgosyError):
    """The engine did not answer, or refused."""


class EngineClient:
    """Calls to the engine over one connection."""

    def __init__(self, bus: Any) -> None:
        self._bus = bus

    async def status(self) -> Status:
        """What it does."""
        return _status(await self._call(MANAGER, "GetStatus"))

    async def attempt(self, *, retry: bool = False) -> None:
        """Have it check and update now; with `retry` also to what failed here before."""
        await (self._call(OURS, "RetryUpdate") if retry else self._call(MANAGER, "AttemptUpdate"))

    async def reset(self) -> None:
        """Have it forget failures, and an update that waits for the reboot."""
        await self._call(MANAGER, "ResetStatus")

    async def why(self) -> Why:
        """Why there is no update."""
        (text,) = await self._call(OURS, "Why")
        return decode_json(text, Why, source=NAME)

    async def watch(self, on_status: Callable[[Status], None]) -> None:
        """Call `on_status` for every signal, until the bus goes away."""
        from dbus_fast.constants import MessageType

        def handle(message: Any) -> None:
            if message.message_type is MessageType.SIGNAL and message.member == "StatusUpdate":
                on_status(_status(message.body))

        self._bus.add_message_handler(handle)
        rule = f"type='signal',interface='{MANAGER}',path='{PATH}'"
        await self._call(
            "org.freedesktop.DBus",
            "AddMatch",
            [rule],
            destination="org.freedesktop.DBus",
            path="/org/freedesktop/DBus",
        )
        await self._bus.wait_for_disconnect()

    def close(self) -> None:
        """Leave the bus."""
        self._bus.disconnect()

    async def _call(
        self,
        interface: str,
        member: str,
        body: list[str] | None = None,
        *,
        destination: str = NAME,
        path: str = PATH,
    ) -> list[Any]:
        import asyncio

        from dbus_fast.constants import MessageType
        from dbus_fast.message import Message

        message = Message(
            destination=destination,
            path=path,
            interface=interface,
            member=member,
            signature="s" * len(body or []),
            body=body or [],
        )
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                reply = await self._bus.call(message)
        except (TimeoutError, EOFError, OSError) as error:
            raise ClientError(
                f"the update engine does not answer: {error or type(error).__name__}"
            ) from error
        if reply.message_type is MessageType.ERROR:
            reason = reply.body[0] if reply.body else reply.error_name
            raise ClientError(
                f"the update engine refused {member}: {reason}",
                hint="is it running? `systemctl status update-engine`",
            )
        return list(reply.body)


async def connect(address: str | None = None) -> EngineClient:
    """A connection to the engine on the system bus, or on the bus at `address`. Raises `ClientError`."""
    from dbus_fast.aio.message_bus import MessageBus
    from dbus_fast.constants import BusType

    try:
        return EngineClient(await MessageBus(bus_address=address, bus_type=BusType.SYSTEM).connect())
    except Exception as error:  # dbus-fast raises whatever its transport does
        raise ClientError(f"the system bus cannot be reached: {error or type(error).__name__}") from error


def set_value(path: Path, key: str, value: str) -> None:
    """Set a key of a file of settings, or with an empty value take it away. Raises `ClientError`."""
    try:
        text = path.read_text() if path.exists() else ""
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, with_value(text, key, value).encode())
    except PermissionError as error:
        raise ClientError(f"{path} is root's to change", hint="put `sudo` before the command") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ClientError(f"{path} cannot be changed: {error}") from error


def _status(body: list[Any]) -> Status:
    checked_at_s, progress, operation, version, size_bytes = body
    return Status(checked_at_s, progress, Operation(operation), version, size_bytes)

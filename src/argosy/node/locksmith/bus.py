"""The edge: the system bus. The update engine's status and signal, systemd's words, and the reboot."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from typing import Any

from argosy.base.errors import ArgosyError
from argosy.base.run import CommandError, run
from argosy.node.systemd import RefusedError, SystemBus
from argosy.node.update.dbus import MANAGER, NAME, PATH, STATUS_SIGNATURE
from argosy.node.update.model import Operation

log = logging.getLogger(__name__)

SERVICE = "locksmithd.service"
MEMBER = "etcd-member.service"
FLEET = "fleet.service"
_DBUS = "org.freedesktop.DBus"
_TIMEOUT_S = 30.0


class BusError(ArgosyError):
    """The system bus, or who should answer on it, does not."""


class Host:
    """This machine, as its bus shows it. `asked` is called when root sends a signal in the engine's name."""

    def __init__(
        self, wake: Callable[[], None], asked: Callable[[], None], address: str | None = None
    ) -> None:
        self._wake = wake
        self._asked = asked
        self._address = address
        self._systemd = SystemBus(address=address)
        self._bus: Any = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def connect(self) -> None:
        """Join the bus and listen to the engine. Raises `BusError`."""
        self._bus = await connect(self._address)
        self._bus.add_message_handler(self._heard)
        rule = f"type='signal',interface='{MANAGER}',member='StatusUpdate',path='{PATH}'"
        await call(self._bus, _DBUS, "/org/freedesktop/DBus", _DBUS, "AddMatch", [rule])

    async def gone(self) -> None:
        """Wait until the bus goes away."""
        try:
            await self._bus.wait_for_disconnect()
        except Exception as error:  # dbus-fast raises whatever its transport does
            log.debug("the bus: %s", error)

    async def close(self) -> None:
        """Leave the bus."""
        for task in self._tasks:
            task.cancel()
        if self._bus is not None:
            self._bus.disconnect()
        await self._systemd.close()

    async def wanted(self) -> str:
        """Why the engine wants a reboot; empty if it does not, or is not there."""
        try:
            body = await call(self._bus, NAME, PATH, MANAGER, "GetStatus", [])
        except BusError as error:
            log.debug("%s", error)
            return ""
        _, _, operation, version, _ = body
        return f"version {version} is installed" if operation == Operation.NEED_REBOOT else ""

    async def unit_states(self) -> tuple[str, str]:
        """systemd's words for etcd's and fleet's units. Raises `SystemdError`."""
        states = await self._systemd.states([MEMBER, FLEET])
        return tuple(  # type: ignore[return-value]
            states[name].active if name in states else "inactive" for name in (MEMBER, FLEET)
        )

    async def going_down(self) -> bool:
        """Whether the machine, or this service, is being stopped."""
        try:
            return await self._systemd.is_stopping_for_good(SERVICE)
        except RefusedError as error:
            log.debug("systemd does not know %s: %s", SERVICE, error)
            return False

    def reboot(self) -> None:
        """Begin an orderly reboot. Raises `CommandError`."""
        begin_reboot()

    def _heard(self, message: Any) -> None:
        if (message.interface, message.member) != (MANAGER, "StatusUpdate"):
            return
        if message.signature == STATUS_SIGNATURE and message.body[2] == Operation.NEED_REBOOT:
            task = asyncio.get_running_loop().create_task(self._need_reboot(message.sender))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            self._wake()

    async def _need_reboot(self, sender: str) -> None:
        """Whoever is on the bus can send signals; only root's count."""
        try:
            if await self._is_engine(sender):
                self._wake()
                return
            (uid,) = await call(
                self._bus, _DBUS, "/org/freedesktop/DBus", _DBUS, "GetConnectionUnixUser", [sender]
            )
        except BusError as error:
            log.warning("a signal that wants a reboot is not believed: %s", error)
            return
        if uid != 0:
            log.warning("a signal that wants a reboot is not believed: user %d sent it", uid)
            return
        self._asked()
        self._wake()

    async def _is_engine(self, sender: str) -> bool:
        try:
            (owner,) = await call(self._bus, _DBUS, "/org/freedesktop/DBus", _DBUS, "GetNameOwner", [NAME])
        except BusError:
            return False
        return bool(owner == sender)


async def fleet_runs() -> bool:
    """Whether fleet runs on this machine, for whoever is not on the bus."""
    return run(["systemctl", "is-active", "--quiet", FLEET], check=False, timeout_s=30).returncode == 0


def begin_reboot() -> None:
    """Begin an orderly reboot, which may end us at once. Raises `CommandError`."""
    command = ["systemctl", "--no-block", "reboot"]
    done = run(command, check=False, timeout_s=60)
    # The shutdown ends this command like all others of its unit.
    if done.returncode != -signal.SIGTERM and done.returncode != 0:
        message = done.stderr.decode(errors="replace").strip() or f"exit code {done.returncode}"
        raise CommandError(f"the reboot cannot be begun: {message}", completed=done)


async def send_need_reboot(address: str | None = None) -> None:
    """Say in the engine's name that a reboot is needed, as the original's test command does."""
    from dbus_fast.message import Message

    bus = await connect(address)
    body = [0, 0.0, str(Operation.NEED_REBOOT), "", 0]
    await bus.send(Message.new_signal(PATH, MANAGER, "StatusUpdate", signature=STATUS_SIGNATURE, body=body))
    # locksmithd asks the bus who we are: we have to be there still.
    await asyncio.sleep(1)
    bus.disconnect()


async def connect(address: str | None) -> Any:
    """Join the system bus, or the one at `address`. Raises `BusError`."""
    from dbus_fast.aio.message_bus import MessageBus
    from dbus_fast.constants import BusType

    try:
        async with asyncio.timeout(_TIMEOUT_S):
            return await MessageBus(bus_address=address, bus_type=BusType.SYSTEM).connect()
    except Exception as error:  # dbus-fast raises whatever its transport does
        raise BusError(f"the system bus cannot be reached: {error or type(error).__name__}") from error


async def call(
    bus: Any, destination: str, path: str, interface: str, member: str, body: list[str]
) -> list[Any]:
    """Call a method that takes strings; nobody is started for it. Raises `BusError`."""
    from dbus_fast.constants import MessageFlag, MessageType
    from dbus_fast.message import Message

    message = Message(
        destination=destination,
        path=path,
        interface=interface,
        member=member,
        flags=MessageFlag.NO_AUTOSTART,
        signature="s" * len(body),
        body=body,
    )
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            reply = await bus.call(message)
    except (TimeoutError, EOFError, OSError) as error:
        raise BusError(f"{destination} does not answer {member}: {error or type(error).__name__}") from error
    if reply.message_type is MessageType.ERROR:
        raise BusError(f"{destination} refused {member}: {reply.body[0] if reply.body else reply.error_name}")
    return list(reply.body)

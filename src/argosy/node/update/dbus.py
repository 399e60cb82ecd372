"""com.coreos.update1 on the system bus: update_engine's methods and signal, and ours beside them.

`com.coreos.update1.Manager` is what other programs know: AttemptUpdate, ResetStatus, GetStatus, StatusUpdate.
`com.coreos.update1.Argosy` has Why, which answers in JSON, and RetryUpdate, which also takes what failed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from argosy.base.decode import encode_json
from argosy.base.errors import ArgosyError
from argosy.node.update.model import Asked, Status

if TYPE_CHECKING:
    from argosy.node.update.engine import Engine

log = logging.getLogger(__name__)

NAME = "com.coreos.update1"
PATH = "/com/coreos/update1"
MANAGER = f"{NAME}.Manager"
OURS = f"{NAME}.Argosy"
STATUS_SIGNATURE = "xdssx"
REFUSED = f"{NAME}.Error.Refused"

_INTROSPECTION = f"""\
<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"
"http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">
<node>
  <interface name="{MANAGER}">
    <method name="AttemptUpdate"/>
    <method name="ResetStatus"/>
    <method name="GetStatus">
      <arg name="last_checked_time" type="x" direction="out"/>
      <arg name="progress" type="d" direction="out"/>
      <arg name="current_operation" type="s" direction="out"/>
      <arg name="new_version" type="s" direction="out"/>
      <arg name="new_size" type="x" direction="out"/>
    </method>
    <signal name="StatusUpdate">
      <arg name="last_checked_time" type="x"/>
      <arg name="progress" type="d"/>
      <arg name="current_operation" type="s"/>
      <arg name="new_version" type="s"/>
      <arg name="new_size" type="x"/>
    </signal>
  </interface>
  <interface name="{OURS}">
    <method name="RetryUpdate"/>
    <method name="Why"><arg name="json" type="s" direction="out"/></method>
  </interface>
</node>
"""


class DBusError(ArgosyError):
    """The bus is not there, or refuses our name."""


class Face:
    """The engine's face on a bus. `wake` makes the engine look again."""

    def __init__(self, engine: Engine, wake: Callable[[], None]) -> None:
        self._engine = engine
        self._wake = wake
        self._bus: Any = None

    async def connect(self, address: str | None = None) -> None:
        """Take our name on the system bus, or on the one at `address`. Raises `DBusError`."""
        from dbus_fast.aio.message_bus import MessageBus
        from dbus_fast.constants import BusType, RequestNameReply

        try:
            self._bus = await MessageBus(bus_address=address, bus_type=BusType.SYSTEM).connect()
            self._bus.add_message_handler(self._handle)
            reply = await self._bus.request_name(NAME)
        except Exception as error:  # dbus-fast raises whatever its transport does
            raise DBusError(
                f"cannot be reached on the system bus: {error or type(error).__name__}"
            ) from error
        if reply is not RequestNameReply.PRIMARY_OWNER:
            raise DBusError(f"another program has the name {NAME} on the bus")

    async def gone(self) -> None:
        """Wait until the bus goes away."""
        try:
            await self._bus.wait_for_disconnect()
        except Exception as error:  # as above
            log.debug("the bus: %s", error)

    def close(self) -> None:
        """Leave the bus."""
        if self._bus is not None:
            self._bus.disconnect()

    def show(self, status: Status) -> None:
        """Tell all who listen."""
        if self._bus is None or not self._bus.connected:
            return
        from dbus_fast.message import Message

        self._bus.send(
            Message.new_signal(PATH, MANAGER, "StatusUpdate", signature=STATUS_SIGNATURE, body=_body(status))
        )

    def _handle(self, message: Any) -> Any:
        from dbus_fast.constants import MessageType
        from dbus_fast.message import Message

        if message.message_type is not MessageType.METHOD_CALL or message.path != PATH:
            return None
        if (message.interface, message.member) == ("org.freedesktop.DBus.Introspectable", "Introspect"):
            return Message.new_method_return(message, "s", [_INTROSPECTION])
        method = self._methods().get((message.interface or MANAGER, message.member))
        if method is None:
            return None
        try:
            signature, body = method()
        except (ArgosyError, OSError) as error:
            return Message.new_error(message, REFUSED, str(error))
        return Message.new_method_return(message, signature, body)

    def _methods(self) -> dict[tuple[str, str], Callable[[], tuple[str, list[Any]]]]:
        return {
            (MANAGER, "AttemptUpdate"): lambda: self._attempt(Asked()),
            (MANAGER, "ResetStatus"): self._reset,
            (MANAGER, "GetStatus"): lambda: (STATUS_SIGNATURE, _body(self._engine.status)),
            (OURS, "RetryUpdate"): lambda: self._attempt(Asked(retry=True)),
            (OURS, "Why"): self._why,
        }

    def _attempt(self, asked: Asked) -> tuple[str, list[Any]]:
        self._engine.ask(asked)
        self._wake()
        return "", []

    def _reset(self) -> tuple[str, list[Any]]:
        self._engine.reset()
        self._wake()
        return "", []

    def _why(self) -> tuple[str, list[Any]]:
        answer = encode_json(self._engine.why()).decode()
        # Whoever asks may have changed something: the settings, a slot.
        self._wake()
        return "s", [answer]


def _body(status: Status) -> list[Any]:
    return [
        status.checked_at_s,
        status.progress,
        str(status.operation),
        status.version,
        status.size_bytes,
    ]

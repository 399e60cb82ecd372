"""A client of fleet's API for a command line: one request at a time, over a unix socket, TCP or a tunnel.

Blocking, without asyncio: `fleetctl` starts often, and starting is most of what it costs.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from urllib.parse import quote

import h11
import msgspec

from argosy.base.address import Address, TlsFiles, client_context
from argosy.base.errors import ArgosyError
from argosy.formats.cordon import CordonEntity, MachineStanding, StandingList
from argosy.formats.fleet import (
    ErrorReply,
    Explanation,
    MachineEntity,
    MachinePage,
    StatePage,
    UnitEntity,
    UnitPage,
    UnitStateEntity,
)

T = TypeVar("T")

_READ_BYTES = 65536
_BASE = "/fleet/v1"
_OWN_BASE = "/argosy/v1"

Connect = Callable[[], socket.socket]


class ApiError(ArgosyError):
    """The API refused a request; `status` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _BrokenError(ArgosyError):
    """The connection broke."""


def connector(address: Address, *, timeout_s: float, tls: TlsFiles) -> Connect:
    """How to connect to a fleetd at `address`."""

    def connect() -> socket.socket:
        try:
            if address.path is not None:
                channel = socket.socket(socket.AF_UNIX)
                channel.settimeout(timeout_s)
                channel.connect(address.path)
            else:
                channel = socket.create_connection((address.host, address.port), timeout_s)
        except OSError as error:
            raise ArgosyError(
                f"cannot connect to fleet at {address}: {error.strerror or error}",
                hint="on a machine of the cluster: `systemctl status fleet`; from elsewhere: use --tunnel",
            ) from error
        if address.tls:
            return client_context(tls).wrap_socket(channel, server_hostname=address.host)
        return channel

    return connect


class FleetClient:
    """Requests to one fleetd."""

    def __init__(self, connect: Connect, *, timeout_s: float, first_timeout_s: float | None = None) -> None:
        self._connect = connect
        self._timeout_s = timeout_s
        self._first_timeout_s = first_timeout_s or timeout_s
        self._channel: socket.socket | None = None
        self._machine = h11.Connection(h11.CLIENT)

    def units(self) -> list[UnitEntity]:
        """All submitted units."""
        return [unit for page in self._pages("units", UnitPage) for unit in page.units]

    def unit(self, name: str) -> UnitEntity | None:
        """One unit."""
        return self._maybe(f"units/{quote(name)}", UnitEntity)

    def put_unit(self, unit: UnitEntity) -> None:
        """Submit a unit, or change its content or desired state."""
        self._request("PUT", f"units/{quote(unit.name)}", msgspec.json.encode(unit))

    def delete_unit(self, name: str) -> None:
        """Destroy a unit."""
        self._request("DELETE", f"units/{quote(name)}")

    def machines(self) -> list[MachineEntity]:
        """The machines that are in the cluster."""
        return [machine for page in self._pages("machines", MachinePage) for machine in page.machines]

    def states(self) -> list[UnitStateEntity]:
        """How all units are, on all machines."""
        return [state for page in self._pages("state", StatePage) for state in page.states]

    def state(self, name: str) -> UnitStateEntity | None:
        """How a unit is where it is scheduled."""
        return self._maybe(f"state/{quote(name)}", UnitStateEntity)

    def why(self, name: str) -> Explanation | None:
        """Why a unit is where it is; None if there is no such unit, or fleetd cannot tell."""
        return self._maybe(f"why/{quote(name)}", Explanation)

    def standings(self) -> list[MachineStanding] | None:
        """All machines with their cordons; None if this fleetd knows nothing of that."""
        found = self._maybe("machines", StandingList, base=_OWN_BASE)
        return found.machines if found is not None else None

    def standing(self, machine_id: str) -> MachineStanding | None:
        """One of them."""
        return self._maybe(f"machines/{quote(machine_id)}", MachineStanding, base=_OWN_BASE)

    def cordon(self, machine_id: str, by: str, wanted: CordonEntity) -> MachineStanding:
        """Keep new units from a machine, or drain it; how it stands then."""
        path = f"machines/{quote(machine_id)}/cordons/{by}"
        return _decoded(
            self._request("PUT", path, msgspec.json.encode(wanted), base=_OWN_BASE), MachineStanding
        )

    def uncordon(self, machine_id: str) -> None:
        """Undo that, whoever it was."""
        self._request("DELETE", f"machines/{quote(machine_id)}/cordons/*", base=_OWN_BASE)

    def _pages(self, resource: str, kind: type[T]) -> Iterator[T]:
        token = ""
        while True:
            query = f"&nextPageToken={quote(token)}" if token else ""
            page: Any = _decoded(self._request("GET", f"{resource}?alt=json{query}"), kind)
            yield page
            token = page.next_page_token
            if not token:
                return

    def _maybe(self, path: str, kind: type[T], *, base: str = _BASE) -> T | None:
        try:
            return _decoded(self._request("GET", f"{path}?alt=json", base=base), kind)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def _request(self, method: str, path: str, body: bytes = b"", *, base: str = _BASE) -> bytes:
        reused = self._channel is not None
        try:
            status, answer = self._exchange(method, f"{base}/{path}", body)
        except _BrokenError:
            if not reused:
                raise
            # fleetd may have been restarted since the last request. All requests here can be repeated.
            status, answer = self._exchange(method, f"{base}/{path}", body)
        if status >= 400:
            raise ApiError(status, _message(status, answer))
        return answer

    def _exchange(self, method: str, target: str, body: bytes) -> tuple[int, bytes]:
        if self._channel is None:
            self._channel, self._machine = self._connect(), h11.Connection(h11.CLIENT)
            self._channel.settimeout(self._first_timeout_s)
        headers = [("host", "fleet"), ("content-length", str(len(body)))]
        if body:
            headers.append(("content-type", "application/json"))
        request = h11.Request(method=method, target=target, headers=headers)
        try:
            for event in (request, h11.Data(data=body), h11.EndOfMessage()):
                self._channel.sendall(self._machine.send(event) or b"")
            status, answer = self._receive(self._channel)
            self._machine.start_next_cycle()
            self._channel.settimeout(self._timeout_s)
        except TimeoutError as error:
            self._drop()
            raise ArgosyError(
                "fleet did not answer in time",
                hint="set --request-timeout to wait longer",
            ) from error
        except (OSError, h11.ProtocolError) as error:
            self._drop()
            raise _BrokenError(
                f"the connection to fleet broke: {error}",
                hint="is fleet running there? `systemctl status fleet`",
            ) from error
        return status, answer

    def _receive(self, channel: socket.socket) -> tuple[int, bytes]:
        status, parts = 0, []
        while True:
            event = self._machine.next_event()
            if event is h11.NEED_DATA:
                self._machine.receive_data(channel.recv(_READ_BYTES))
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                parts.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                return status, b"".join(parts)
            elif not isinstance(event, h11.InformationalResponse):
                raise OSError("closed without an answer")

    def _drop(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None


def _decoded(data: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise ArgosyError(f"fleet's answer cannot be understood: {error}") from error


def _message(status: int, body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=ErrorReply).error.message or f"fleet answered {status}"
    except msgspec.DecodeError:
        return f"fleet answered {status}"

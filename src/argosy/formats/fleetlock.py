"""FleetLock, protocol version 1: how machines of other systems ask for a reboot lock.

From zincati, `docs/development/fleetlock/protocol.md`: a client posts who it is; 200 means yes, every other
status no, with the reason as JSON. The kinds of reasons are those of coreos/airlock, and few.
"""

from __future__ import annotations

import re
from enum import StrEnum
from urllib.parse import quote

import msgspec

from argosy.base.errors import ArgosyError

PRE_REBOOT = "/v1/pre-reboot"
STEADY_STATE = "/v1/steady-state"
HEADER = "fleet-lock-protocol"
DEFAULT_GROUP = "default"
"""The group of clients that nobody has given one."""

CLIENTS = "coreos.com/updateengine/fleetlock/clients/"
"""Where etcd has a key for each client that was heard of."""

_GROUP = re.compile(r"[a-zA-Z0-9.-]{1,255}")
_ID = re.compile(r"[^\x00-\x20\x7f]{1,255}")


class Kind(StrEnum):
    """Kinds of reasons; clients count them."""

    INVALID_CLIENT_IDENTITY = "invalid_client_identity"
    UNKNOWN_GROUP = "unknown_group"
    FAILED_LOCK = "failed_lock"
    FAILED_SEM_INIT = "failed_sem_init"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"


STATUS = {
    Kind.INVALID_CLIENT_IDENTITY: 400,
    Kind.UNKNOWN_GROUP: 400,
    # No fault of the server's: one that answers 5xx loses its place behind a load balancer.
    Kind.FAILED_LOCK: 409,
    Kind.FAILED_SEM_INIT: 503,
    Kind.NOT_FOUND: 404,
    Kind.METHOD_NOT_ALLOWED: 405,
}
"""HTTP's word for each kind."""


class FleetLockError(ArgosyError):
    """No, and why."""

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Client(msgspec.Struct, frozen=True):
    """Who asks; `group` is its own word, not yet the lock's."""

    id: str
    group: str


class Sighting(msgspec.Struct, frozen=True, omit_defaults=True):
    """What etcd remembers of a client: when it asked, in seconds since 1970, and its etcd member, if any."""

    seen_s: int
    member: str = ""


class _Body(msgspec.Struct):
    client_params: Client


class _Reason(msgspec.Struct):
    kind: Kind
    value: str


def decode_client(header: str | None, body: bytes) -> Client:
    """Who asks, by the value of `HEADER` and the body. Raises `FleetLockError`."""
    if header != "true":
        raise _invalid(f"the header `{HEADER}: true` is missing")
    try:
        client = msgspec.json.decode(body, type=_Body).client_params
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _invalid(f"the body cannot be understood: {error}") from error
    if not _ID.fullmatch(client.id):
        raise _invalid("`id` must be 1 to 255 characters without spaces")
    if not _GROUP.fullmatch(client.group):
        raise _invalid("`group` must be 1 to 255 letters, digits, dots and hyphens")
    return client


def encode_reason(error: FleetLockError) -> bytes:
    """The body of a no."""
    return msgspec.json.encode(_Reason(error.kind, error.message))


def client_key(client_id: str) -> str:
    """Where a client's sighting is."""
    return CLIENTS + quote(client_id, safe="")


def _invalid(message: str) -> FleetLockError:
    return FleetLockError(Kind.INVALID_CLIENT_IDENTITY, message)

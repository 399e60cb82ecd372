"""etcd's JSON gateway: the bodies of requests, the answers, and what its refusals mean."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from argosy.base.etcd.model import (
    Changes,
    CompactedError,
    Compare,
    Delete,
    EtcdError,
    Event,
    KeyValue,
    LeaseNotFoundError,
    Member,
    Operation,
    Put,
    Range,
    TokenError,
    UnavailableError,
)

T = TypeVar("T")

# gRPC status codes (grpc/codes) that the gateway passes on.
_DEADLINE_EXCEEDED, _NOT_FOUND, _OUT_OF_RANGE, _UNAVAILABLE, _UNKNOWN = 4, 5, 11, 14, 2
_UNAUTHENTICATED = 16


class _Header(msgspec.Struct):
    revision: int = 0
    member_id: int = 0


class RangeReply(msgspec.Struct):
    """The answer to kv/range."""

    header: _Header = msgspec.field(default_factory=_Header)
    kvs: list[KeyValue] = []
    more: bool = False


class Reply(msgspec.Struct):
    """The answer to a write, as far as it matters."""

    header: _Header = msgspec.field(default_factory=_Header)


class _TxnPart(msgspec.Struct):
    response_range: RangeReply | None = None


class TxnReply(msgspec.Struct):
    """The answer to kv/txn."""

    header: _Header = msgspec.field(default_factory=_Header)
    succeeded: bool = False
    responses: list[_TxnPart] = []


class MembersReply(msgspec.Struct):
    """The answer to cluster/member/list."""

    members: tuple[Member, ...] = ()


class TokenReply(msgspec.Struct):
    """The answer to auth/authenticate."""

    token: str = ""


class LeaseReply(msgspec.Struct):
    """The answer to lease/grant, and each of lease/keepalive."""

    id: int = msgspec.field(default=0, name="ID")
    ttl: int = msgspec.field(default=0, name="TTL")


class KeepAliveReply(msgspec.Struct):
    """The first message of lease/keepalive."""

    result: LeaseReply = msgspec.field(default_factory=LeaseReply)


class _Failure(msgspec.Struct):
    message: str = ""
    error: Any = None
    code: int = 0
    grpc_code: int = 0


class _WatchResult(msgspec.Struct):
    header: _Header = msgspec.field(default_factory=_Header)
    created: bool = False
    canceled: bool = False
    cancel_reason: str = ""
    compact_revision: int = 0
    events: list[Event] = []


class _WatchReply(msgspec.Struct):
    result: _WatchResult | None = None
    error: _Failure | None = None


def changes(message: bytes, *, resumed: bool) -> Changes:
    """A message of a watch. Raises `UnavailableError` or `CompactedError` if it ends the watch."""
    reply = decoded(200, message, _WatchReply)
    if reply.error is not None:
        raise UnavailableError(reply.error.message, sent=True)
    result = reply.result or _WatchResult()
    if result.compact_revision:
        raise CompactedError(result.compact_revision)
    if result.canceled:
        raise UnavailableError(f"etcd ended the watch: {result.cancel_reason}", sent=True)
    # The first message tells the revision of now; to a resumed watch older changes may still come after it.
    return Changes(0 if result.created and resumed else result.header.revision, result.events)


def decoded(status: int, body: bytes, kind: type[T]) -> T:
    """An answer; raises `EtcdError`, or one of its kinds, for a refusal."""
    try:
        if status == 200:
            return msgspec.json.decode(body, type=kind, strict=False)
        failure = msgspec.json.decode(body, type=_Failure)
    except msgspec.DecodeError as error:
        raise EtcdError(f"etcd answered what is no answer of etcd (status {status}): {error}") from error
    raise _refusal(failure)


def _refusal(failure: _Failure) -> EtcdError:
    """The error for a refusal: codes are gRPC's, texts are those of etcd's `rpctypes`."""
    message = failure.message or str(failure.error)
    if failure.code == _NOT_FOUND and "lease" in message:
        return LeaseNotFoundError(message)
    transient = failure.code == _UNKNOWN and ("leader" in message or "timed out" in message)
    if failure.code in (_UNAVAILABLE, _DEADLINE_EXCEEDED) or transient:
        return UnavailableError(message, sent=True)
    if failure.code == _UNAUTHENTICATED:
        return TokenError(message)
    if failure.code == _OUT_OF_RANGE and "compacted" in message:
        return CompactedError(0)
    return EtcdError(f"etcd refused: {message}")


def span(key: str, end: str | None) -> dict[str, Any]:
    """A key or range, in a request."""
    return {"key": key.encode(), **({"range_end": end.encode()} if end is not None else {})}


def range_body(item: Range) -> dict[str, Any]:
    """The request kv/range."""
    options = {"limit": item.limit, "keys_only": item.keys_only}
    return {**span(item.key, item.end), **{name: value for name, value in options.items() if value}}


def put_body(item: Put) -> dict[str, Any]:
    """The request kv/put."""
    return {"key": item.key.encode(), "value": item.value, "lease": item.lease}


def compare_body(item: Compare) -> dict[str, Any]:
    """A condition of the request kv/txn."""
    names = {"mod": "mod_revision", "create": "create_revision"}
    return {
        **span(item.key, item.end),
        "target": item.target.upper(),
        "result": item.result,
        names.get(item.target, item.target): item.operand,
    }


def operation_body(item: Operation) -> dict[str, Any]:
    """An operation of the request kv/txn."""
    if isinstance(item, Put):
        return {"request_put": put_body(item)}
    if isinstance(item, Delete):
        return {"request_delete_range": span(item.key, item.end)}
    return {"request_range": range_body(item)}

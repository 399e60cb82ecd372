"""A client of etcd 3.4 and later, through the JSON gateway that every member serves beside gRPC.

Keys and values are bytes (base64 on the wire), 64-bit integers travel as strings. Reads are tried on every
endpoint; a write is sent again only if certainly nothing of it arrived, else `UnavailableError` says that it
may have happened: compare (`Compare`) before you write again.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import msgspec

from argosy.base.address import TlsFiles, parse_address
from argosy.base.errors import ArgosyError
from argosy.base.http import Client, HttpError, Stream
from argosy.base.loop import Backoff, Clock, SystemClock

T = TypeVar("T")

_PAGE_KEYS = 1000
_MAX_MESSAGE_BYTES = 256 << 20

# gRPC status codes (grpc/codes) that the gateway passes on.
_DEADLINE_EXCEEDED, _NOT_FOUND, _OUT_OF_RANGE, _UNAVAILABLE, _UNKNOWN = 4, 5, 11, 14, 2


class EtcdError(ArgosyError):
    """etcd refused a request."""


class UnavailableError(EtcdError):
    """No endpoint answered in time. `sent`: the request may have been carried out nevertheless."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(
            message, hint="is etcd running, and has it a quorum? `etcdctl endpoint health --cluster`"
        )
        self.sent = sent


class LeaseNotFoundError(EtcdError):
    """The lease has expired or was revoked."""


class CompactedError(EtcdError):
    """The history that a watch asked for is gone; what is at `revision` or later is there."""

    def __init__(self, revision: int) -> None:
        super().__init__(f"etcd's history before revision {revision} is compacted")
        self.revision = revision


class KeyValue(msgspec.Struct, frozen=True, gc=False):
    """A key as etcd stores it. `lease` is 0 without one."""

    key: bytes = b""
    value: bytes = b""
    create_revision: int = 0
    mod_revision: int = 0
    version: int = 0
    lease: int = 0


class Event(msgspec.Struct, frozen=True, gc=False):
    """One change that a watch reports; of a deleted key, `kv` has `key` and `mod_revision` only."""

    kv: KeyValue
    type: Literal["PUT", "DELETE"] = "PUT"


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes in order, up to and including `revision`; no changes right after a watch was made."""

    revision: int
    events: Sequence[Event]


@dataclass(frozen=True, slots=True)
class Found:
    """The answer to a range, and the revision it is valid at."""

    revision: int
    items: Sequence[KeyValue]
    more: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a transaction: whether the comparisons held, and what its ranges found, in order."""

    revision: int
    succeeded: bool
    ranges: Sequence[Sequence[KeyValue]] = ()


@dataclass(frozen=True, slots=True)
class Compare:
    """A condition of a transaction. A key that is not there has 0 for every number.

    `target` is what is compared: "mod" and "create" are revisions, "version" counts the writes of a key,
    "lease" is a lease's id, "value" is bytes.
    """

    key: str
    target: Literal["mod", "create", "version", "lease", "value"]
    operand: int | bytes
    result: Literal["EQUAL", "GREATER", "LESS", "NOT_EQUAL"] = "EQUAL"


@dataclass(frozen=True, slots=True)
class Put:
    """Write a key, bound to a lease if it is not 0."""

    key: str
    value: bytes
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove a key, or with `end` all keys from `key` up to, not including, `end`."""

    key: str
    end: str | None = None


@dataclass(frozen=True, slots=True)
class Range:
    """Read a key, or with `end` all keys from `key` up to, not including, `end`. `limit` 0 means all."""

    key: str
    end: str | None = None
    limit: int = 0
    keys_only: bool = False


Operation = Put | Delete | Range


def prefix_end(prefix: str) -> str:
    """The end of the range of all keys that begin with `prefix` (which ends in an ASCII character)."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


class _Header(msgspec.Struct):
    revision: int = 0


class _RangeReply(msgspec.Struct):
    header: _Header = msgspec.field(default_factory=_Header)
    kvs: list[KeyValue] = []
    more: bool = False


class _Reply(msgspec.Struct):
    header: _Header = msgspec.field(default_factory=_Header)


class _TxnPart(msgspec.Struct):
    response_range: _RangeReply | None = None


class _TxnReply(msgspec.Struct):
    header: _Header = msgspec.field(default_factory=_Header)
    succeeded: bool = False
    responses: list[_TxnPart] = []


class _LeaseReply(msgspec.Struct):
    id: int = msgspec.field(default=0, name="ID")
    ttl: int = msgspec.field(default=0, name="TTL")


class _KeepAliveReply(msgspec.Struct):
    result: _LeaseReply = msgspec.field(default_factory=_LeaseReply)


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


class Etcd:
    """Requests to a cluster through whichever endpoint answers."""

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        timeout_s: float = 5.0,
        tls: TlsFiles | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`endpoints` are such as `http://127.0.0.1:2379`; `timeout_s` bounds one try on one of them."""
        addresses = [parse_address(endpoint) for endpoint in endpoints]
        self._clients = [Client(address, timeout_s=timeout_s, tls=tls) for address in addresses]
        self._watches: dict[Client, set[Stream]] = {client: set() for client in self._clients}
        self._clock = clock or SystemClock()
        self._timeout_s = timeout_s

    def close(self) -> None:
        """Close all connections."""
        for client in self._clients:
            client.close()

    async def get(self, key: str) -> KeyValue | None:
        """The key, or None."""
        items = (await self.range(Range(key))).items
        return items[0] if items else None

    async def range(self, wanted: Range, *, revision: int = 0) -> Found:
        """Read a range as it is now, or was at `revision`. Sorted by key."""
        body = {**_range_body(wanted), **({"revision": revision} if revision else {})}
        reply = await self._call("kv/range", body, _RangeReply, repeat=True)
        return Found(reply.header.revision, reply.kvs, reply.more)

    async def scan(self, key: str, end: str) -> AsyncIterator[Found]:
        """A large range in pages, all as of one revision."""
        revision = 0
        while True:
            page = await self.range(Range(key, end, limit=_PAGE_KEYS), revision=revision)
            revision = revision or page.revision
            yield Found(revision, page.items, page.more)
            if not page.more:
                return
            key = page.items[-1].key.decode() + "\0"

    async def put(self, key: str, value: bytes, *, lease: int = 0) -> int:
        """Write a key; returns the revision."""
        reply = await self._call("kv/put", _put_body(Put(key, value, lease)), _Reply)
        return reply.header.revision

    async def delete(self, key: str, end: str | None = None) -> int:
        """Remove a key or range; returns the revision."""
        reply = await self._call("kv/deleterange", _span(key, end), _Reply)
        return reply.header.revision

    async def txn(
        self, compare: Sequence[Compare], then: Sequence[Operation], otherwise: Sequence[Operation] = ()
    ) -> Outcome:
        """Do all of `then` if every comparison holds, else all of `otherwise`. etcd allows 128 of each."""
        body = {
            "compare": [_compare_body(item) for item in compare],
            "success": [_operation_body(item) for item in then],
            "failure": [_operation_body(item) for item in otherwise],
        }
        repeat = all(isinstance(item, Range) for item in [*then, *otherwise])
        reply = await self._call("kv/txn", body, _TxnReply, repeat=repeat)
        ranges = [part.response_range.kvs for part in reply.responses if part.response_range is not None]
        return Outcome(reply.header.revision, reply.succeeded, ranges)

    async def grant(self, ttl_s: int) -> int:
        """Make a lease that lives for `ttl_s` after its last keep-alive; returns its id."""
        return (await self._call("lease/grant", {"TTL": ttl_s}, _LeaseReply)).id

    async def keep_alive(self, lease: int) -> int:
        """Renew a lease; returns its time to live in seconds. Raises `LeaseNotFoundError` if it is gone."""
        reply = await self._call("lease/keepalive", {"ID": lease}, _KeepAliveReply, repeat=True)
        if reply.result.ttl <= 0:
            raise LeaseNotFoundError(f"lease {lease:x} has expired")
        return reply.result.ttl

    async def revoke(self, lease: int) -> None:
        """End a lease; its keys go. One that is gone already is no error."""
        with contextlib.suppress(LeaseNotFoundError):
            await self._call("lease/revoke", {"ID": lease}, _Reply, repeat=True)

    async def watch(self, key: str, end: str | None = None, *, after: int = 0) -> AsyncIterator[Changes]:
        """All changes of a range after revision `after` (0: from now on), for ever.

        A broken connection is made anew, on the next endpoint, from where it broke: no change is lost or
        comes twice. Each new connection yields a `Changes`, mostly without events. Raises `CompactedError`
        if the history is gone: read the range again.
        """
        failures = 0
        while True:
            try:
                async for changes in self._watch_once(key, end, after):
                    after, failures = max(after, changes.revision), 0
                    yield changes
            except UnavailableError:
                failures += 1
            pause_s = Backoff(first_s=0.1, most_s=2.0).pause_s(max(failures, 1), self._clock.chance())
            await self._clock.wait(asyncio.Event(), pause_s)

    async def _watch_once(self, key: str, end: str | None, after: int) -> AsyncIterator[Changes]:
        request = {**_span(key, end), **({"start_revision": after + 1} if after else {})}
        body = msgspec.json.encode({"create_request": request})
        client = self._clients[0]
        try:
            # Asks etcd to end the watch when its member loses the leader, rather than fall silent.
            headers = [("grpc-metadata-hasleader", "true")]
            async with client.stream("POST", "/v3/watch", body=body, headers=headers) as stream:
                self._watches[client].add(stream)
                try:
                    async for message in _messages(stream):
                        yield _changes(message, resumed=after > 0)
                finally:
                    self._watches[client].discard(stream)
        except HttpError as error:
            self._demote(client)
            raise UnavailableError(str(error), sent=True) from error

    async def _call(self, path: str, body: Any, kind: type[T], *, repeat: bool = False) -> T:
        """Ask one endpoint after the other; with `repeat`, also when the request may have arrived."""
        data = msgspec.json.encode(body)
        deadline = time.monotonic() + self._timeout_s * len(self._clients)
        problems, sent = [], False
        for client in list(self._clients):
            try:
                answer = await client.request("POST", f"/v3/{path}", body=data)
                return _decoded(answer.status, answer.body, kind)
            except HttpError as error:
                problems.append(error.message)
                sent = sent or error.sent
                # Whoever watches through this endpoint waits for nothing.
                self._demote(client)
            except UnavailableError as error:
                problems.append(f"{client.address}: {error.message}")
                sent = True
                self._demote(client)
            if (sent and not repeat) or time.monotonic() > deadline:
                break
        raise UnavailableError("; ".join(problems), sent=sent)

    def _demote(self, client: Client) -> None:
        """Ask this endpoint last from now on, and move its watches elsewhere."""
        self._clients.remove(client)
        self._clients.append(client)
        for stream in self._watches[client]:
            stream.abort()


async def _messages(stream: Stream) -> AsyncIterator[bytes]:
    """The lines of an answer, however long."""
    pending: list[bytes] = []
    size = 0
    async for part in stream:
        *lines, rest = part.split(b"\n")
        for line in lines:
            yield b"".join([*pending, line])
            pending, size = [], 0
        pending.append(rest)
        size += len(rest)
        if size > _MAX_MESSAGE_BYTES:
            raise HttpError(f"etcd sent a message of more than {_MAX_MESSAGE_BYTES} bytes")
    raise HttpError("etcd ended the watch")


def _changes(message: bytes, *, resumed: bool) -> Changes:
    reply = _decoded(200, message, _WatchReply)
    if reply.error is not None:
        raise UnavailableError(reply.error.message, sent=True)
    result = reply.result or _WatchResult()
    if result.compact_revision:
        raise CompactedError(result.compact_revision)
    if result.canceled:
        raise UnavailableError(f"etcd ended the watch: {result.cancel_reason}", sent=True)
    # The first message tells the revision of now; to a resumed watch older changes may still come after it.
    return Changes(0 if result.created and resumed else result.header.revision, result.events)


def _decoded(status: int, body: bytes, kind: type[T]) -> T:
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
    if failure.code == _OUT_OF_RANGE and "compacted" in message:
        return CompactedError(0)
    return EtcdError(f"etcd refused: {message}")


def _span(key: str, end: str | None) -> dict[str, Any]:
    return {"key": key.encode(), **({"range_end": end.encode()} if end is not None else {})}


def _range_body(item: Range) -> dict[str, Any]:
    options = {"limit": item.limit, "keys_only": item.keys_only}
    return {**_span(item.key, item.end), **{name: value for name, value in options.items() if value}}


def _put_body(item: Put) -> dict[str, Any]:
    return {"key": item.key.encode(), "value": item.value, "lease": item.lease}


def _compare_body(item: Compare) -> dict[str, Any]:
    names = {"mod": "mod_revision", "create": "create_revision"}
    return {
        "key": item.key.encode(),
        "target": item.target.upper(),
        "result": item.result,
        names.get(item.target, item.target): item.operand,
    }


def _operation_body(item: Operation) -> dict[str, Any]:
    if isinstance(item, Put):
        return {"request_put": _put_body(item)}
    if isinstance(item, Delete):
        return {"request_delete_range": _span(item.key, item.end)}
    return {"request_range": _range_body(item)}

"""The client: requests to a cluster through whichever endpoint answers."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, TypeVar

import msgspec

from argosy.base.address import Login, TlsFiles, parse_address
from argosy.base.etcd import wire
from argosy.base.etcd.model import (
    Changes,
    Compare,
    Found,
    KeyValue,
    LeaseNotFoundError,
    Member,
    Operation,
    Outcome,
    Put,
    Range,
    TokenError,
    UnavailableError,
)
from argosy.base.http import Client, Headers, HttpError, Stream
from argosy.base.loop import Backoff, Clock, SystemClock

T = TypeVar("T")

_PAGE_KEYS = 1000
_MAX_MESSAGE_BYTES = 256 << 20


class Etcd:
    """Requests to a cluster through whichever endpoint answers."""

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        timeout_s: float = 5.0,
        tls: TlsFiles | None = None,
        login: Login | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`endpoints` are such as `http://127.0.0.1:2379`; `timeout_s` bounds one try on one of them.

        Watches are not made as the user `login`: nobody needs that so far.
        """
        addresses = [parse_address(endpoint) for endpoint in endpoints]
        self._clients = [Client(address, timeout_s=timeout_s, tls=tls) for address in addresses]
        self._watches: dict[Client, set[Stream]] = {client: set() for client in self._clients}
        self._clock = clock or SystemClock()
        self._timeout_s = timeout_s
        self._login = login
        self._token = ""

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
        body = {**wire.range_body(wanted), **({"revision": revision} if revision else {})}
        reply = await self._call("kv/range", body, wire.RangeReply, repeat=True)
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
        reply = await self._call("kv/put", wire.put_body(Put(key, value, lease)), wire.Reply)
        return reply.header.revision

    async def delete(self, key: str, end: str | None = None) -> int:
        """Remove a key or range; returns the revision."""
        reply = await self._call("kv/deleterange", wire.span(key, end), wire.Reply)
        return reply.header.revision

    async def txn(
        self, compare: Sequence[Compare], then: Sequence[Operation], otherwise: Sequence[Operation] = ()
    ) -> Outcome:
        """Do all of `then` if every comparison holds, else all of `otherwise`. etcd allows 128 of each."""
        body = {
            "compare": [wire.compare_body(item) for item in compare],
            "success": [wire.operation_body(item) for item in then],
            "failure": [wire.operation_body(item) for item in otherwise],
        }
        repeat = all(isinstance(item, Range) for item in [*then, *otherwise])
        reply = await self._call("kv/txn", body, wire.TxnReply, repeat=repeat)
        ranges = [part.response_range.kvs for part in reply.responses if part.response_range is not None]
        return Outcome(reply.header.revision, reply.succeeded, ranges)

    async def members(self) -> Sequence[Member]:
        """The members of the cluster, as its leader knows them."""
        body = {"linearizable": True}
        return (await self._call("cluster/member/list", body, wire.MembersReply, repeat=True)).members

    async def member_id(self) -> int:
        """The id of the member that answers."""
        return (await self._call("maintenance/status", {}, wire.Reply, repeat=True)).header.member_id

    async def grant(self, ttl_s: int) -> int:
        """Make a lease that lives for `ttl_s` after its last keep-alive; returns its id."""
        return (await self._call("lease/grant", {"TTL": ttl_s}, wire.LeaseReply)).id

    async def keep_alive(self, lease: int) -> int:
        """Renew a lease; returns its time to live in seconds. Raises `LeaseNotFoundError` if it is gone."""
        reply = await self._call("lease/keepalive", {"ID": lease}, wire.KeepAliveReply, repeat=True)
        if reply.result.ttl <= 0:
            raise LeaseNotFoundError(f"lease {lease:x} has expired")
        return reply.result.ttl

    async def revoke(self, lease: int) -> None:
        """End a lease; its keys go. One that is gone already is no error."""
        with contextlib.suppress(LeaseNotFoundError):
            await self._call("lease/revoke", {"ID": lease}, wire.Reply, repeat=True)

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
        request = {**wire.span(key, end), **({"start_revision": after + 1} if after else {})}
        body = msgspec.json.encode({"create_request": request})
        client = self._clients[0]
        try:
            # Asks etcd to end the watch when its member loses the leader, rather than fall silent.
            headers = [("grpc-metadata-hasleader", "true")]
            async with client.stream("POST", "/v3/watch", body=body, headers=headers) as stream:
                self._watches[client].add(stream)
                try:
                    async for message in _messages(stream):
                        yield wire.changes(message, resumed=after > 0)
                finally:
                    self._watches[client].discard(stream)
        except HttpError as error:
            self._demote(client)
            raise UnavailableError(str(error), sent=True) from error

    async def _call(self, path: str, body: Any, kind: type[T], *, repeat: bool = False) -> T:
        """Ask as the user, if there is one; a token that etcd has forgotten is replaced once."""
        if self._login is None:
            return await self._ask(path, body, kind, repeat=repeat)
        if self._token:
            try:
                return await self._ask(path, body, kind, repeat=repeat)
            except TokenError:
                self._token = ""
        credentials = {"name": self._login.user, "password": self._login.password}
        self._token = (await self._ask("auth/authenticate", credentials, wire.TokenReply, repeat=True)).token
        return await self._ask(path, body, kind, repeat=repeat)

    async def _ask(self, path: str, body: Any, kind: type[T], *, repeat: bool) -> T:
        """Ask one endpoint after the other; with `repeat`, also when the request may have arrived."""
        data = msgspec.json.encode(body)
        deadline = time.monotonic() + self._timeout_s * len(self._clients)
        problems, sent = [], False
        for client in list(self._clients):
            try:
                answer = await client.request("POST", f"/v3/{path}", body=data, headers=self._headers())
                return wire.decoded(answer.status, answer.body, kind)
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

    def _headers(self) -> Headers:
        return (("authorization", self._token),) if self._token else ()

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

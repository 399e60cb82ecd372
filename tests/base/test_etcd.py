"""The client of base.etcd against real etcd 3.5: what it does, and what it does when etcd fails."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from tests.etcd import Cluster, free_ports

from argosy.base.address import Login
from argosy.base.etcd import (
    Changes,
    CompactedError,
    Compare,
    Delete,
    Etcd,
    EtcdError,
    Event,
    LeaseNotFoundError,
    Put,
    Range,
    UnavailableError,
    prefix_end,
)
from argosy.base.run import run


def with_client(cluster: Cluster, body: Callable[[Etcd], Awaitable[None]], timeout_s: float = 2.0) -> None:
    async def go() -> None:
        client = Etcd(cluster.endpoints, timeout_s=timeout_s)
        try:
            async with asyncio.timeout(90):
                await body(client)
        finally:
            client.close()

    asyncio.run(go())


async def events(watch: AsyncIterator[Changes], count: int) -> list[Event]:
    """The next `count` events."""
    seen: list[Event] = []
    while len(seen) < count:
        seen += (await anext(watch)).events
    return seen


def test_keys_ranges_and_transactions(etcd: Cluster) -> None:
    async def body(client: Etcd) -> None:
        assert await client.get("/none") is None
        first = await client.put("/a/1", b"\x00\xffone")
        found = await client.get("/a/1")
        assert found is not None
        assert (found.value, found.mod_revision, found.version) == (b"\x00\xffone", first, 1)
        await client.put("/a/2", b"two")
        await client.put("/b", b"not in /a/")
        whole = await client.range(Range("/a/", prefix_end("/a/")))
        assert [item.key for item in whole.items] == [b"/a/1", b"/a/2"]
        keys = await client.range(Range("/a/", prefix_end("/a/"), limit=1, keys_only=True))
        assert (keys.more, keys.items[0].value) == (True, b"")
        outcome = await client.txn(
            [
                Compare("/a/1", "mod", first),
                Compare("/a/9", "version", 0),
                Compare("/b", "value", b"x", "NOT_EQUAL"),
            ],
            [Put("/a/9", b"nine"), Delete("/a/2"), Range("/a/", prefix_end("/a/"))],
        )
        assert outcome.succeeded
        assert [item.key for item in outcome.ranges[0]] == [b"/a/1", b"/a/9"]
        again = await client.txn([Compare("/a/9", "version", 0)], [Put("/a/9", b"")], [Range("/a/9")])
        assert not again.succeeded
        assert again.ranges[0][0].value == b"nine"
        await client.delete("/a/", prefix_end("/a/"))
        assert await client.get("/a/1") is None

    with_client(etcd, body)


def test_a_large_range_comes_in_pages_of_one_revision(etcd: Cluster) -> None:
    async def body(client: Etcd) -> None:
        for start in range(0, 2500, 100):
            await client.txn([], [Put(f"/k/{index:05}", b"x") for index in range(start, start + 100)])
        seen: list[bytes] = []
        pages = 0
        async for page in client.scan("/k/", prefix_end("/k/")):
            pages += 1
            seen += [item.key for item in page.items]
            await client.put("/k/99999", b"written meanwhile")
        assert pages == 3
        assert seen == [f"/k/{index:05}".encode() for index in range(2500)]

    with_client(etcd, body)


def test_leases(etcd: Cluster) -> None:
    async def body(client: Etcd) -> None:
        lease = await client.grant(30)
        await client.put("/leased", b"", lease=lease)
        found = await client.get("/leased")
        assert found is not None
        assert found.lease == lease
        assert await client.keep_alive(lease) == 30
        await client.revoke(lease)
        assert await client.get("/leased") is None
        with pytest.raises(LeaseNotFoundError):
            await client.keep_alive(lease)
        with pytest.raises(LeaseNotFoundError):
            await client.put("/leased", b"", lease=lease)
        await client.revoke(lease)

    with_client(etcd, body)


def test_a_watch_sees_all_and_more_than_half_a_mebibyte(etcd: Cluster) -> None:
    async def body(client: Etcd) -> None:
        watch = client.watch("/w/", prefix_end("/w/"))
        await anext(watch)
        big = bytes(1_200_000)
        await client.put("/w/big", big)
        await client.txn([], [Put(f"/w/{index}", b"") for index in range(50)])
        await client.delete("/w/big")
        seen = await events(watch, 52)
        assert seen[0].kv.value == big
        assert [event.kv.key for event in seen[1:51]] == [f"/w/{index}".encode() for index in range(50)]
        assert (seen[51].type, seen[51].kv.key) == ("DELETE", b"/w/big")

    with_client(etcd, body)


def test_a_watch_resumes_after_kill_and_restart(etcd: Cluster) -> None:
    async def body(client: Etcd) -> None:
        watch = client.watch("/w/", prefix_end("/w/"))
        await anext(watch)
        await client.put("/w/1", b"")
        assert [event.kv.key for event in await events(watch, 1)] == [b"/w/1"]
        etcd.members[0].kill()
        with pytest.raises(UnavailableError):
            await client.put("/w/x", b"")
        etcd.members[0].start()
        etcd.wait_healthy()
        await client.put("/w/2", b"")
        await client.put("/w/3", b"")
        assert [event.kv.key for event in await events(watch, 2)] == [b"/w/2", b"/w/3"]

    with_client(etcd, body)


def test_a_watch_that_saw_nothing_yet_loses_nothing_either(etcd: Cluster) -> None:
    async def body(client: Etcd) -> None:
        watch = client.watch("/w/", prefix_end("/w/"))
        await anext(watch)
        etcd.members[0].kill()
        etcd.members[0].start()
        etcd.wait_healthy()
        other = Etcd(etcd.endpoints)
        await other.put("/w/1", b"written while the watch was away")
        assert [event.kv.key for event in await events(watch, 1)] == [b"/w/1"]

    with_client(etcd, body)


def test_a_compacted_history_is_told(etcd: Cluster) -> None:
    async def body(client: Etcd) -> None:
        first = await client.put("/c", b"1")
        await client.put("/c", b"2")
        last = await client.put("/c", b"3")
        run([*etcd.etcdctl(), "compaction", str(last)])
        with pytest.raises(CompactedError) as caught:
            async for _ in client.watch("/c", after=first - 1):
                pass
        assert caught.value.revision == last
        assert [event.kv.value for event in await events(client.watch("/c", after=last - 1), 1)] == [b"3"]

    with_client(etcd, body)


def test_a_frozen_etcd_is_an_error_in_time(etcd: Cluster) -> None:
    """One client asks what cannot be answered; another, with more patience, what may take its time."""

    async def body(client: Etcd) -> None:
        await client.put("/f", b"before")
        hasty = Etcd(etcd.endpoints, timeout_s=1)
        etcd.members[0].signal(signal.SIGSTOP)
        try:
            with pytest.raises(UnavailableError) as caught:
                await hasty.get("/f")
            assert "did not answer within 1 s" in str(caught.value)
        finally:
            etcd.members[0].signal(signal.SIGCONT)
            hasty.close()
        assert await client.get("/f") is not None

    with_client(etcd, body, timeout_s=60)


def test_refusals_are_told_as_they_are(etcd: Cluster) -> None:
    async def body(client: Etcd) -> None:
        with pytest.raises(EtcdError, match="key is not provided"):
            await client.put("", b"")
        with pytest.raises(EtcdError, match="too many operations"):
            await client.txn([], [Put(str(index), b"") for index in range(129)])

    with_client(etcd, body)


def test_nobody_there_means_nothing_was_sent() -> None:
    (port,) = free_ports(1)

    async def go() -> None:
        with pytest.raises(UnavailableError) as caught:
            await Etcd([f"http://127.0.0.1:{port}"]).put("/x", b"")
        assert not caught.value.sent

    asyncio.run(go())


def test_failover_and_the_loss_of_the_leader(tmp_path: Path) -> None:
    """Three members: one is killed, and reads, writes and watches go on; two, and the watch ends itself."""

    async def body(client: Etcd) -> None:
        watch = client.watch("/w/", prefix_end("/w/"))
        await anext(watch)
        await client.put("/w/1", b"")
        cluster.members[0].kill()
        await _until_written(client, "/w/2")
        keys = [event.kv.key for event in await events(watch, 2)]
        assert keys[:2] == [b"/w/1", b"/w/2"]

        cluster.members[1].signal(signal.SIGSTOP)
        lonely = Etcd([cluster.members[2].endpoint], timeout_s=2)
        with pytest.raises(UnavailableError):
            async with asyncio.timeout(30):
                while True:
                    async for _ in lonely._watch_once("/w/", prefix_end("/w/"), 0):
                        pass
        cluster.members[1].signal(signal.SIGCONT)
        await _until_written(client, "/w/3")
        assert b"/w/3" in [event.kv.key for event in await events(watch, 1)]

    with Cluster(tmp_path, 3) as cluster:
        with_client(cluster, body)


async def _until_written(client: Etcd, key: str) -> None:
    while True:
        try:
            outcome = await client.txn([Compare(key, "version", 0)], [Put(key, b"")])
        except UnavailableError:
            await asyncio.sleep(0.2)
        else:
            assert outcome is not None
            return


def test_a_condition_on_a_range_holds_for_all_its_keys(etcd: Cluster) -> None:
    async def body(client: Etcd) -> None:
        seen = (await client.range(Range("/a/", "/a0"))).revision
        unchanged = Compare("/a/", "mod", seen + 1, "LESS", end="/a0")
        assert (await client.txn([unchanged], [Put("/a/1", b"x")])).succeeded
        assert not (await client.txn([unchanged], [Put("/a/2", b"x")])).succeeded

    with_client(etcd, body)


def test_members(etcd: Cluster) -> None:
    async def body(client: Etcd) -> None:
        (member,) = await client.members()
        assert (member.name, list(member.client_urls), member.is_learner) == ("m0", [*etcd.endpoints], False)
        assert member.id == await client.member_id()

    with_client(etcd, body)


def test_a_user_logs_in_and_again_when_etcd_forgot(etcd: Cluster) -> None:
    ctl = etcd.etcdctl()
    run([*ctl, "user", "add", "root:secret"])
    run([*ctl, "user", "grant-role", "root", "root"])
    run([*ctl, "auth", "enable"])

    async def body() -> None:
        anonymous = Etcd(etcd.endpoints)
        with pytest.raises(EtcdError, match="user name is empty"):
            await anonymous.get("/a")
        client = Etcd(etcd.endpoints, login=Login("root", "secret"))
        await client.put("/a", b"x")
        # Tokens are kept in memory only.
        etcd.members[0].kill()
        etcd.members[0].start()
        await asyncio.sleep(3)
        found = await client.get("/a")
        assert found is not None
        with pytest.raises(EtcdError, match="authentication failed"):
            await Etcd(etcd.endpoints, login=Login("root", "wrong")).get("/a")

    asyncio.run(body())

"""The semaphore against a real etcd: many at once, groups together, and locksmithctl's words."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.etcd import Cluster

from argosy.base.errors import ArgosyError
from argosy.base.etcd import Etcd
from argosy.formats.rebootlock import Holding, Semaphore, SemaphoreError, decode, encode, group_of, key_of
from argosy.node.locksmith.lock import Store
from argosy.node.locksmith.model import Locks
from argosy.node.locksmith.semaphore import (
    FullError,
    HolderExistsError,
    NoHolderError,
    with_holder,
    with_max,
    without_holder,
)

BIN = Path(__file__).parents[3] / "os/usr/bin"
KEY = "coreos.com/updateengine/rebootlock/semaphore"


def ctl(
    etcd: Cluster, *words: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", BIN / "locksmithctl", "-endpoint", ",".join(etcd.endpoints), *words]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **(environment or {})}
    )


# The original's record


def test_the_original_reads_what_we_write_and_we_read_what_it_writes() -> None:
    theirs = b'{"semaphore":0,"max":1,"holders":["69d27b356a94476da859461d3a3bc6fd"]}'
    read = decode(theirs, key=KEY)
    assert (read.semaphore, read.max, read.ids) == (0, 1, ("69d27b356a94476da859461d3a3bc6fd",))
    assert decode(b'{"semaphore":1,"max":1,"holders":null}', key=KEY).ids == ()
    ours = json.loads(encode(with_holder(Semaphore(), "a", Holding(5, "boot", "8e", "core-01", True))))
    assert {name: ours[name] for name in ("semaphore", "max", "holders")} == {
        "semaphore": 0,
        "max": 1,
        "holders": ["a"],
    }
    with pytest.raises(SemaphoreError, match="is no semaphore"):
        decode(b"nonsense", key=KEY)


def test_keys() -> None:
    assert key_of("") == KEY
    assert key_of("a b/c") == "coreos.com/updateengine/rebootlock/groups/a+b%2Fc/semaphore"
    assert group_of(KEY) == ""
    assert group_of("coreos.com/updateengine/rebootlock/elsewhere") is None
    assert group_of("coreos.com/updateengine/rebootlock/groups/a/other") is None


@given(st.text(min_size=1))
def test_every_group_has_its_key(group: str) -> None:
    assert group_of(key_of(group)) == group


# Transitions


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("lock"), st.sampled_from("abcdef")),
        st.tuples(st.just("unlock"), st.sampled_from("abcdef")),
        st.tuples(st.just("max"), st.integers(0, 4)),
    )
)


@given(ACTIONS)
def test_what_is_left_and_who_holds_always_make_max(actions: list[tuple[str, str | int]]) -> None:
    now = Semaphore()
    for name, value in actions:
        before = now
        try:
            if name == "lock":
                now = with_holder(now, str(value), Holding(1))
                assert len(now.ids) <= now.max
            elif name == "unlock":
                now = without_holder(now, str(value), 7)
            else:
                now = with_max(now, int(value))
        except (FullError, HolderExistsError, NoHolderError):
            assert now is before
        assert now.semaphore == now.max - len(now.ids)
        assert list(now.ids) == sorted(set(now.ids))
        assert set(now.holding) == set(now.ids)
        assert decode(encode(now), key=KEY) == now


def test_refusals_have_the_originals_words() -> None:
    held = with_holder(Semaphore(), "a", Holding())
    for change, words in (
        (lambda: with_holder(held, "b", Holding()), "semaphore is at 0"),
        (lambda: with_holder(held, "a", Holding()), "semaphore is at 0"),
        (lambda: with_holder(with_max(held, 2), "a", Holding()), "holder exists"),
        (lambda: without_holder(held, "b", 1), "holder does not exist"),
    ):
        with pytest.raises(ArgosyError, match=words):
            change()


# Real etcd


def test_sixty_lockers_at_once_and_five_win(etcd: Cluster) -> None:
    async def go() -> list[BaseException | None]:
        clients = [Etcd(etcd.endpoints, timeout_s=30) for _ in range(60)]
        await Store(clients[0]).change("", lambda locks: with_max(locks.of(""), 5), lambda _: False)

        async def lock(number: int) -> None:
            holder = f"machine-{number:02}"
            await Store(clients[number]).change(
                "",
                lambda locks: with_holder(locks.of(""), holder, Holding(1)),
                lambda semaphore: holder in semaphore.ids,
            )

        try:
            return await asyncio.gather(*(lock(number) for number in range(60)), return_exceptions=True)
        finally:
            for client in clients:
                client.close()

    ends = asyncio.run(go())
    assert sum(end is None for end in ends) == 5
    assert {str(end) for end in ends if end is not None} == {"semaphore is at 0"}


def test_groups_do_not_change_behind_each_others_back(etcd: Cluster) -> None:
    """What is decided about all groups is only written if none of them has changed."""

    async def go() -> None:
        client = Etcd(etcd.endpoints)
        store = Store(client)
        seen = await store.read()
        assert await store.write(seen, "a", with_holder(seen.of("a"), "x", Holding()))
        assert not await store.write(seen, "b", with_holder(seen.of("b"), "y", Holding()))
        now = await store.read()
        assert set(now.holders()) == {"x"}
        assert await store.write(now, "b", with_holder(now.of("b"), "y", Holding()))
        assert (await store.read()).held_by("y") == {"b": Holding()}
        client.close()

    asyncio.run(go())


def test_a_write_that_arrived_unheard_is_not_made_twice(etcd: Cluster) -> None:
    """The answer to the write gets lost; the lock is ours, and no error."""
    from argosy.base.etcd import UnavailableError

    class Unheard(Store):
        lost = 0

        async def write(self, locks: Locks, group: str, semaphore: Semaphore) -> bool:
            done = await super().write(locks, group, semaphore)
            if not self.lost:
                self.lost += 1
                raise UnavailableError("the answer got lost", sent=True)
            return done

    async def go() -> None:
        client = Etcd(etcd.endpoints)
        store = Unheard(client)
        mine = Holding(1, "boot")
        await store.change(
            "",
            lambda locks: with_holder(locks.of(""), "me", mine),
            lambda semaphore: semaphore.holding.get("me") == mine,
        )
        assert store.lost == 1
        assert (await store.read()).of("") == Semaphore(0, 1, ("me",), {"me": mine})
        client.close()

    asyncio.run(go())


# locksmithctl


def test_locksmithctl_says_what_the_original_says(etcd: Cluster) -> None:
    def said(*words: str) -> tuple[int, str, str]:
        done = ctl(etcd, *words)
        return done.returncode, done.stdout, done.stderr

    assert said("status") == (0, "Available: 1\nMax: 1\n", "")
    assert said("lock", "b") == (0, "", "")
    assert said("status") == (0, "Available: 0\nMax: 1\n\nMACHINE ID\nb\n", "")
    assert said("lock", "a") == (1, "", "Error locking: semaphore is at 0\n")
    assert said("lock", "b") == (1, "", "Error locking: semaphore is at 0\n")
    assert said("set-max", "3") == (0, "Old-Max: 1\nMax: 3\n", "")
    assert said("lock", "b") == (1, "", "Error locking: holder exists\n")
    assert said("lock", "a") == (0, "", "")
    assert said("set-max", "1") == (0, "Old-Max: 3\nMax: 1\n", "")
    assert said("status") == (0, "Available: -1\nMax: 1\n\nMACHINE ID\na\nb\n", "")
    assert said("unlock", "b") == (0, "", "")
    assert said("unlock", "b") == (1, "", "Error unlocking: holder does not exist\n")
    assert said("set-max") == (1, "", "New maximum value must be set.\n")
    assert said("set-max", "x") == (1, "", "Invalid maximum value: x\n")
    assert said("nonsense")[0] == 2


def test_groups_by_flag_and_environment(etcd: Cluster) -> None:
    assert ctl(etcd, "-group", "storage", "lock", "a").returncode == 0
    assert ctl(etcd, "status").stdout == "Available: 1\nMax: 1\n"
    seen = ctl(etcd, "status", "--json", environment={"LOCKSMITHCTL_GROUP": "storage"})
    found = json.loads(seen.stdout)
    assert (found["group"], found["available"]) == ("storage", 0)
    assert found["holders"][0]["id"] == "a"
    assert found["holders"][0]["age_s"] < 60


def test_a_machine_that_is_gone_is_shown_as_stale(tmp_path: Path) -> None:
    """Its etcd member does not answer any more; the others see that."""
    with Cluster(tmp_path, size=3) as etcd:
        assert ctl(etcd, "lock", "m2").returncode == 0
        etcd.members[2].kill()
        lines = ctl(etcd, "status").stdout.splitlines()
        assert lines[-1].startswith("m2\tstale: its etcd member does not answer, held for ")
        assert ctl(etcd, "unlock", "m2").returncode == 0


def test_etcd_away_is_one_line_and_a_hint() -> None:
    command = [sys.executable, "-I", BIN / "locksmithctl", "-endpoint", "http://127.0.0.1:9", "lock", "a"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Error locking: cannot connect to http://127.0.0.1:9")
    assert "Traceback" not in done.stderr

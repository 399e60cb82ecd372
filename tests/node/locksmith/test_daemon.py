"""locksmithd's loop against real etcd: machines reboot in turn, whatever is killed at whichever step."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.etcd import Cluster as EtcdCluster
from tests.node.locksmith.machine import Machine, eventually_says, machine, one_step, semaphore, steps

from argosy.base.errors import ArgosyError
from argosy.base.etcd import Etcd
from argosy.node.locksmith.model import Access, Drained, Memory, Settings, Strategy
from argosy.node.locksmith.runtime import Runtime
from argosy.node.locksmith.windows import parse_windows


@pytest.fixture
def three(tmp_path: Path) -> Iterator[EtcdCluster]:
    with EtcdCluster(tmp_path, size=3) as cluster:
        yield cluster


def test_machines_reboot_one_after_another_and_give_the_lock_back_when_they_are_well(
    three: EtcdCluster, tmp_path: Path
) -> None:
    async def go() -> None:
        first, second = machine(tmp_path, three, 0), machine(tmp_path, three, 1)
        await steps(first, 3)  # lock, drain, reboot
        assert (first.reboots, first.drains) == (1, 1)
        assert "REBOOTING".lower() in (tmp_path / "core-01.conf").read_text()
        found = await semaphore(three)
        assert found.ids == ("core-01",)
        assert found.holding["core-01"].member != ""

        await one_step(second)
        assert "the lock is held by core-01 (core-01)" in second.why().answer
        assert second.why().state == "reboot-planned"

        # Its member goes down with it.
        three.members[0].kill()
        await eventually_says(second, "and its etcd member does not answer")

        first.come_back()
        first.fleet, first.idle = "active", ("hello.service (activating)",)
        first.trial = True
        await one_step(first)  # no etcd on this machine yet
        assert (await semaphore(three)).ids == ("core-01",)
        three.members[0].start()
        three.wait_healthy()
        await eventually_says(first, "on trial")
        first.trial = False
        await one_step(first)
        assert "hello.service (activating)" in first.why().answer
        assert (await semaphore(three)).ids == ("core-01",)
        first.idle = ()
        await one_step(first)
        assert "a moment longer" in first.why().answer
        first.up_s += 10
        await one_step(first)
        assert (await semaphore(three)).ids == ()

        await steps(second, 3)
        assert second.reboots == 1

    asyncio.run(go())


def test_no_quorum_no_reboot_and_again_when_it_is_back(three: EtcdCluster, tmp_path: Path) -> None:
    async def go() -> None:
        first = machine(tmp_path, three)
        best = machine(tmp_path, three, 1, strategy=Strategy.BEST_EFFORT)
        three.members[1].kill()
        three.members[2].kill()
        await one_step(first)
        assert "no reboot without the lock" in first.why().answer
        # It runs a member: best-effort does not mean to reboot what etcd waits for.
        best.settings = replace(best.settings, access=first.settings.access)
        best.up_s += 3600
        await one_step(best)
        assert "runs a member" in best.why().answer
        assert first.reboots == best.reboots == 0
        three.members[1].start()
        three.wait_healthy()
        await eventually_says(first, "m2 is down or about to be")
        three.members[2].start()
        three.wait_healthy()
        for _ in range(100):
            await one_step(first)
            if first.reboots:
                break
            await asyncio.sleep(0.2)
        assert first.reboots == 1

    asyncio.run(go())


def test_best_effort_without_etcd_reboots_after_a_while(tmp_path: Path) -> None:
    async def go() -> None:
        alone = Machine(
            tmp_path, "core-01", Settings(access=Access(("http://127.0.0.1:9",))), member="inactive"
        )
        await one_step(alone)
        assert "waiting a little" in alone.why().answer
        alone.up_s += 61
        await steps(alone, 2)
        assert alone.reboots == 1

        never = Machine(tmp_path, "core-02", replace(alone.settings, strategy=Strategy.ETCD_LOCK))
        never.up_s += 10**6
        assert (await one_step(never) or 0) > 1  # it does not spin
        assert never.reboots == 0

    asyncio.run(go())


def test_an_etcd_that_refuses_us_is_not_away(etcd: EtcdCluster, tmp_path: Path) -> None:
    """Best-effort does not take a damaged semaphore for a missing etcd."""

    async def go() -> None:
        client = Etcd(etcd.endpoints)
        await client.put("coreos.com/updateengine/rebootlock/semaphore", b"nonsense")
        client.close()
        best = machine(tmp_path, etcd, strategy=Strategy.BEST_EFFORT)
        best.member = "inactive"
        with pytest.raises(ArgosyError, match="is no semaphore"):
            await one_step(best)
        best.up_s += 3600
        with pytest.raises(ArgosyError, match="is no semaphore"):
            await one_step(best)
        assert best.reboots == 0
        assert "etcdctl" in best.why().hint

    asyncio.run(go())


def test_a_window_that_closes_after_the_lock_was_won(etcd: EtcdCluster, tmp_path: Path) -> None:
    async def go() -> None:
        windows = parse_windows("04:00", "1h")
        one = machine(tmp_path, etcd, windows=windows)
        await steps(one, 2)
        assert (await semaphore(etcd)).ids == ("core-01",)
        one.now += timedelta(minutes=30)  # the clock jumps, or all took too long
        await one_step(one)
        assert (await semaphore(etcd)).ids == ()
        assert one.undone == 1
        await one_step(one)
        assert "opens on Mon 2026-11-23 at 04:00" in one.why().answer
        assert one.reboots == 0
        one.now += timedelta(hours=23, minutes=30)
        await steps(one, 3)
        assert one.reboots == 1

    asyncio.run(go())


def test_a_drain_is_waited_for_and_told_until_its_time_is_over(etcd: EtcdCluster, tmp_path: Path) -> None:
    async def go() -> None:
        one = machine(tmp_path, etcd, drain_s=60.0)
        one.drained = Drained(False, "waiting until they have moved: a.service")
        await steps(one, 4)
        assert (one.drains, one.reboots) == (3, 0)
        assert one.why().answer.endswith("waiting until they have moved: a.service")
        one.up_s += 60
        await steps(one, 2)
        assert (one.drains, one.reboots) == (4, 1)

    asyncio.run(go())


def test_a_fleet_that_does_not_answer_keeps_nobody_waiting_for_the_lock(
    etcd: EtcdCluster, tmp_path: Path
) -> None:
    async def go() -> None:
        one = machine(tmp_path, etcd, windows=parse_windows("04:00", "1h"))
        await steps(one, 2)
        one.now += timedelta(minutes=30)
        one.fleet_answers = False
        await one_step(one)
        assert (await semaphore(etcd)).ids == ()
        # That the machine takes units again is not forgotten.
        one.fleet_answers = True
        await one_step(one)
        assert one.undone == 1
        await one_step(one)
        assert one.undone == 1

    asyncio.run(go())


def test_users_are_warned_and_may_postpone_once(etcd: EtcdCluster, tmp_path: Path) -> None:
    async def go() -> None:
        one = machine(tmp_path, etcd)
        one.users = ("core",)
        await steps(one, 3)
        assert len(one.told) == 1
        assert "reboots in 5 min" in one.told[0]
        await one_step(one)
        assert len(one.told) == 1
        one.runtime().postpone(one.up_s + 3600)
        with pytest.raises(ArgosyError, match="once already"):
            one.runtime().postpone(one.up_s + 7200)
        await one_step(one)
        assert (await semaphore(etcd)).ids == ()
        one.up_s += 3601
        await steps(one, 3)
        assert len(one.told) == 2
        one.up_s += 299
        await one_step(one)
        assert one.reboots == 0
        one.up_s += 2
        await one_step(one)
        assert one.reboots == 1

    asyncio.run(go())


def test_a_person_asks_and_that_outlives_a_crash(etcd: EtcdCluster, tmp_path: Path) -> None:
    async def go() -> None:
        one = machine(tmp_path, etcd)
        one.wanted_now = ""
        await one_step(one)
        assert one.why().answer == "no reboot is wanted"
        one.daemon().ask()
        await steps(one, 3)
        assert one.reboots == 1
        assert one.why().wanted == "a person asked for it"

    asyncio.run(go())


def test_a_frozen_leader_stops_nothing_for_long(three: EtcdCluster, tmp_path: Path) -> None:
    async def go() -> None:
        one = machine(tmp_path, three, 0)
        three.members[1].signal(signal.SIGSTOP)
        try:
            # Whichever it was: the others have a leader again after an election, and one of three is missing.
            await eventually_says(one, "is down or about to be")
        finally:
            three.members[1].signal(signal.SIGCONT)
        for _ in range(100):
            await one_step(one)
            if one.reboots:
                return
            await asyncio.sleep(0.2)
        raise AssertionError(one.why().answer)

    asyncio.run(go())


def test_damaged_memory_is_no_memory(tmp_path: Path) -> None:
    runtime = Runtime(tmp_path, tmp_path / "coordinator.conf")
    runtime.remember(Memory(asked=True))
    assert runtime.memory() == Memory(asked=True)
    (tmp_path / "memory.json").write_text("{")
    assert runtime.memory() == Memory()


def test_only_one_runs(tmp_path: Path) -> None:
    runtime = Runtime(tmp_path, tmp_path / "coordinator.conf")
    assert not runtime.is_running()
    with runtime.alone():
        assert runtime.is_running()
        with pytest.raises(ArgosyError, match="another locksmithd"), Runtime(tmp_path).alone():
            pass
    assert not runtime.is_running()

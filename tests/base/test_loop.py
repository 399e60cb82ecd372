"""The daemon loop, on a clock that the test turns."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.base.errors import ArgosyError
from argosy.base.loop import Backoff, Loop, SystemClock, run_daemon, run_until


@dataclass
class Turned:
    """A clock that jumps over every wait and notes it."""

    time_s: float = 0.0
    waits_s: list[float] = field(default_factory=list)

    def now(self) -> float:
        return self.time_s

    async def wait(self, event: asyncio.Event, timeout_s: float) -> bool:
        await asyncio.sleep(0)
        if not event.is_set():
            self.time_s += timeout_s
            self.waits_s.append(timeout_s)
        return event.is_set()

    def chance(self) -> float:
        return 0.0


def steps(results: list[float | Exception | None], clock: Turned, **options: float) -> Loop:
    """Run a loop whose step gives these results in turn and then stops."""
    pending = iter(results)

    async def step() -> float | None:
        try:
            result = next(pending)
        except StopIteration:
            loop.stop()
            return None
        if isinstance(result, Exception):
            raise result
        return result

    loop = Loop("test", step, tick_s=10, clock=clock, gap_s=0, **options)  # type: ignore[arg-type]
    asyncio.run(loop.run())
    return loop


def test_the_tick_is_the_longest_pause() -> None:
    clock = Turned()
    steps([None, 3.0, 99.0], clock)
    assert [wait for wait in clock.waits_s if wait] == [10, 3, 10]


def test_failures_make_growing_pauses_and_success_ends_them() -> None:
    clock = Turned()
    broken = ArgosyError("broken")
    loop = steps([broken, OSError("away"), broken, None], clock, backoff=Backoff(1, 3))  # type: ignore[arg-type]
    assert [wait for wait in clock.waits_s if wait] == [1, 2, 3, 10]
    assert loop.failures == 0


def test_a_defect_ends_the_loop() -> None:
    with pytest.raises(ZeroDivisionError):
        steps([ZeroDivisionError()], Turned())


def test_a_wake_during_a_step_is_not_lost() -> None:
    async def go() -> list[str]:
        seen: list[str] = []

        async def step() -> None:
            seen.append("step")
            if len(seen) == 1:
                loop.wake()
            else:
                loop.stop()

        loop = Loop("test", step, tick_s=1000, gap_s=0)
        async with asyncio.timeout(5):
            await loop.run()
        return seen

    assert asyncio.run(go()) == ["step", "step"]


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_a_pause_is_between_half_and_all_of_its_step(failures: int, chance: float) -> None:
    backoff = Backoff(0.5, 15)
    pause_s = backoff.pause_s(failures, chance)
    assert 0.25 <= pause_s <= 15
    assert pause_s >= min(15, 0.5 * 2.0 ** min(failures - 1, 10)) / 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_daemon_in_order(number: signal.Signals) -> None:
    program = (
        "import asyncio; from argosy.base.loop import run_daemon\n"
        "async def body(stop):\n"
        "    print('up', flush=True); await stop.wait(); print('down', flush=True)\n"
        "asyncio.run(run_daemon(body))"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.send_signal(number)
    assert process.communicate(timeout=10)[0] == "down\n"
    assert process.returncode == 0


def test_the_watchdog_is_fed(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    address = f"{tmp_path}/notify"
    channel.bind(address)
    channel.settimeout(5)
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    monkeypatch.setenv("WATCHDOG_USEC", "100000")

    async def body(stop: asyncio.Event) -> None:
        await asyncio.sleep(0.2)

    asyncio.run(run_daemon(body))
    assert channel.recv(100) == b"WATCHDOG=1"
    assert channel.recv(100) == b"WATCHDOG=1"


def test_the_clock_of_the_machine() -> None:
    clock = SystemClock()
    before: Callable[[], float] = clock.now

    async def go() -> None:
        start_s = before()
        assert not await clock.wait(asyncio.Event(), 0.05)
        assert before() - start_s >= 0.05
        event = asyncio.Event()
        event.set()
        assert await clock.wait(event, 10)

    asyncio.run(go())


def test_work_runs_until_an_end_comes_and_nothing_is_left() -> None:
    async def story() -> tuple[bool, bool]:
        stop, cleaned_up = asyncio.Event(), asyncio.Event()

        async def work() -> None:
            stop.set()
            try:
                await asyncio.sleep(3600)
            finally:
                cleaned_up.set()

        await run_until(work(), stop.wait(), asyncio.sleep(3600))
        return cleaned_up.is_set(), len(asyncio.all_tasks()) == 1

    assert asyncio.run(story()) == (True, True)


def test_work_that_fails_is_heard_of() -> None:
    async def work() -> None:
        raise ArgosyError("it broke")

    with pytest.raises(ArgosyError, match="it broke"):
        asyncio.run(run_until(work(), asyncio.sleep(3600)))

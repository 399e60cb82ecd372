"""What our daemons cost an idle machine: resident memory and CPU, over minutes in which nothing happens."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from argosy.base.progress import Progress
from argosy.base.run import run

DAEMONS = ("fleet.service",)
_CLUSTER = "bench-daemons"
_MACHINES = 3
_LOOK_EVERY_S = 2.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# Prints resident KiB and CPU ticks (fields 14 and 15 of proc_pid_stat(5)) of a unit's main process.
_LOOK = (
    "pid=$(systemctl show -P MainPID {unit}); "
    'grep VmRSS /proc/$pid/status | tr -dc "0-9"; echo; '
    'cut -d " " -f 14,15 /proc/$pid/stat'
)


@dataclass(frozen=True, slots=True)
class Result:
    """Medians over the machines. `cpu_share` is a fraction of one core."""

    daemon: str
    rss_mib: float
    cpu_share: float


@dataclass(frozen=True, slots=True)
class _Sample:
    at_s: float
    rss_kib: int
    cpu_ticks: int


def measure(idle_s: float, progress: Progress) -> list[Result]:
    """Run a cluster of containers, leave it alone for `idle_s` seconds, and compare before and after."""
    names = [f"core-{index:02d}" for index in range(1, _MACHINES + 1)]
    with progress.step("boot a cluster"):
        _argosy("up", "--driver", "nspawn", "-n", str(_MACHINES))
    try:
        before = {(name, daemon): _look(name, daemon) for name in names for daemon in DAEMONS}
        with progress.step("leave it alone", total=round(idle_s)) as step:
            end_s = time.monotonic() + idle_s
            while time.monotonic() < end_s:
                time.sleep(_LOOK_EVERY_S)
                step.advance(round(_LOOK_EVERY_S))
        after = {key: _look(*key) for key in before}
    finally:
        with progress.step("remove the cluster"):
            _argosy("destroy")
    return [_result(daemon, names, before, after) for daemon in DAEMONS]


def _result(
    daemon: str,
    names: Sequence[str],
    before: dict[tuple[str, str], _Sample],
    after: dict[tuple[str, str], _Sample],
) -> Result:
    pairs = [(before[name, daemon], after[name, daemon]) for name in names]
    shares = [(b.cpu_ticks - a.cpu_ticks) / _TICKS_PER_S / (b.at_s - a.at_s) for a, b in pairs]
    return Result(daemon, statistics.median(b.rss_kib for _, b in pairs) / 1024, statistics.median(shares))


def _look(machine: str, unit: str) -> _Sample:
    words = ["ssh", "--name", _CLUSTER, machine, "--", "sh", "-c", _LOOK.format(unit=unit)]
    done = run([*_front_door(), *words])
    rss_kib, user, system = (int(word) for word in done.text.split())
    return _Sample(time.monotonic(), rss_kib, user + system)


def _argosy(command: str, *options: str) -> None:
    run([*_front_door(), command, "--name", _CLUSTER, *options])


def _front_door() -> list[str]:
    return [sys.executable, "-m", "argosy"]

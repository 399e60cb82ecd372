"""What applying a full update costs: the engine against the least that any installer has to do.

The floor is unpacking, hashing and writing the same bytes, durably; the engine also checks the signature and
the data's hashes, keeps its journal, reads everything back from the disk and hashes that.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from argosy.base.progress import Progress
from argosy.base.run import run
from argosy.formats.payload import USR
from argosy.formats.release import PAYLOAD
from argosy.image.keys import keys_folder
from bench.apply_once import ENGINE, FLOOR, SLOT_BYTES

CPU_RATIO_GOAL = 1.25
RSS_GOAL_MIB = 64


@dataclass(frozen=True, slots=True)
class Result:
    """Medians over the runs. CPU seconds are those of the work, without the start of Python."""

    payload_mb: float
    engine_cpu_s: float
    floor_cpu_s: float
    cpu_ratio: float
    engine_rss_mib: float
    runs: int


@dataclass(frozen=True, slots=True)
class _Run:
    cpu_s: float
    rss_kib: int


def measure(release: Path, runs: int, progress: Progress) -> Result:
    """Apply a release's payload `runs` times to a file as large as a slot, in turns with the floor."""
    payload = release / PAYLOAD
    done: dict[str, list[_Run]] = {ENGINE: [], FLOOR: []}
    with tempfile.TemporaryDirectory(prefix="bench.") as name:
        folder = Path(name)
        with (folder / USR).open("wb") as slot:
            os.posix_fallocate(slot.fileno(), 0, SLOT_BYTES)
        with progress.step("apply the payload", total=runs * len(done)) as step:
            for _ in range(runs):
                for kind, results in done.items():
                    results.append(_once(kind, payload, folder))
                    step.advance(1)
    return _result(payload, done)


def _once(kind: str, payload: Path, folder: Path) -> _Run:
    os.sync()  # what others wrote is not to be written in our time
    printed = run([sys.executable, "-m", "bench.apply_once", kind, payload, keys_folder(), folder])
    return _Run(**json.loads(printed.stdout))


def _result(payload: Path, done: dict[str, list[_Run]]) -> Result:
    engine, floor = (statistics.median(each.cpu_s for each in done[kind]) for kind in (ENGINE, FLOOR))
    return Result(
        payload_mb=payload.stat().st_size / 1e6,
        engine_cpu_s=engine,
        floor_cpu_s=floor,
        cpu_ratio=statistics.median(
            ours.cpu_s / least.cpu_s for ours, least in zip(done[ENGINE], done[FLOOR], strict=True)
        ),
        engine_rss_mib=statistics.median(each.rss_kib for each in done[ENGINE]) / 1024,
        runs=len(done[ENGINE]),
    )

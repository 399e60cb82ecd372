"""How many checks without an update the service answers, with many known machines, on each database.

The load comes from a process of its own over kept connections. Both share this host's processors, with
whatever else runs there: `checks_per_cpu_s` is what the server alone needed, and is what to compare.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.server.postgres import Postgres

from argosy.base.errors import ArgosyError
from argosy.base.progress import Progress
from argosy.base.run import run, start_detached
from argosy.formats.payload import APPLICATION_ID
from argosy.formats.updateapi import State
from argosy.server.database import open_database, sqlite_url
from argosy.server.update import store
from argosy.server.update.catalogue import PUBLISH
from argosy.server.update.model import Channel, Group, Package, Turn
from argosy.server.update.store import Sighting
from argosy.server.update.tables import SCHEMA
from bench.service_load import GROUP, VERSION, machine_id

MACHINES = 100_000
REFERENCE_PER_S = 54.0
"""A Nebraska of 2019 on PostgreSQL, on two shared cores."""

_CONNECTIONS = 16
_SECONDS = 20
_WARM_SECONDS = 3
_BATCH = 5000
_READY_S = 60.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Result:
    """`ratio` is to the reference; memory is the server's own, after the load."""

    database: str
    machines: int
    checks_per_s: float
    checks_per_cpu_s: float
    ratio: float
    p50_ms: float
    p99_ms: float
    rss_mib: float


def measure(progress: Progress) -> list[Result]:
    """Measure SQLite, then PostgreSQL."""
    results = []
    with tempfile.TemporaryDirectory(prefix="bench.") as name, Postgres() as postgres:
        urls = {"sqlite": sqlite_url(Path(name) / "server.sqlite"), "postgresql": postgres.create_database()}
        for kind, url in urls.items():
            with progress.step(f"fill {kind}", total=MACHINES) as step:
                _fill(url, step.advance)
            with progress.step(f"ask the service on {kind}"), _serving(url, Path(name)) as (pid, port):
                results.append(_load(kind, pid, port))
    return results


def _fill(url: str, advance: object) -> None:
    """Machines that all run what their channel has."""
    now_s = time.time()
    package = Package(APPLICATION_ID, VERSION, "0" * 64, "", 1, "update.payload", now_s)
    channel = Channel(APPLICATION_ID, GROUP)
    with open_database(url, [SCHEMA]) as database:
        with database.writing() as connection:
            store.add_application(connection, APPLICATION_ID)
            store.add_package(connection, package)
            store.put_channel(connection, channel)
            store.put_group(connection, Group(APPLICATION_ID, GROUP, channel))
            store.add_turn(connection, channel, Turn(now_s, package.sha256, VERSION, PUBLISH))
        for start in range(0, MACHINES, _BATCH):
            with database.writing() as connection:
                store.see(connection, [_sighting(n, now_s) for n in range(start, start + _BATCH)], new=True)
            if callable(advance):
                advance(_BATCH)


def _sighting(number: int, now_s: float) -> Sighting:
    return Sighting(
        app=APPLICATION_ID,
        id=machine_id(number),
        group=GROUP,
        version=VERSION,
        seen_s=now_s,
        address="192.0.2.1",
        oem="",
        arch="x86_64",
        aleph_version=VERSION,
        boot_id="",
        host_name="",
        state=State.CURRENT.value,
        reason="runs it",
    )


@contextlib.contextmanager
def _serving(url: str, folder: Path) -> Iterator[tuple[int, int]]:
    """The server's process and port."""
    log = folder / f"server-{os.urandom(4).hex()}.log"
    words = ["serve", "--listen", "127.0.0.1:0", "--token-file", folder / "token", "--packages", folder / "p"]
    environment = {"ARGOSY_DATABASE": url}
    pid = start_detached([sys.executable, "-m", "argosy", *map(str, words)], log=log, env=environment)
    try:
        deadline = time.monotonic() + _READY_S
        while not (found := re.search(r"listening on http://127\.0\.0\.1:(\d+)\n", log.read_text())):
            if time.monotonic() > deadline:
                raise ArgosyError("the server does not answer", hint=log.read_text())
            time.sleep(0.1)
        yield pid, int(found[1])
    finally:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)


def _load(kind: str, pid: int, port: int) -> Result:
    _generate(port, _WARM_SECONDS)
    cpu_s = _cpu_s(pid)
    measured = _generate(port, _SECONDS)
    cpu_s = _cpu_s(pid) - cpu_s
    per_s = measured["checks"] / measured["seconds"]
    return Result(
        database=kind,
        machines=MACHINES,
        checks_per_s=round(per_s, 1),
        checks_per_cpu_s=round(measured["checks"] / cpu_s, 1),
        ratio=round(per_s / REFERENCE_PER_S, 1),
        p50_ms=round(measured["p50_ms"], 2),
        p99_ms=round(measured["p99_ms"], 2),
        rss_mib=round(_rss_kib(pid) / 1024, 1),
    )


def _generate(port: int, seconds: int) -> dict[str, float]:
    words = ["127.0.0.1", port, seconds, _CONNECTIONS, MACHINES]
    done = run([sys.executable, "-m", "bench.service_load", *map(str, words)])
    result: dict[str, float] = json.loads(done.stdout)
    return result


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def _rss_kib(pid: int) -> int:
    found = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])

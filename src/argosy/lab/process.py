"""The processes of clusters: started with a mark, found by it, ended without hitting a stranger.

A process's environment holds `ARGOSY_LAB=<cluster id>/<role>` from its first instruction on, so there is no
moment at which one runs and is not known: the kernel's own table is the record. It cannot be stale after a
crash, and it is empty after a reboot.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from argosy.base import run

MARK = "ARGOSY_LAB"
_GRACE_S = 5.0
_START_TIME = 22
_ENV_END = 51
_EXEC_TRIES = 2000


@dataclass(frozen=True, slots=True)
class Process:
    """A process as it was seen. `started_ticks` (since the host booted) tells it from a later one."""

    pid: int
    started_ticks: int
    role: str


def environment(cluster_id: str, role: str) -> dict[str, str]:
    """What marks a process, for one that is not started by `spawn`."""
    return {MARK: f"{cluster_id}/{role}"}


def spawn(
    cluster_id: str,
    role: str,
    argv: Sequence[run.Argument],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
) -> int:
    """Start a marked process that outlives us, its output appended to `log`; returns its pid."""
    marked = {**(env or {}), **environment(cluster_id, role)}
    return run.start_detached(argv, log=log, env=marked, cwd=cwd, pass_fds=pass_fds)


def find(cluster_id: str) -> list[Process]:
    """All processes of a cluster that run now and are ours to see."""
    mark = f"{MARK}={cluster_id}/".encode()
    found = (_read(int(entry.name), mark) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [process for process in found if process]


def find_role(cluster_id: str, role: str) -> list[Process]:
    """The processes of one role; more than one only if an earlier command was interrupted at a bad moment."""
    return [process for process in find(cluster_id) if process.role == role]


def send(process: Process, number: signal.Signals) -> None:
    """Signal the process, and never another one that took its pid since."""
    with contextlib.suppress(ProcessLookupError), _opened(process) as descriptor:
        signal.pidfd_send_signal(descriptor, number)


def end(processes: Iterable[Process], *, grace_s: float = _GRACE_S) -> None:
    """End processes and wait until they are gone: SIGTERM, then, after `grace_s`, SIGKILL.

    A `grace_s` of 0 skips the SIGTERM.
    """
    remaining = list(processes)
    for number, wait_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, _GRACE_S)):
        if number is signal.SIGKILL or grace_s > 0:
            for process in remaining:
                send(process, number)
            remaining = wait_gone(remaining, timeout_s=wait_s)


def wait_gone(processes: Iterable[Process], *, timeout_s: float) -> list[Process]:
    """Wait until the processes have ended; returns those that have not after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    return [process for process in processes if not _gone_by(process, deadline)]


def _gone_by(process: Process, deadline: float) -> bool:
    try:
        with _opened(process) as descriptor:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            return bool(poll.poll(max(0.0, deadline - time.monotonic()) * 1000))
    except ProcessLookupError:
        return True


@contextlib.contextmanager
def _opened(process: Process) -> Iterator[int]:
    """A pidfd for exactly this process; ProcessLookupError if it has ended."""
    descriptor = os.pidfd_open(process.pid)
    try:
        if _started_ticks(process.pid) != process.started_ticks:
            raise ProcessLookupError
        yield descriptor
    finally:
        os.close(descriptor)


def _read(pid: int, mark: bytes) -> Process | None:
    try:
        words = _environ(pid).split(b"\0")
        role = next((word[len(mark) :] for word in words if word.startswith(mark)), None)
        return None if role is None else Process(pid, _started_ticks(pid), role.decode())
    except OSError:
        return None


def _environ(pid: int) -> bytes:
    """The process's environment. In the middle of an execve(2) it reads as empty: then again, a moment later.

    What truly has none has an address for it (env_end), no program (threads of the kernel), or has ended.
    """
    folder = Path("/proc") / str(pid)
    for _ in range(_EXEC_TRIES):
        content = (folder / "environ").read_bytes()
        if content:
            return content
        (folder / "exe").readlink()
        if _stat(pid, _ENV_END) != 0:
            break
        time.sleep(0.0005)
    return (folder / "environ").read_bytes()


def _started_ticks(pid: int) -> int:
    return _stat(pid, _START_TIME)


def _stat(pid: int, field: int) -> int:
    """A field of proc_pid_stat(5) by its number. The name (2) may hold anything, but ends at the last `)`."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError as error:
        raise ProcessLookupError from error
    return int(stat.rpartition(")")[2].split()[field - 3])

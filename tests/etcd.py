"""Real etcd for tests: Debian 13's own etcd 3.5, unpacked once into the cache and run as plain processes.

`Cluster` starts, kills, freezes and restarts members; the fixture `etcd` (conftest.py) is a cluster of one.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from argosy.base.run import run, start_detached

_SUITE = "trixie"
_PACKAGES = "etcd-server,etcd-client"


def toolbox() -> Path:
    """The folder with etcd and its libraries; made on first use (four seconds, some 90 MB)."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "argosy" / "tests"
    folder = cache / f"etcd-{_SUITE}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "etcd.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            fresh = cache / "etcd.new"
            shutil.rmtree(fresh, ignore_errors=True)
            options = ["--quiet", "--variant=extract", f"--include={_PACKAGES}"]
            run(["mmdebstrap", *options, _SUITE, fresh], timeout_s=300)
            fresh.rename(folder)
    return folder


def program(name: str) -> list[str]:
    """The words that run `etcd` or `etcdctl` with their own libraries, whatever this host's are."""
    folder = toolbox()
    loader = folder / "usr/lib64/ld-linux-x86-64.so.2"
    return [
        str(loader),
        "--library-path",
        str(folder / "usr/lib/x86_64-linux-gnu"),
        str(folder / "usr/bin" / name),
    ]


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface on which nobody listens now."""
    channels = [socket.socket() for _ in range(count)]
    for channel in channels:
        channel.bind(("127.0.0.1", 0))
    ports = [channel.getsockname()[1] for channel in channels]
    for channel in channels:
        channel.close()
    return ports


@dataclass
class Member:
    """One etcd process."""

    name: str
    folder: Path
    client_port: int
    peer_port: int
    initial_cluster: str = ""
    also_at: str = ""
    """One more address that it tells clients; nobody answers there."""
    pid: int = 0

    @property
    def endpoint(self) -> str:
        """The address for clients."""
        return f"http://127.0.0.1:{self.client_port}"

    @property
    def peer(self) -> str:
        """The address for the other members."""
        return f"http://127.0.0.1:{self.peer_port}"

    def start(self) -> None:
        """Run it; on its old data if it ran before."""
        options = {
            "name": self.name,
            "data-dir": str(self.folder / self.name),
            "listen-client-urls": self.endpoint,
            "advertise-client-urls": ",".join(filter(None, [self.endpoint, self.also_at])),
            "listen-peer-urls": self.peer,
            "initial-advertise-peer-urls": self.peer,
            "initial-cluster": self.initial_cluster,
            "heartbeat-interval": "100",
            "election-timeout": "1000",
            "log-level": "error",
            "unsafe-no-fsync": "true",
        }
        words = [f"--{name}={value}" for name, value in options.items()]
        self.pid = start_detached([*program("etcd"), *words], log=self.folder / f"{self.name}.log")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal: SIGSTOP freezes, SIGCONT goes on. Frozen are all threads when this returns."""
        os.kill(self.pid, number)
        if number is signal.SIGSTOP:
            os.waitpid(self.pid, os.WUNTRACED)

    def kill(self) -> None:
        """End it at once, as a power cut would, and wait until it is gone."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0


@dataclass
class Cluster:
    """Some members on loopback."""

    folder: Path
    size: int = 1
    members: list[Member] = field(default_factory=list)

    def __enter__(self) -> Cluster:
        ports = free_ports(2 * self.size)
        for index in range(self.size):
            self.members.append(Member(f"m{index}", self.folder, *ports[2 * index : 2 * index + 2]))
        initial = ",".join(f"{member.name}={member.peer}" for member in self.members)
        for member in self.members:
            member.initial_cluster = initial
            member.start()
        self.wait_healthy()
        return self

    def __exit__(self, *error: object) -> None:
        for member in self.members:
            member.kill()

    @property
    def endpoints(self) -> Sequence[str]:
        """The addresses for clients."""
        return [member.endpoint for member in self.members]

    def wait_healthy(self, timeout_s: float = 60) -> None:
        """Wait until a member can write."""
        deadline = time.monotonic() + timeout_s
        while run([*self.etcdctl(), "endpoint", "health"], check=False).returncode != 0:
            assert time.monotonic() < deadline, "etcd did not become healthy"
            time.sleep(0.1)

    def etcdctl(self) -> list[str]:
        """The words that run etcdctl against the running members."""
        running = [member.endpoint for member in self.members if member.pid]
        return [*program("etcdctl"), "--endpoints", ",".join(running)]

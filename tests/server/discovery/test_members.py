"""Real etcd members find one another through our server: etcd 3.5 of Debian 13, etcd 3.4 of Debian 12."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from tests.etcd import free_ports
from tests.etcd import program as etcd_program
from tests.server.debian import program
from tests.server.process import Server

from argosy.base.run import start_detached

_PATIENCE_S = 90


@dataclass
class Etcd:
    """One etcd process that knows nothing but the discovery URL."""

    words: list[str]
    folder: Path
    name: str
    client_port: int
    peer_port: int
    pid: int = 0

    @property
    def peer(self) -> str:
        return f"http://127.0.0.1:{self.peer_port}"

    @property
    def log(self) -> str:
        return (self.folder / f"{self.name}.log").read_text()

    def start(self, discovery: str) -> None:
        client = f"http://127.0.0.1:{self.client_port}"
        options = {
            "name": self.name,
            "data-dir": str(self.folder / self.name),
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": self.peer,
            "initial-advertise-peer-urls": self.peer,
            "discovery": discovery,
            "discovery-fallback": "exit",  # The default of etcd is to become a proxy of a full cluster.
            "logger": "zap",
        }
        words = [f"--{name}={value}" for name, value in options.items()]
        self.pid = start_detached([*self.words, *words], log=self.folder / f"{self.name}.log")

    def ended(self) -> bool:
        if self.pid and os.waitpid(self.pid, os.WNOHANG)[0]:
            self.pid = 0
        return not self.pid

    def kill(self) -> None:
        if not self.ended():
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0

    def healthy(self) -> bool:
        try:
            return '"true"' in httpx.get(f"http://127.0.0.1:{self.client_port}/health").text
        except httpx.TransportError:
            return False

    def peers(self) -> set[str]:
        """The members that it knows, by etcd's v3 API."""
        answer = httpx.post(f"http://127.0.0.1:{self.client_port}/v3/cluster/member/list", json={})
        return {member["name"] for member in answer.json()["members"]}


@pytest.fixture(params=["3.5", "3.4"])
def members(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[Etcd]]:
    """Four members, not started."""
    if request.param == "3.5":
        words = etcd_program("etcd")
    else:
        words = program("bookworm", "etcd-server", "/usr/bin/etcd")
    ports = free_ports(8)
    members = [Etcd(words, tmp_path, f"m{n}", ports[2 * n], ports[2 * n + 1]) for n in range(4)]
    yield members
    for member in members:
        member.kill()


def until(done: Callable[[], bool], what: str, members: list[Etcd]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not done():
        assert time.monotonic() < deadline, "\n\n".join([what, *(member.log for member in members)])
        time.sleep(0.1)


def new_cluster(server: Server) -> str:
    return httpx.get(f"{server.address}/new", params={"size": 3}).text


def registered(discovery: str) -> int:
    return len(httpx.get(discovery).json()["node"].get("nodes", []))


def waiting(server: Server) -> int:
    numbers = httpx.get(f"{server.address}/metrics").text
    return int(numbers.partition("\nargosy_discovery_waits ")[2].partition(".")[0])


def are_a_cluster(members: list[Etcd]) -> None:
    until(lambda: all(member.healthy() for member in members), "not healthy", members)
    for member in members:
        assert member.peers() == {"m0", "m1", "m2"}


def test_three_become_a_cluster_and_a_fourth_is_refused(server: Server, members: list[Etcd]) -> None:
    discovery = new_cluster(server)
    for member in members[:3]:
        member.start(discovery)
    are_a_cluster(members[:3])
    fourth = members[3]
    fourth.start(discovery)
    until(fourth.ended, "the fourth is still there", [fourth])
    assert "cluster is full" in fourth.log
    assert registered(discovery) == 3
    page = httpx.get(discovery, headers={"Accept": "text/html"}).text
    assert "3 of 3 members registered" in page
    assert all(member.peer in page for member in members[:3])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_in_the_middle_loses_nothing(
    server: Server, members: list[Etcd], number: signal.Signals
) -> None:
    discovery = new_cluster(server)
    for member in members[:2]:
        member.start(discovery)
    # Until both know that they are registered: etcd gives up if that answer is cut off.
    until(lambda: waiting(server) == 2, "do not wait", members[:2])
    server.end(number)
    time.sleep(1)
    server.start()
    members[2].start(discovery)
    are_a_cluster(members[:3])


def test_a_member_that_lost_its_data_is_refused_until_it_is_deleted(
    server: Server, members: list[Etcd]
) -> None:
    discovery = new_cluster(server)
    first, again = members[0], members[1]
    first.start(discovery)
    until(lambda: registered(discovery) == 1, "not registered", [first])
    first.kill()
    again.name, again.peer_port = first.name, first.peer_port
    again.folder = first.folder / "wiped"
    again.folder.mkdir()
    again.start(discovery)
    until(again.ended, "it goes on", [again])
    assert "discovery: found duplicate id" in again.log
    key = httpx.get(discovery).json()["node"]["nodes"][0]["key"]
    httpx.delete(f"{discovery}/{key.rpartition('/')[2]}").raise_for_status()
    again.start(discovery)
    until(lambda: waiting(server) == 1, "does not wait", [again])
    assert registered(discovery) == 1

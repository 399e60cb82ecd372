"""`fleetlockd` against a real etcd, asked over HTTP as zincati does."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.etcd import Cluster, free_ports
from tests.node.locksmith.test_lock import ctl
from tests.node.update.daemon import wait_for

from argosy.base.etcd import Etcd
from argosy.base.http import Request
from argosy.formats.fleetlock import Sighting
from argosy.node.locksmith.fleetlock import Api
from argosy.node.locksmith.model import Access
from argosy.node.locksmith.sightings import Sightings

FLEETLOCKD = Path(__file__).parents[3] / "os/usr/bin/fleetlockd"
LOCK, UNLOCK = "/v1/pre-reboot", "/v1/steady-state"
NOW_S = 1_800_000_000
MEMBERS_HOST = "192.0.2.7"


@dataclass
class Server:
    """A running fleetlockd."""

    port: int
    process: subprocess.Popen[str]

    def ask(
        self, path: str, client: str, group: str = "default", *, method: str = "POST", header: str = "true"
    ) -> tuple[int, dict[str, str]]:
        """The status, and the reason of a no."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        body = json.dumps({"client_params": {"id": client, "group": group}})
        try:
            connection.request(method, path, body, {"fleet-lock-protocol": header})
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status == 200:
            assert text == b""
            return 200, {}
        return answer.status, json.loads(text)


@pytest.fixture
def server(etcd: Cluster) -> Iterator[Server]:
    (port,) = free_ports(1)
    command = [sys.executable, "-I", FLEETLOCKD, "--listen", f"127.0.0.1:{port}"]
    environment = {**os.environ, "LOCKSMITHD_ENDPOINT": ",".join(etcd.endpoints)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_for(lambda: accepts(port), lambda: f"fleetlockd: {process.poll()}")
            yield Server(port, process)
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0


def accepts(port: int) -> bool:
    with socket.socket() as channel:
        return channel.connect_ex(("127.0.0.1", port)) == 0


def test_a_client_takes_the_lock_and_gives_it_back(etcd: Cluster, server: Server) -> None:
    assert server.ask(UNLOCK, "a") == (200, {})  # what a client does first
    assert server.ask(LOCK, "a") == (200, {})
    assert server.ask(LOCK, "a") == (200, {})
    assert ctl(etcd, "status").stdout == "Available: 0\nMax: 1\n\nMACHINE ID\na\n"
    status, reason = server.ask(LOCK, "b")
    assert (status, reason["kind"]) == (409, "failed_lock")
    assert "held by a by FleetLock" in reason["value"]
    assert server.ask(UNLOCK, "b") == (200, {})  # it has nothing to give back
    assert ctl(etcd, "status").stdout.endswith("MACHINE ID\na\n")
    assert server.ask(UNLOCK, "a") == (200, {})
    assert server.ask(LOCK, "b") == (200, {})


def test_our_machines_and_clients_share_the_lock(etcd: Cluster, server: Server) -> None:
    assert ctl(etcd, "lock", "core-01").returncode == 0
    assert server.ask(LOCK, "a")[1]["kind"] == "failed_lock"
    # Nobody frees another machine's lock by saying its name.
    assert server.ask(UNLOCK, "core-01") == (200, {})
    assert server.ask(LOCK, "core-01")[0] == 409
    assert ctl(etcd, "status").stdout.endswith("core-01\n")
    assert ctl(etcd, "unlock", "core-01").returncode == 0
    assert server.ask(LOCK, "a") == (200, {})
    assert ctl(etcd, "lock", "core-01").stderr == "Error locking: semaphore is at 0\n"
    # A person frees the lock of a client that does not come back.
    assert ctl(etcd, "unlock", "a").returncode == 0


def test_groups(etcd: Cluster, server: Server) -> None:
    status, reason = server.ask(LOCK, "a", "workers")
    assert (status, reason["kind"]) == (400, "unknown_group")
    assert server.ask(UNLOCK, "a", "workers")[1]["kind"] == "unknown_group"
    assert ctl(etcd, "-group", "workers", "set-max", "2").returncode == 0
    assert server.ask(LOCK, "a", "workers") == (200, {})
    assert ctl(etcd, "status").stdout == "Available: 1\nMax: 1\n"
    assert ctl(etcd, "-group", "workers", "status").stdout.startswith("Available: 1\nMax: 2\n")
    # It starts anew in another group, and leaves nothing behind.
    assert server.ask(UNLOCK, "a", "default") == (200, {})
    assert ctl(etcd, "-group", "workers", "status").stdout == "Available: 2\nMax: 2\n"


@pytest.mark.parametrize(
    ("path", "method", "header", "client", "status", "kind"),
    [
        (LOCK, "POST", "", "a", 400, "invalid_client_identity"),
        (LOCK, "POST", "true", "", 400, "invalid_client_identity"),
        (UNLOCK, "POST", "", "a", 400, "invalid_client_identity"),
        (LOCK, "GET", "true", "a", 405, "method_not_allowed"),
        ("/v2/pre-reboot", "POST", "true", "a", 404, "not_found"),
    ],
)
def test_what_is_no_request(
    server: Server, path: str, method: str, header: str, client: str, status: int, kind: str
) -> None:
    found, reason = server.ask(path, client, method=method, header=header)
    assert (found, reason["kind"]) == (status, kind)
    assert reason["value"]


def test_a_body_without_end_is_cut(server: Server) -> None:
    assert http_status(server, b"{" * 200_000) == 413


def http_status(server: Server, body: bytes) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.request("POST", LOCK, body, {"fleet-lock-protocol": "true"})
        return connection.getresponse().status
    finally:
        connection.close()


def test_sixty_clients_at_once_and_five_win(etcd: Cluster, server: Server) -> None:
    """All of them have been heard of, so that five are fewer than half."""
    names = [f"w{number:02}" for number in range(60)]
    assert ctl(etcd, "set-max", "5").returncode == 0
    with ThreadPoolExecutor(60) as pool:
        assert set(pool.map(lambda name: server.ask(UNLOCK, name)[0], names)) == {200}
        answers = list(pool.map(lambda name: server.ask(LOCK, name), names))
    assert Counter(status for status, _ in answers) == {200: 5, 409: 55}
    assert {reason["kind"] for status, reason in answers if status != 200} == {"failed_lock"}
    assert ctl(etcd, "status").stdout.startswith("Available: 0\nMax: 5\n")
    winners = [name for name, (status, _) in zip(names, answers, strict=True) if status == 200]
    with ThreadPoolExecutor(5) as pool:
        assert set(pool.map(lambda name: server.ask(UNLOCK, name)[0], winners)) == {200}
    assert ctl(etcd, "status").stdout == "Available: 5\nMax: 5\n"


def test_whatever_max_says_fewer_than_half(etcd: Cluster, server: Server) -> None:
    assert ctl(etcd, "set-max", "9").returncode == 0
    for name in ("a", "b", "c", "d"):
        assert server.ask(UNLOCK, name) == (200, {})
    assert server.ask(LOCK, "a") == (200, {})
    assert server.ask(LOCK, "b") == (200, {})  # of five: these four, and etcd's own machine
    status, reason = server.ask(LOCK, "c")
    assert status == 409
    assert "it would be half or more" in reason["value"]


def test_etcd_away_and_back(etcd: Cluster, server: Server) -> None:
    etcd.members[0].kill()
    status, reason = server.ask(LOCK, "a")
    assert (status, reason["kind"]) == (503, "failed_sem_init")
    assert "cannot connect" in reason["value"]
    etcd.members[0].start()
    etcd.wait_healthy()
    assert server.ask(LOCK, "a") == (200, {})


def test_a_server_that_is_killed_has_lost_nothing(etcd: Cluster, tmp_path: Path) -> None:
    """Two requests to two servers: the state is in etcd."""

    async def go() -> None:
        for path, status in ((LOCK, 200), (LOCK, 200), (UNLOCK, 200)):
            client = Etcd(etcd.endpoints)
            api = Api(client, Access(tuple(etcd.endpoints)), lambda: NOW_S)
            assert (await api.handle(asked(path, "a"))).status == status
            client.close()

    asyncio.run(go())


def test_a_client_on_a_members_machine_costs_etcds_quorum(tmp_path: Path) -> None:
    """Its address tells whose machine it is."""

    async def go(endpoints: tuple[str, ...]) -> None:
        client = Etcd(endpoints)
        api = Api(client, Access(endpoints), lambda: NOW_S)
        for number in range(9):
            assert (await api.handle(asked(UNLOCK, f"w{number}", "192.0.2.9"))).status == 200
        refused = await api.handle(asked(LOCK, "on-m0", MEMBERS_HOST))
        assert refused.status == 409
        assert b"while m2 is down or about to be" in refused.body
        assert (await api.handle(asked(LOCK, "w0", "192.0.2.9"))).status == 200
        found = await Sightings(client).read()
        assert found["w0"] == Sighting(NOW_S)
        assert found["on-m0"].member == f"{await client.member_id():x}"
        client.close()

    with Cluster(tmp_path, size=3) as cluster:
        first, second, third = cluster.members
        first.kill()
        first.also_at = f"http://{MEMBERS_HOST}:2379"
        first.start()
        cluster.wait_healthy()
        third.kill()
        cluster.wait_healthy()
        asyncio.run(go((first.endpoint, second.endpoint)))


def asked(path: str, client: str, peer: str = "127.0.0.1") -> Request:
    body = json.dumps({"client_params": {"id": client, "group": "default"}}).encode()
    return Request("POST", path, {}, (("fleet-lock-protocol", "true"),), body, peer)


def test_nothing_to_listen_on_is_said() -> None:
    done = subprocess.run([sys.executable, "-I", FLEETLOCKD], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "fleetlock.socket" in done.stderr

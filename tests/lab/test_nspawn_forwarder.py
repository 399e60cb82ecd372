"""The forwarder, with a real network namespace: its bridge takes the part of a machine too."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from argosy.base import run
from argosy.base.errors import ArgosyError
from argosy.lab import process
from argosy.lab.model import Cluster, DriverName, Firmware, Machine, Site
from argosy.lab.nspawn import network
from argosy.lab.nspawn.namespace import network_namespace

pytestmark = pytest.mark.root
_MEBIBYTE = 1 << 20


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    cluster = Cluster(
        id=f"test-{tmp_path.name}",
        name="test",
        driver=DriverName.NSPAWN,
        release="1.0.0",
        release_folder="/nowhere",
        firmware=Firmware.BIOS,
        memory_mib=512,
        cpus=1,
        server_port=_free_port(),
        machines=(Machine(1, "core-01", "172.17.8.101", _free_port(), _free_port()),),
    )
    site = Site(cluster, tmp_path, tmp_path)
    yield site
    network.stop(site)
    assert process.find(cluster.id) == []


@contextlib.contextmanager
def _inside(site: Site) -> Iterator[None]:
    """Be in the cluster's network namespace."""
    forwarder = network.forwarder(site)
    assert forwarder is not None
    with Path(f"/proc/{forwarder.pid}/ns/net").open() as file, network_namespace(file.fileno()):
        yield


def _reverse(server: socket.socket) -> None:
    """Answer one connection with all its bytes reversed, once its sender has ended."""
    connection, _ = server.accept()
    with connection, connection.makefile("rb") as received:
        connection.sendall(received.read()[::-1])


def _ask(connection: socket.socket, data: bytes) -> bytes:
    with connection, connection.makefile("rb") as received:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        return received.read()


def test_the_hosts_ports_lead_to_the_machine(site: Site) -> None:
    network.start(site)
    machine = site.cluster.machines[0]
    with _inside(site):
        run.run(["ip", "address", "add", "172.17.8.101/24", "dev", "br0"])
        server = socket.create_server(("172.17.8.101", 22))
    with server:
        thread = threading.Thread(target=_reverse, args=(server,))
        thread.start()
        data = bytes(range(256)) * (4 * _MEBIBYTE // 256)
        connection = socket.create_connection(("127.0.0.1", machine.ssh_port), timeout=20)
        assert _ask(connection, data) == data[::-1]
        thread.join()


def test_the_bridges_port_leads_to_the_hosts_server(site: Site) -> None:
    network.start(site)
    with socket.create_server(("127.0.0.1", site.cluster.server_port)) as server:
        thread = threading.Thread(target=_reverse, args=(server,))
        thread.start()
        with _inside(site):
            connection = socket.create_connection(("172.17.8.1", site.cluster.server_port), timeout=20)
        assert _ask(connection, b"discovery") == b"yrevocsid"
        thread.join()


def test_a_machine_that_does_not_answer_closes_the_connection(site: Site) -> None:
    network.start(site)
    with _inside(site):
        run.run(["ip", "address", "add", "172.17.8.101/24", "dev", "br0"])
    port = site.cluster.machines[0].ssh_port
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        assert connection.recv(1) == b""


def test_start_and_stop_may_be_repeated(site: Site) -> None:
    assert network.forwarder(site) is None
    network.start(site)
    first = network.forwarder(site)
    network.start(site)
    second = network.forwarder(site)
    assert first is not None and second is not None and first.pid != second.pid
    assert [found.pid for found in process.find(site.cluster.id)] == [second.pid]
    network.stop(site)
    network.stop(site)
    assert network.forwarder(site) is None


def test_one_that_was_killed_is_not_taken_for_up(site: Site) -> None:
    network.start(site)
    process.end(process.find(site.cluster.id), grace_s=0)
    assert network.forwarder(site) is None
    network.start(site)
    assert network.forwarder(site) is not None


def test_a_port_that_is_taken_is_said(site: Site) -> None:
    port = site.cluster.machines[0].service_port
    with socket.create_server(("127.0.0.1", port)), pytest.raises(ArgosyError) as caught:
        network.start(site)
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in (caught.value.hint or "")
    assert process.find(site.cluster.id) == []

"""The server as a process: addresses, limits, restarts, signals, and plain errors."""

from __future__ import annotations

import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from tests.server.process import Server

from argosy.base.errors import InputError
from argosy.base.run import Completed, run
from argosy.server.database import sqlite_url
from argosy.server.service import parse_listen, parse_url


def new_cluster(server: Server, size: int = 3) -> str:
    answer = httpx.get(f"{server.address}/new", params={"size": size})
    assert answer.status_code == 200, answer.text
    return answer.text


def register(cluster: str, name: str) -> httpx.Response:
    return httpx.put(f"{cluster}/{name}", params={"prevExist": "false"}, data={"value": f"{name}=http://h"})


def test_health_metrics_and_home(server: Server) -> None:
    assert httpx.get(f"{server.address}/health").text == "OK"
    cluster = new_cluster(server)
    register(cluster, "a")
    numbers = httpx.get(f"{server.address}/metrics")
    assert numbers.headers["content-type"].startswith("text/plain; version=")
    lines = numbers.text.splitlines()
    assert 'argosy_http_requests_total{code="201",method="PUT"} 1.0' in lines
    assert "argosy_discovery_tokens 1.0" in lines
    assert "argosy_discovery_members 1.0" in lines
    assert "argosy_discovery_waits 0.0" in lines
    assert httpx.get(f"{server.address}/healthz").text == "OK"
    home = httpx.get(server.address)
    assert "/new?size=3" in home.text
    assert "/updates" in home.text
    browser = httpx.get(server.address, headers={"Accept": "text/html,*/*;q=0.8"})
    assert (browser.status_code, browser.headers["location"]) == (303, "/updates")


def test_a_new_url_is_at_the_address_that_was_asked(server: Server) -> None:
    def asked(host: str) -> httpx.Response:
        return httpx.get(f"{server.address}/new", headers={"Host": host})

    assert asked("10.0.2.2:8087").text.startswith("http://10.0.2.2:8087/")
    assert asked("[fd00::1]:80").text.startswith("http://[fd00::1]:80/")
    assert asked('x"><b>').status_code == 400


def test_tokens_are_never_in_the_log(server: Server) -> None:
    cluster = new_cluster(server)
    register(cluster, "a")
    assert "a" in server.log
    assert cluster.rpartition("/")[2] not in server.log


def test_browsers_get_a_page_and_etcd_does_not(server: Server) -> None:
    cluster = new_cluster(server)
    register(cluster, "core-01")
    page = httpx.get(cluster, headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert page.headers["content-type"].startswith("text/html")
    assert "1 of 3 members registered" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["referrer-policy"] == "no-referrer"
    assert httpx.get(cluster).json()["node"]["nodes"][0]["value"] == "core-01=http://h"
    missing = httpx.get(f"{server.address}/{'0' * 32}", headers={"Accept": "text/html"})
    assert (missing.status_code, "No such cluster" in missing.text) == (404, True)


def test_a_body_that_is_too_large_is_refused(server: Server) -> None:
    cluster = new_cluster(server)
    assert httpx.put(f"{cluster}/a", data={"value": "x" * 20000}).status_code == 413

    def without_end() -> object:
        yield from (b"x" * 1000 for _ in range(1000))

    with httpx.Client() as client:
        try:
            refused = client.put(f"{cluster}/a", content=without_end())  # type: ignore[arg-type]
            assert refused.status_code == 413
        except httpx.TransportError:
            pass  # The server answered and closed before all was sent.
    assert "nodes" not in httpx.get(cluster).json()["node"]


def wait_for(cluster: str, since: int) -> httpx.Response:
    parameters: dict[str, str | int] = {"wait": "true", "recursive": "true", "waitIndex": since}
    return httpx.get(cluster, params=parameters, timeout=30)


def metric(server: Server, name: str) -> float:
    lines = httpx.get(f"{server.address}/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith(f"{name} ")).split()[1])


def until(what: str, server: Server, value: float) -> None:
    deadline = time.monotonic() + 20
    while metric(server, what) != value:
        assert time.monotonic() < deadline, f"{what} is not {value}"
        time.sleep(0.02)


def test_all_who_wait_are_woken_by_one_event(server: Server) -> None:
    cluster = new_cluster(server)
    index = int(httpx.get(cluster).headers["x-etcd-index"])
    with ThreadPoolExecutor(20) as pool:
        waiting = [pool.submit(wait_for, cluster, index + 1) for _ in range(20)]
        until("argosy_discovery_waits", server, 20)
        register(cluster, "a")
        answers = [future.result() for future in waiting]
    assert {answer.json()["node"]["value"] for answer in answers} == {"a=http://h"}
    assert {answer.headers["x-etcd-index"] for answer in answers} == {str(index)}
    until("argosy_discovery_waits", server, 0)


def test_no_event_is_missed_while_members_register_at_once(server: Server) -> None:
    """Three who follow the cluster event by event, against twelve who register from four threads."""
    cluster = new_cluster(server, size=12)
    names = [f"m{number}" for number in range(12)]
    index = int(httpx.get(cluster).headers["x-etcd-index"])

    def follow() -> list[str]:
        seen: list[str] = []
        since = index + 1
        while len(seen) < len(names):
            node = wait_for(cluster, since).json()["node"]
            seen.append(node["key"].rpartition("/")[2])
            since = node["modifiedIndex"] + 1
        return seen

    with ThreadPoolExecutor(7) as pool:
        followers = [pool.submit(follow) for _ in range(3)]
        created = list(pool.map(lambda name: register(cluster, name).json()["node"], names))
        stories = [follower.result() for follower in followers]
    by_age = sorted(created, key=lambda node: node["createdIndex"])
    assert stories == [[node["key"].rpartition("/")[2] for node in by_age]] * 3


def test_one_name_is_registered_once_however_many_try(server: Server) -> None:
    cluster = new_cluster(server)
    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(lambda _: register(cluster, "a").status_code, range(8)))
    assert sorted(codes) == [201] + [412] * 7


def test_a_wait_that_is_left_is_forgotten(server: Server) -> None:
    cluster = new_cluster(server)
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(cluster, params={"wait": "true"}, timeout=0.3)
    until("argosy_discovery_waits", server, 0)


def test_sigterm_ends_at_once_in_spite_of_waits_and_nothing_is_lost(server: Server) -> None:
    cluster = new_cluster(server)
    register(cluster, "a")
    before = httpx.get(cluster)
    index = int(before.headers["x-etcd-index"])
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait_for, cluster, index + 1)
        until("argosy_discovery_waits", server, 1)
        started = time.monotonic()
        assert server.end(signal.SIGTERM) == 0
        assert time.monotonic() - started < 3
        ended = waiting.result()
    assert (ended.status_code, ended.content) == (200, b"")
    server.start()
    assert httpx.get(cluster).json() == before.json()
    assert register(cluster, "b").json()["node"]["createdIndex"] == index + 1
    assert wait_for(cluster, index + 1).json()["node"]["value"] == "b=http://h"


def test_what_was_acknowledged_survives_a_kill_at_any_moment(server: Server) -> None:
    cluster = new_cluster(server)
    acknowledged: list[str] = []

    def go_on_registering() -> None:
        for number in range(200):
            try:
                if register(cluster, f"m{number}").status_code == 201:
                    acknowledged.append(f"m{number}")
            except httpx.TransportError:
                return

    writer = threading.Thread(target=go_on_registering)
    writer.start()
    while len(acknowledged) < 5:
        time.sleep(0.01)
    server.end(signal.SIGKILL)
    writer.join()
    server.start()
    nodes = httpx.get(cluster).json()["node"]["nodes"]
    assert {node["key"].rpartition("/")[2] for node in nodes} >= set(acknowledged)
    indexes = [node["createdIndex"] for node in nodes]
    assert indexes == list(range(indexes[0], indexes[0] + len(indexes)))


def serve(*words: str, env: dict[str, str] | None = None) -> Completed:
    """Time is for a host that has much else to do: a start alone takes seconds."""
    return run([sys.executable, "-m", "argosy", "serve", *words], check=False, timeout_s=300, env=env)


def test_a_port_that_is_taken(server: Server, tmp_path: Path) -> None:
    done = serve("--listen", f"127.0.0.1:{server.port}", "--database", sqlite_url(tmp_path / "other.sqlite"))
    assert done.returncode == 1
    text = done.stderr.decode()
    assert f"cannot listen on 127.0.0.1:{server.port}: Address already in use" in text
    assert "--listen" in text
    assert "Traceback" not in text


def test_a_database_that_is_in_use(server: Server, tmp_path: Path) -> None:
    done = serve("--listen", "127.0.0.1:0", "--database", sqlite_url(tmp_path / "server.sqlite"))
    assert done.returncode == 1
    assert f"another server is using {tmp_path}/server.sqlite" in done.stderr.decode()


def test_a_wrong_database_in_the_environment(tmp_path: Path) -> None:
    env = {"ARGOSY_DATABASE": "nosuchdb://u:hunter2@host/x", "XDG_DATA_HOME": str(tmp_path)}
    done = serve("--listen", "127.0.0.1:0", env=env)
    error = done.stderr.decode()
    assert done.returncode == 2, error
    assert "the database's URL is not one that SQLAlchemy knows" in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:8087", ("127.0.0.1", 8087)),
        ("[::1]:0", ("::1", 0)),
        (":80", ("", 80)),
        ("localhost:80", ("localhost", 80)),
    ],
)
def test_listen(text: str, expected: tuple[str, int]) -> None:
    assert parse_listen(text) == expected


@pytest.mark.parametrize("text", ["8087", "127.0.0.1", "a:b", "h:65536", "::1:80", "h:-1", ""])
def test_wrong_listen(text: str) -> None:
    with pytest.raises(InputError):
        parse_listen(text)


def test_url() -> None:
    assert parse_url("https://discovery.example.com/") == "https://discovery.example.com"
    assert parse_url("http://h:1/path/") == "http://h:1/path"
    for wrong in ("h:1", "ftp://h", "http://", "http://h?x", "http://u:p@h", "http://a b"):
        with pytest.raises(InputError):
            parse_url(wrong)

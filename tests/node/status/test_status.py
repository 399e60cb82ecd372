"""A machine's status: real HTTP servers stand for etcd and fleet; waiting runs on a clock of its own."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from argosy.formats.nodestatus import NodeStatus, UnitStatus
from argosy.node.release import release_version
from argosy.node.status.observe import Places, etcd_status, fleet_status, slot
from argosy.node.status.readiness import wait_until_ready, waiting_for

Answers = dict[str, tuple[int, str]]


class _Handler(BaseHTTPRequestHandler):
    answers: Answers

    def do_GET(self) -> None:
        code, body = self.answers.get(self.path, (404, ""))
        self.send_response(code)
        self.end_headers()
        self.wfile.write(body.encode())

    def address_string(self) -> str:
        return "here"

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def answers() -> Answers:
    return {}


@pytest.fixture
def places(tmp_path: Path, answers: Answers) -> Iterator[Places]:
    handler = type("Handler", (_Handler,), {"answers": answers})
    path = tmp_path / "fleet.sock"
    tcp = socketserver.TCPServer(("127.0.0.1", 0), handler)
    unix = socketserver.UnixStreamServer(str(path), handler)
    threads = [threading.Thread(target=server.serve_forever, args=(0.01,)) for server in (tcp, unix)]
    for thread in threads:
        thread.start()
    yield Places("127.0.0.1", tcp.server_address[1], path)
    for server, thread in zip((tcp, unix), threads, strict=True):
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("unit", "answer", "expected"),
    [
        ("inactive", (200, '{"health":"true"}'), "off"),
        ("active", (200, '{"health":"true","reason":""}'), "healthy"),
        ("active", (503, '{"health":"false"}'), "unhealthy"),
        ("active", (200, '{"health":"false"}'), "unhealthy"),
        ("active", (200, "[]"), "unhealthy"),
    ],
)
def test_etcd(places: Places, answers: Answers, unit: str, answer: tuple[int, str], expected: str) -> None:
    answers["/health"] = answer
    assert etcd_status(unit, places) == expected


def test_nobody_there_is_unhealthy_and_unregistered(tmp_path: Path) -> None:
    places = Places("127.0.0.1", 1, tmp_path / "missing")
    assert etcd_status("activating", places) == "unhealthy"
    assert fleet_status("activating", "m1", places) == ("unregistered", ())
    assert fleet_status("inactive", "m1", places) == ("off", ())


def test_fleet_over_several_pages(places: Places, answers: Answers) -> None:
    answers["/fleet/v1/machines?"] = (200, '{"machines":[{"id":"m0"}],"nextPageToken":"t="}')
    assert fleet_status("active", "m1", places) == ("unregistered", ())
    answers["/fleet/v1/machines?nextPageToken=t%3D"] = (
        200,
        '{"machines":[{"id":"m1","primaryIP":"1.2.3.4"}]}',
    )
    states = (
        '{"states":[{"name":"b.service","systemdActiveState":"failed"},'
        '{"name":"a.service","systemdActiveState":"active"}]}'
    )
    answers["/fleet/v1/state?machineID=m1"] = (200, states)
    units = (UnitStatus("a.service", "active"), UnitStatus("b.service", "failed"))
    assert fleet_status("active", "m1", places) == ("registered", units)


@pytest.mark.parametrize(
    ("cmdline", "expected"),
    [
        ("quiet argosy.slot=a\n", "A"),
        ("argosy.slot=b x", "B"),
        ("xargosy.slot=a", None),
        ("argosy.slot=c", None),
    ],
)
def test_slot(cmdline: str, expected: str | None) -> None:
    assert slot(cmdline) == expected


def test_release(tmp_path: Path) -> None:
    path = tmp_path / "os-release"
    assert release_version(path) == "unknown"
    path.write_text('ID=argosy\nVERSION_ID="4891.0.0"\nVERSION=x\n')
    assert release_version(path) == "4891.0.0"


READY = NodeStatus("h", "m", "4891.0.0", "A", "running", "healthy", "registered")


class Clock:
    """Time that passes only while something waits."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


def wait(statuses: list[NodeStatus], timeout_s: float = 10) -> tuple[NodeStatus, list[str], float]:
    clock, notes = Clock(), []
    left = iter(statuses)
    found = wait_until_ready(
        lambda: next(left, statuses[-1]),
        clock.sleep,
        timeout_s=timeout_s,
        clock=clock,
        sleep=clock.sleep,
        note=notes.append,
    )
    return found, notes, clock.now_s


def test_a_ready_machine_is_not_waited_for() -> None:
    assert wait([READY]) == (READY, [], 0.0)


def test_what_is_waited_for_is_said_once_each() -> None:
    etcd, fleet = replace(READY, etcd="unhealthy"), replace(READY, fleet="unregistered")
    found, notes, seconds = wait([etcd, etcd, fleet, READY])
    assert found == READY
    assert notes == ["waiting for etcd to become healthy", "waiting for fleet to register the machine"]
    assert seconds == 3


def test_waiting_ends_with_the_last_status() -> None:
    never = replace(READY, etcd="unhealthy")
    found, _, seconds = wait([never], 5)
    assert found == never
    assert seconds == 5


def test_a_boot_is_waited_for_without_asking_again_and_again() -> None:
    booting = replace(READY, state="starting")
    assert waiting_for(booting) == "the boot to finish: starting"
    found, notes, seconds = wait([booting, booting], 7)
    assert (found, seconds, len(notes)) == (booting, 7, 1)

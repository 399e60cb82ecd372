"""Health probes: the verdict, the user's executables, and what becomes of a version on trial."""

from __future__ import annotations

import http.server
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.node.slots.disk import make_places

from argosy.base.errors import InputError
from argosy.node.health.model import Decision, Result, Verdict
from argosy.node.health.probes import Probe, execute, update_service, users
from argosy.node.health.service import Gate, deadline_s, decide
from argosy.node.health.verdict import judge
from argosy.node.slots.store import Slots
from argosy.node.updateconf import Settings, read_settings

GOOD = Result("units", True, "no unit has failed")
BAD = Result("etcd", False, "the member is unhealthy")


# The verdict


@pytest.mark.parametrize(
    ("results", "up_s", "verdict"),
    [
        ((GOOD,), 40.0, Verdict(Decision.COMMIT, "all 1 health probes pass after 40 s")),
        ((GOOD,), 700.0, Verdict(Decision.COMMIT, "all 1 health probes pass after 700 s")),
        ((GOOD, BAD), 599.9, Verdict(Decision.WAIT, "etcd: the member is unhealthy")),
        (
            (GOOD, BAD),
            600.0,
            Verdict(Decision.REJECT, "not healthy within 600 s: etcd: the member is unhealthy"),
        ),
        (
            (BAD, replace(BAD, name="web")),
            601.0,
            Verdict(
                Decision.REJECT,
                "not healthy within 600 s: etcd: the member is unhealthy; web: the member is unhealthy",
            ),
        ),
    ],
)
def test_the_verdict(results: tuple[Result, ...], up_s: float, verdict: Verdict) -> None:
    assert judge(results, up_s, 600.0) == verdict


class Machine:
    """Time passes only when the gate sleeps; a probe passes from `well_at_s` on."""

    def __init__(self, well_at_s: float) -> None:
        self.now_s = 30.0
        self.well_at_s = well_at_s
        self.rounds = 0

    def gate(self) -> Gate:
        return Gate(lambda: [Probe("late", self._ask)], lambda: 100.0, lambda: self.now_s, self._sleep)

    def _ask(self) -> tuple[bool, str]:
        self.rounds += 1
        return self.now_s >= self.well_at_s, "asked"

    def _sleep(self, seconds: float) -> None:
        self.now_s += seconds


def test_the_gate_waits_until_all_probes_pass() -> None:
    machine = Machine(well_at_s=52.0)
    assert machine.gate().verdict().decision is Decision.COMMIT
    assert (machine.now_s, machine.rounds) == (55.0, 6)


def test_the_gate_gives_up_at_the_deadline() -> None:
    machine = Machine(well_at_s=101.0)
    assert machine.gate().verdict() == Verdict(Decision.REJECT, "not healthy within 100 s: late: asked")


# The user's probes


def script(path: Path, text: str, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("exit 0", (True, "passes")),
        ("echo one; echo all is well", (True, "all is well")),
        ("echo starting; exit 3", (False, "exit code 3: starting")),
        ("echo the disk is full >&2; exit 1", (False, "exit code 1: the disk is full")),
        ("exit 7", (False, "exit code 7")),
    ],
)
def test_a_probe_passes_by_its_exit_code(tmp_path: Path, text: str, expected: tuple[bool, str]) -> None:
    assert execute(script(tmp_path / "probe", text), 10.0) == expected


def test_a_probe_that_hangs_ends_with_its_children(tmp_path: Path) -> None:
    probe = script(tmp_path / "probe", f"sleep 60 & echo $! > {tmp_path}/child; wait")
    started = time.monotonic()
    assert execute(probe, 0.3) == (False, f"{probe} took longer than 0.3 s")
    assert time.monotonic() - started < 5
    child = int((tmp_path / "child").read_text())
    with pytest.raises(ProcessLookupError):
        for _ in range(50):
            os.kill(child, 0)
            time.sleep(0.1)


def test_a_file_that_is_not_executable_does_not_pass(tmp_path: Path) -> None:
    passed, detail = execute(script(tmp_path / "probe", "exit 0", mode=0o644), 1.0)
    assert not passed
    assert "not executable" in detail


def test_a_program_that_cannot_be_started_does_not_pass(tmp_path: Path) -> None:
    probe = tmp_path / "probe"
    probe.write_text("#!/no/such/interpreter\n")
    probe.chmod(0o755)
    assert not execute(probe, 1.0)[0]


def test_the_machine_s_own_probes_go_before_the_oem_s(tmp_path: Path) -> None:
    ours, oem = tmp_path / "etc", tmp_path / "oem"
    script(ours / "20-web", "echo mine")
    script(oem / "20-web", "exit 1")
    script(oem / "10-disk", "echo oem")
    script(oem / "30-off", "exit 1")
    (ours / "30-off").symlink_to("/dev/null")
    script(ours / ".hidden", "exit 1")
    script(ours / "20-web~", "exit 1")
    found = list(users((ours, oem, tmp_path / "missing"), lambda: 10.0))
    assert [probe.result() for probe in found] == [
        Result("10-disk", True, "oem"),
        Result("20-web", True, "mine"),
    ]


# The update service


class Answering(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(405)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), Answering) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}/v1/update/"
        listening.shutdown()


def test_an_update_service_that_answers_anything_is_reachable(server: str) -> None:
    assert update_service(Settings(server=server)) == (True, f"{server} answers")


def test_an_update_service_that_is_away_is_not() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        passed, detail = update_service(Settings(server=f"http://127.0.0.1:{taken.getsockname()[1]}/"))
    assert not passed
    assert "does not answer" in detail


def test_no_update_service_is_wanted() -> None:
    assert update_service(Settings())[0]


# update.conf


def test_the_deadline_and_the_probes_time(tmp_path: Path) -> None:
    conf = tmp_path / "update.conf"
    conf.write_text("HEALTH_DEADLINE_S=120\nHEALTH_PROBE_TIMEOUT_S=5\n")
    settings = read_settings((conf,))
    assert (settings.health_deadline_s, settings.health_probe_timeout_s) == (120.0, 5.0)
    assert (Settings().health_deadline_s, Settings().health_probe_timeout_s) == (600.0, 30.0)


@pytest.mark.parametrize("value", ["0", "-3", "soon", "1141", "1.5"])
def test_a_deadline_that_cannot_be_is_refused_and_the_gate_keeps_the_default(
    tmp_path: Path, value: str
) -> None:
    conf = tmp_path / "update.conf"
    conf.write_text(f"HEALTH_DEADLINE_S={value}\n")
    with pytest.raises(InputError, match="HEALTH_DEADLINE_S"):
        read_settings((conf,))
    assert deadline_s(lambda: read_settings((conf,))) == 600.0


# What becomes of the version


def on_trial(tmp_path: Path) -> Slots:
    places = make_places(tmp_path)
    Slots(places).reconcile("1.0.0")
    Slots(places).arm("2.0.0")
    Slots(places).take_next_boot()
    booted = Slots(replace(places, running="b"), clock=lambda: 1000.0)
    booted.reconcile("2.0.0")
    return booted


def test_a_healthy_version_is_committed(tmp_path: Path) -> None:
    slots = on_trial(tmp_path)
    assert decide(slots, Verdict(Decision.COMMIT, "all well")) is False
    assert slots.observe().bits.b.successful
    assert (slots.next_boot().slot, slots.next_boot().trial) == ("b", False)


def test_an_unhealthy_version_is_rejected_and_the_machine_reboots(tmp_path: Path) -> None:
    slots = on_trial(tmp_path)
    assert decide(slots, Verdict(Decision.REJECT, "not healthy within 600 s: web: exit code 1")) is True
    assert slots.next_boot().slot == "a"
    assert slots.failures()[0].reason == "not healthy within 600 s: web: exit code 1"
    assert slots.failed_versions() == {"2.0.0"}


def test_the_reboot_after_a_rejection_gives_no_try_back(tmp_path: Path) -> None:
    slots = on_trial(tmp_path)
    decide(slots, Verdict(Decision.REJECT, "bad"))
    slots.return_try()
    assert slots.next_boot().slot == "a"


def test_without_a_way_back_an_unhealthy_version_stays(tmp_path: Path) -> None:
    slots = on_trial(tmp_path)
    from argosy.node.slots.cgpt.cli import main

    assert main(["add", "-i", "3", "-S", "0", "-P", "0", str(slots.places.disk)]) == 0
    assert decide(slots, Verdict(Decision.REJECT, "bad")) is False
    assert slots.failures() == ()

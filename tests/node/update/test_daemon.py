"""The daemon as it runs on a machine: processes, D-Bus, HTTP; only the disk is an image file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.node.update.bench import (
    NEW,
    OLD,
    Key,
    Machine,
    Service,
    Web,
    answers,
    contents,
    hangs_at,
    payload,
    serves,
    stops_after,
    web,
)
from tests.node.update.daemon import Daemon, bus, wait_for

from argosy.formats import payload as p
from argosy.formats.omaha.codes import ErrorCode, EventResult, EventType
from argosy.node.update.journal import Journal

IDLE = "\n".join(
    (
        "LAST_CHECKED_TIME=0",
        "PROGRESS=0.000000",
        "CURRENT_OP=UPDATE_STATUS_IDLE",
        "NEW_VERSION=0.0.0",
        "NEW_SIZE=0\n",
    )
)


@dataclass
class Scene:
    """A machine with its engine, an update service and a server of packages."""

    machine: Machine
    daemon: Daemon
    service: Service
    server: Web
    packages: Web
    key: Key
    stack: ExitStack

    def publish(self, data: bytes, **values: object) -> None:
        self.packages.handle = serves(data)
        self.service.offer(f"{self.packages.url}/p/update.payload", len(data), **values)  # type: ignore[arg-type]

    def event_kinds(self) -> list[tuple[int, int, int]]:
        return [(event.type, event.result, event.error_code) for event in self.service.events]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    key = Key(tmp_path / "private")
    machine = Machine(tmp_path / "machine")
    key.trust_in(machine.keys)
    service = Service()
    with ExitStack() as stack:
        server, packages = stack.enter_context(web(service.handle)), stack.enter_context(web(answers(404)))
        machine.configure(f"{server.url}/v1/update/")
        daemon = Daemon(machine, stack.enter_context(bus(tmp_path)))
        stack.callback(daemon.kill)
        yield Scene(machine, daemon, service, server, packages, key, stack)


def test_an_update_from_end_to_end(scene: Scene) -> None:
    data = payload(scene.key)
    scene.publish(data)
    scene.daemon.start()
    assert scene.daemon.client("-status").stdout == IDLE
    done = scene.daemon.client("-update")
    assert done.returncode == 0, scene.daemon.log()
    assert "Update succeeded -- reboot needed." in done.stderr
    assert scene.machine.installed() == contents()
    assert scene.machine.armed
    status = dict(line.split("=") for line in scene.daemon.client("-status").stdout.split())
    assert status["CURRENT_OP"] == "UPDATE_STATUS_UPDATED_NEED_REBOOT"
    assert (status["NEW_VERSION"], status["NEW_SIZE"]) == (NEW, str(len(data)))
    assert int(status["LAST_CHECKED_TIME"]) > 1_500_000_000
    assert "waits for a reboot" in scene.daemon.why()["answer"]
    assert scene.event_kinds() == [(13, 1, 0), (14, 1, 0), (3, 1, 0)]
    asked = scene.service.requests[0]
    assert (asked.install_source, asked.apps[0].track) == ("ondemandupdate", "stable")
    assert asked.apps[0].machine_id == Path("/etc/machine-id").read_text().strip()
    # Already there: at once the same.
    assert scene.daemon.client("-update").returncode == 0


def test_the_daemon_stays_small(scene: Scene) -> None:
    """30 MB, also after an update: what is heavy was in the worker."""
    scene.publish(payload(scene.key))
    scene.daemon.start()
    assert scene.daemon.client("-update").returncode == 0
    assert scene.daemon.rss_bytes() < 30 << 20
    assert scene.daemon.process is not None
    assert "libcrypto" not in Path(f"/proc/{scene.daemon.process.pid}/maps").read_text()


def test_no_update(scene: Scene) -> None:
    scene.daemon.start()
    done = scene.daemon.client("-update")
    assert done.returncode == 1
    assert "Update failed." in done.stderr
    assert "has no update for this machine" in done.stderr
    assert scene.daemon.why()["problems"] == []


def test_reset_takes_the_update_back(scene: Scene) -> None:
    scene.publish(payload(scene.key))
    scene.daemon.start()
    scene.daemon.client("-update")
    assert scene.daemon.client("-reset_status").returncode == 0
    assert not scene.machine.armed
    assert "CURRENT_OP=UPDATE_STATUS_IDLE" in scene.daemon.client("-status").stdout
    assert scene.daemon.client("-update").returncode == 0
    assert scene.machine.armed


def test_settings_are_read_when_they_count(scene: Scene) -> None:
    scene.publish(payload(scene.key))
    scene.machine.configure(f"{scene.server.url}/v1/update/", HOLD="moving house")
    scene.daemon.start()
    assert scene.daemon.client("-update").returncode == 1
    assert scene.daemon.why()["answer"] == "updates are held: moving house"
    scene.machine.configure(f"{scene.server.url}/v1/update/", PIN="4891.7.0")
    assert scene.daemon.client("-update").returncode == 1
    assert [each["code"] for each in scene.daemon.why()["problems"]] == ["pinned"]
    scene.machine.configure("")
    assert scene.daemon.client("-update").returncode == 1
    assert scene.daemon.why()["answer"] == "no update service is set, so there are no updates"
    scene.machine.configure(f"{scene.server.url}/v1/update/", FLOOR="nonsense")
    assert scene.daemon.client("-update").returncode == 1
    assert "update.conf:5: 'nonsense' is not a version" in scene.daemon.why()["answer"]
    # Of all that, the service hears only that an offer was not taken.
    assert scene.event_kinds() in ([], [(3, 0, ErrorCode.VERSION_REFUSED)])


def test_every_reason_at_once(scene: Scene) -> None:
    scene.publish(payload(scene.key))
    scene.machine.configure(f"{scene.server.url}/v1/update/", PIN="4891.7.0", FLOOR="4999.0.0")
    scene.daemon.start()
    scene.daemon.client("-update")
    assert {each["code"] for each in scene.daemon.why()["problems"]} == {"pinned", "below-floor"}


def test_a_refused_payload_is_reported_and_left_alone(scene: Scene, tmp_path: Path) -> None:
    scene.publish(payload(Key(tmp_path / "theirs")))
    scene.daemon.start()
    done = scene.daemon.client("-update")
    assert done.returncode == 1
    assert "which is not trusted here" in done.stderr
    ((kind, result, code),) = scene.event_kinds()
    assert (kind, result, code) == (
        EventType.UPDATE_COMPLETE,
        EventResult.ERROR,
        ErrorCode.SIGNATURE_VERIFICATION,
    )
    assert scene.service.events[0].next_version == NEW
    assert "not trusted here" in scene.service.events[0].reason
    assert "left alone for" in scene.daemon.why()["answer"]
    assert scene.machine.partial_files() == []
    # A person may try it at once.
    asked = scene.packages.asked
    scene.daemon.client("-update")
    assert scene.packages.asked > asked


def test_events_wait_on_disk_while_the_service_is_away(scene: Scene) -> None:
    scene.publish(payload(scene.key))

    def gone_after_the_check(request: object) -> None:
        scene.packages.handle = serves(payload(scene.key))
        scene.service.broken = answers(503)
        scene.packages.handle(request)  # type: ignore[arg-type]

    scene.packages.handle = gone_after_the_check
    scene.daemon.start()
    assert scene.daemon.client("-update").returncode == 0
    assert scene.event_kinds() == []
    assert scene.daemon.why()["waiting_events"] == 3
    scene.daemon.kill()
    scene.service.broken = None
    scene.daemon.start()
    wait_for(lambda: len(scene.service.events) == 3, scene.daemon.log, timeout_s=40)
    assert scene.event_kinds() == [(13, 1, 0), (14, 1, 0), (3, 1, 0)]
    wait_for(lambda: scene.daemon.why()["waiting_events"] == 0, scene.daemon.log)


def test_killed_in_the_middle(scene: Scene) -> None:
    """The download hangs, the machine loses its power, comes back, and finishes with the rest only."""
    parts = contents(usr_bytes=100_000)
    data = payload(scene.key, parts=parts)
    scene.publish(data)
    head = p.decode_header(data).data_at
    scene.packages.handle = hangs_at(data, head + (len(data) - head) // 2)
    scene.daemon.start()
    scene.daemon.client("-check_for_update")
    journal = Journal(scene.machine.state / "progress.json")
    wait_for(lambda: (found := journal.read()) is not None and found.operations_done > 10, scene.daemon.log)
    scene.daemon.kill()
    (scene.machine.esp / "coreos/initrd-b.part").write_bytes(b"partial")
    assert not scene.machine.armed
    scene.machine.slots.reconcile(OLD)
    scene.packages.handle = serves(data)
    scene.packages.ranges.clear()
    scene.daemon.start()
    wait_for(lambda: scene.machine.partial_files() == [], scene.daemon.log)
    assert scene.daemon.client("-update").returncode == 0, scene.daemon.log()
    assert scene.machine.armed
    assert scene.packages.ranges[-1] is not None
    paths = scene.machine.slots.standby_target()
    with paths.usr.open("rb") as file:
        file.seek(paths.offset_bytes)
        assert file.read(100_000) == parts[p.USR]


def test_a_failed_version_is_reported_and_not_tried_again_unless_asked_for(scene: Scene) -> None:
    scene.machine.slots.arm(NEW)
    choice = scene.machine.slots.next_boot()
    assert choice.slot == "b"
    for _ in range(3):
        scene.machine.slots.take_next_boot()
    scene.machine.slots.reconcile(OLD)
    assert scene.machine.slots.failed_versions() == {NEW}
    scene.publish(payload(scene.key))
    scene.daemon.start()
    wait_for(lambda: bool(scene.service.events), scene.daemon.log, timeout_s=40)
    (event,) = scene.service.events
    assert (event.type, event.result, event.error_code) == (3, 0, ErrorCode.BOOT_FAILED)
    assert event.next_version == NEW
    assert event.reason == "it did not come up in 3 tries"
    assert scene.daemon.client("-update").returncode == 1
    why = scene.daemon.why()
    assert [each["code"] for each in why["problems"]] == ["failed-before"]
    assert why["failed_versions"] == {NEW: "it did not come up in 3 tries"}
    assert scene.packages.asked == 0
    assert scene.daemon.client("-update", "-retry").returncode == 0
    assert scene.machine.armed


def test_proxies_come_from_the_settings(scene: Scene) -> None:
    """Both the service and the packages go through the proxy; a name that nobody knows shows it."""
    data = payload(scene.key)
    seen: list[str] = []

    def proxy(request: object) -> None:
        path = request.path  # type: ignore[attr-defined]
        seen.append(path)
        if path.startswith("http://updates.invalid/"):
            scene.service.handle(request)  # type: ignore[arg-type]
        else:
            serves(data)(request)  # type: ignore[arg-type]

    through = scene.stack.enter_context(web(proxy))
    scene.service.offer("http://packages.invalid/p/update.payload", len(data))
    scene.machine.configure("http://updates.invalid/v1/update/", HTTP_PROXY=f"127.0.0.1:{through.port}")
    scene.daemon.environment = {"http_proxy": "http://127.0.0.1:1", "no_proxy": "*"}
    scene.machine.conf.write_text(scene.machine.conf.read_text() + "NO_PROXY=localhost\n")
    scene.daemon.start()
    assert scene.daemon.client("-update").returncode == 0, scene.daemon.log()
    assert "http://packages.invalid/p/update.payload" in seen


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (answers(500), "answer-status"),
        (answers(404), "answer-status"),
        (answers(302, Location="/v1/update/"), "answer-status"),
        (serves(b"<html>hello</html>"), "bad-answer"),
        (serves(b"<!DOCTYPE x [<!ENTITY a 'b'>]><response/>"), "bad-answer"),
        (serves(b'<response protocol="3.0"/>'), "bad-answer"),
        (serves(b" " * (2 << 20)), "bad-answer"),
        (stops_after(b"<response>" * 100, 20), "no-answer"),
    ],
)
def test_a_service_in_trouble(scene: Scene, answer: object, code: str) -> None:
    def handle(request: object) -> None:
        request.rfile.read(int(request.headers["Content-Length"] or 0))  # type: ignore[attr-defined]
        answer(request)  # type: ignore[operator]

    scene.service.broken = handle if code != "answer-status" else answer  # type: ignore[assignment]
    scene.daemon.start()
    assert scene.daemon.client("-update").returncode == 1
    assert [each["code"] for each in scene.daemon.why()["problems"]] == [code], scene.daemon.log()


def test_without_an_engine(tmp_path: Path) -> None:
    with bus(tmp_path) as address:
        done = Daemon(Machine(tmp_path / "machine"), address).client("-status")
    assert done.returncode == 1
    assert "systemctl status update-engine" in done.stderr

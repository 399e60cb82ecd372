"""The engine and `argosy serve`, as they meet on a network: publish, update, fall back, stop."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.node.update.bench import NEW, OLD, Machine
from tests.node.update.daemon import Daemon, bus, wait_for
from tests.server.process import Server

from argosy.base.progress import Silent
from argosy.base.run import run
from argosy.formats import payload as p
from argosy.formats.version import parse_version
from argosy.image.keys import ensure_keys
from argosy.image.payload import Info, make_payload


@dataclass
class Meeting:
    """A machine, a server, and someone who publishes."""

    machine: Machine
    daemon: Daemon
    server: Server
    folder: Path

    def argosy(self, *words: str | Path) -> Any:
        environment = {"ARGOSY_SERVER": self.server.address, "ARGOSY_TOKEN_FILE": str(self.server.token_file)}
        done = run([sys.executable, "-m", "argosy", *words, "--json"], env=environment, timeout_s=120)
        return json.loads(done.stdout)

    def publish(self, version: str, usr: bytes) -> None:
        path = self.folder / f"{version}.payload"
        contents: dict[str, Path | bytes] = {name: (name + version).encode() * 50 for name in p.PARTS}
        info = Info(parse_version(version), "stable", "6.12.1", floor=parse_version("4000.0.0"))
        make_payload(contents | {p.USR: usr}, info, ensure_keys(self.server.keys), path, Silent())
        self.argosy("publish", path, "--channel", "stable")

    def told(self) -> dict[str, Any]:
        """What the server knows of the machine."""
        (found,) = self.argosy("machines")
        return dict(found)


@pytest.fixture
def meeting(tmp_path: Path) -> Iterator[Meeting]:
    (tmp_path / "server").mkdir()
    keys = ensure_keys(tmp_path / "server/keys")
    machine = Machine(tmp_path / "machine", slot_sectors=8192)
    for key in keys:
        (machine.keys / f"{key.name}.pem").write_bytes(key.public)
    with Server(tmp_path / "server") as server, bus(tmp_path) as address:
        machine.configure(f"{server.address}/v1/update/")
        daemon = Daemon(machine, address)
        try:
            yield Meeting(machine, daemon, server, tmp_path)
        finally:
            daemon.kill()


def test_publish_update_and_stop_after_a_failed_boot(meeting: Meeting) -> None:
    usr = bytes(range(256)) * 8192
    meeting.publish(NEW, usr)
    meeting.daemon.start()
    done = meeting.daemon.client("-update")
    assert done.returncode == 0, meeting.daemon.log()
    paths = meeting.machine.slots.standby_target()
    with paths.usr.open("rb") as file:
        file.seek(paths.offset_bytes)
        assert file.read(len(usr)) == usr
    assert paths.kernel.read_bytes() == f"vmlinuz{NEW}".encode() * 50
    assert meeting.told()["version"] == OLD
    # Three tries that never come up; the machine is back in slot A.
    meeting.daemon.kill()
    for _ in range(3):
        meeting.machine.slots.take_next_boot()
    meeting.machine.slots.reconcile(OLD)
    meeting.daemon.start()
    wait_for(lambda: "did not come up" in json.dumps(meeting.told()), meeting.daemon.log, timeout_s=60)
    assert NEW in [each["version"] for each in meeting.argosy("groups", "stable")["stopped"]]
    done = meeting.daemon.client("-update")
    assert done.returncode == 1
    assert "stopped" in meeting.daemon.why()["answer"] or "failed" in meeting.daemon.why()["answer"]


def test_back_with_the_channel_but_not_below_the_floor(meeting: Meeting) -> None:
    meeting.publish("4880.0.0", b"older" * 1000)
    meeting.publish(OLD, b"old" * 1000)
    meeting.argosy("rollback-channel", "stable")
    meeting.machine.configure(f"{meeting.server.address}/v1/update/", FLOOR="4885.0.0")
    meeting.daemon.start()
    assert meeting.daemon.client("-update").returncode == 1
    why = meeting.daemon.why()
    assert [each["code"] for each in why["problems"]] == ["below-floor"], why
    meeting.machine.configure(f"{meeting.server.address}/v1/update/")
    assert meeting.daemon.client("-update").returncode == 0, meeting.daemon.log()
    assert meeting.machine.slots.observe().records.version("b") == "4880.0.0"


def test_what_is_aborted_before_the_reboot_is_dropped(meeting: Meeting) -> None:
    meeting.publish(NEW, b"new" * 1000)
    meeting.daemon.start()
    assert meeting.daemon.client("-update").returncode == 0, meeting.daemon.log()
    wait_for(lambda: meeting.told()["state"] == "installed", meeting.daemon.log)
    assert meeting.argosy("rollout")["state"] == "rolling"
    assert meeting.argosy("rollout", "abort")["state"] == "aborted"
    # It hears of it with its next word, which an engine that starts has at once.
    meeting.daemon.kill()
    meeting.daemon.start()
    wait_for(lambda: not meeting.machine.armed, meeting.daemon.log)
    wait_for(lambda: "has dropped" in meeting.told()["reason"], meeting.daemon.log, timeout_s=60)
    assert meeting.told()["state"] == "waiting"
    assert meeting.argosy("rollout", "resume", "--retry")["state"] == "rolling"
    assert meeting.daemon.client("-update").returncode == 0, meeting.daemon.log()
    assert meeting.machine.armed

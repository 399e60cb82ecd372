"""The commands of the update service against a real server."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.server.process import Server
from tests.server.update.small import Machine, small_payload

from argosy.base.run import Completed, run

ID = "3f9a51c2d8e94b7a8c1de0a4f9b3c255"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "server").mkdir()
    with Server(tmp_path / "server") as server:
        yield server


@pytest.fixture
def home(tmp_path: Path, server: Server) -> dict[str, str]:
    """The environment of a user who named this server."""
    return {
        "HOME": str(tmp_path / "home"),
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "ARGOSY_SERVER": server.address,
        "ARGOSY_TOKEN_FILE": str(server.token_file),
    }


def argosy(home: dict[str, str], *words: str | Path) -> Completed:
    return run([sys.executable, "-m", "argosy", *words], env=home, check=False, timeout_s=120)


def out(home: dict[str, str], *words: str | Path) -> str:
    done = argosy(home, *words)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def answer(home: dict[str, str], *words: str | Path) -> Any:
    return json.loads(out(home, *words, "--json"))


def wrong(home: dict[str, str], *words: str | Path) -> str:
    done = argosy(home, *words)
    assert done.returncode in (1, 2)
    text = done.stderr.decode()
    assert "Traceback" not in text
    assert done.stdout == b""
    return text


def test_publish_promote_roll_back(server: Server, home: dict[str, str], tmp_path: Path) -> None:
    first = small_payload(tmp_path / "data" / "argosy" / "releases" / "4890.0.0", "4890.0.0", server.keys)
    small_payload(tmp_path / "release", "4892.0.0", server.keys)
    done = argosy(home, "publish", "4890.0.0", "--channel", "beta")
    assert done.stdout.decode().startswith("channel beta has version 4890.0.0 now\n")
    assert "(development key)" in done.stdout.decode()
    assert "uploading update.payload" in done.stderr.decode()
    again = argosy(home, "publish", first, "--channel", "beta")
    assert again.returncode == 0
    assert "uploading" not in again.stderr.decode()
    assert answer(home, "promote", "beta", "stable")["package"]["version"] == "4890.0.0"
    assert (
        answer(home, "publish", tmp_path / "release", "--channel", "stable")["package"]["version"]
        == "4892.0.0"
    )
    assert answer(home, "rollback-channel", "stable")["package"]["version"] == "4890.0.0"
    assert "4892.0.0" in out(home, "channels", "stable")
    channels = {channel["name"]: channel for channel in answer(home, "channels")}
    assert channels["stable"]["package"]["version"] == "4890.0.0"


def test_pause_resume_and_policy(home: dict[str, str]) -> None:
    assert "paused" in out(home, "pause", "stable")
    assert answer(home, "groups", "stable")["policy"]["updates_enabled"] is False
    assert "paused" not in out(home, "resume", "stable")
    words = ["--safe-mode", "on", "--rate", "10/1h", "--timeout", "90min", "--timezone", "Europe/Berlin"]
    windows = ["--window", "mon-fri 22:00-04:00", "--window", "sat 00:00-24:00"]
    text = out(home, "groups", "stable", *words, *windows)
    assert "one machine first, in waves of 1, 10%, 50%, then the rest, at most 10 in 1 h" in text
    assert "mon-fri 22:00-04:00 or sat 00:00-24:00 (Europe/Berlin), 90 min to finish" in text
    policy = answer(home, "groups", "stable", "--no-windows", "--rate", "off")["policy"]
    assert (policy["windows"], policy["rate_updates"], policy["safe_mode"]) == ([], 0, True)
    assert "canary" in out(home, "groups", "canary", "--create", "--channel", "beta")
    floor = answer(home, "channels", "nightly", "--create", "--floor", "4880.0.0")["floor"]
    assert floor == "4880.0.0"


def test_machines(server: Server, home: dict[str, str], tmp_path: Path) -> None:
    assert "no machine has asked" in out(home, "machines")
    release = small_payload(tmp_path / "release", "4892.0.0", server.keys)
    out(home, "publish", release, "--channel", "stable")
    machine = Machine(server.address, ID, "4890.0.0")
    assert machine.ask().status == "ok"
    machine.tell(3, 0, error_code=1010, next_version="4892.0.0", reason="kernel\x1b[2J panicked")
    assert (
        out(home, "machines", ID[:6], "--alias", "rack4-07").splitlines()[1].startswith("rack4-07 (3f9a51c2)")
    )
    text = out(home, "machines")
    assert "panicked" in text
    assert "\x1b" not in text
    assert [found["id"] for found in answer(home, "machines")] == [ID]
    assert answer(home, "machines", "--group", "beta") == []
    assert answer(home, "machines", ID)["machine"]["alias"] == "rack4-07"
    group = out(home, "groups", "stable")
    assert "argosy resume stable --retry 4892.0.0" in group
    assert answer(home, "resume", "stable", "--retry", "4892.0.0")["stopped"] == []


def test_more_machines_than_one_answer_holds(server: Server, home: dict[str, str]) -> None:
    for number in range(1001):
        Machine(server.address, f"{number:032x}", "4890.0.0").ask()
    done = argosy(home, "machines", "--json")
    assert [machine["id"] for machine in json.loads(done.stdout)] == [f"{n:032x}" for n in range(1001)]
    assert "asking the server for its machines" in done.stderr.decode()


def test_plain_errors(server: Server, home: dict[str, str], tmp_path: Path) -> None:
    release = small_payload(tmp_path / "release", "4892.0.0", server.keys)
    away = {**home, "ARGOSY_SERVER": "http://127.0.0.1:1"}
    text = wrong(away, "machines")
    assert "the server at http://127.0.0.1:1 does not answer: Connection refused" in text
    assert "argosy serve" in text
    token = tmp_path / "token"
    token.write_text("wrong-token-wrong-token")
    for words in (["publish", release, "--channel", "stable"], ["pause", "stable"]):
        text = wrong(home, *words, "--token-file", token)
        assert "the server does not know this token" in text
        assert "wrong-token-wrong-token" not in text
    without = {**home, "ARGOSY_TOKEN_FILE": ""}
    assert "this needs the server's token" in wrong(without, "pause", "stable")
    assert "(not-found)" in wrong(home, "publish", release, "--channel", "nothere")
    assert "(not-found)" in wrong(home, "promote", "nothere", "stable")
    assert "there is no channel 'nothere'" in wrong(home, "channels", "nothere")
    assert "name a group to change" in wrong(home, "groups", "--safe-mode", "on")
    assert "there is no release 4899.0.0" in wrong(home, "publish", "4899.0.0", "--channel", "stable")
    assert "is not a rate" in wrong(home, "groups", "stable", "--rate", "fast")
    assert "No such file" in wrong(home, "machines", "--token-file", tmp_path / "nothere")
    assert "is not an address" in wrong(home, "machines", "--server", "example.com")
    assert "there is no cluster 'argosy'" in wrong({**home, "ARGOSY_SERVER": ""}, "machines")
    assert "wrong-token-wrong-token" not in server.log
    assert server.token not in server.log


def test_a_refused_payload_names_its_code(server: Server, home: dict[str, str], tmp_path: Path) -> None:
    foreign = small_payload(tmp_path / "foreign", "4892.0.0", tmp_path / "foreign-keys")
    ours = small_payload(tmp_path / "ours", "4892.0.0", server.keys)
    assert "(untrusted-key)" in wrong(home, "publish", foreign, "--channel", "stable")
    broken = tmp_path / "broken"
    broken.write_bytes(ours.read_bytes()[:-5])
    assert "(truncated)" in wrong(home, "publish", broken, "--channel", "stable")


def test_a_refusal_in_the_middle_of_an_upload_is_heard(home: dict[str, str], tmp_path: Path) -> None:
    """The server refuses before it has read the payload; a connection that breaks would hide why."""
    large = tmp_path / "large.gz"
    with large.open("wb") as file:
        file.truncate(64 << 20)
    text = wrong(home, "publish", large, "--channel", "stable", "--stock", "no version")
    assert "(invalid)" in text


def test_a_server_that_is_none(home: dict[str, str], server: Server) -> None:
    text = wrong({**home, "ARGOSY_SERVER": f"{server.address}/nothere"}, "machines")
    assert "is not an address" in text or "not as an update service does" in text

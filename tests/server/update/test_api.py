"""The REST interface of a real server: what it answers, and what it refuses with which code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.server.process import Server
from tests.server.update.small import Machine, small_payload

from argosy.base.decode import decode_json
from argosy.formats.updateapi import Machines, Overview, State

ID = "3f9a51c2d8e94b7a8c1de0a4f9b3c255"
FELL = "77aa51c2d8e94b7a8c1de0a4f9b3c255"


@pytest.fixture
def operator(server: Server) -> Iterator[httpx.Client]:
    """Requests with the token."""
    with httpx.Client(
        base_url=f"{server.address}/api/v1", headers={"Authorization": f"Bearer {server.token}"}
    ) as client:
        yield client


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """An operator of a server that several tests share, since they change nothing."""
    with (
        Server(tmp_path_factory.mktemp("lasting")) as server,
        httpx.Client(
            base_url=f"{server.address}/api/v1", headers={"Authorization": f"Bearer {server.token}"}
        ) as client,
    ):
        yield client


@pytest.fixture
def stranger(server: Server) -> Iterator[httpx.Client]:
    """Requests without one, from this machine."""
    with httpx.Client(base_url=f"{server.address}/api/v1") as client:
        yield client


def upload(operator: httpx.Client, payload: Path) -> dict[str, Any]:
    answer = operator.post("/packages", content=payload.read_bytes())
    assert answer.status_code == 200, answer.text
    package: dict[str, Any] = answer.json()
    return package


def publish(operator: httpx.Client, payload: Path, channel: str = "stable") -> dict[str, Any]:
    package = upload(operator, payload)
    answer = operator.post(f"/channels/{channel}/release", json={"sha256": package["sha256"]})
    assert answer.status_code == 200, answer.text
    return package


def refused(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["cache-control"] == "no-store"
    failure = answer.json()
    assert failure["message"]
    return answer.status_code, failure["code"]


def test_publish_promote_and_roll_back(server: Server, operator: httpx.Client, tmp_path: Path) -> None:
    first = publish(operator, small_payload(tmp_path / "1", "4890.0.0", server.keys), "beta")
    assert first["version"] == "4890.0.0"
    assert [key["development"] for key in first["keys"]] == [True]
    assert operator.get(f"/packages/{first['sha256']}").json() == first
    download = httpx.get(server.address + first["url_path"])
    assert download.content == (tmp_path / "1" / "update.payload").read_bytes()

    promoted = operator.post("/channels/stable/release", json={"promote": "beta"}).json()
    assert promoted["package"] == first
    publish(operator, small_payload(tmp_path / "2", "4892.0.0", server.keys))
    assert operator.get("/channels/stable").json()["package"]["version"] == "4892.0.0"
    back = operator.post("/channels/stable/rollback").json()
    assert back["package"] == first
    assert [turn["action"] for turn in back["history"]] == ["rollback", "publish", "promote"]
    assert {package["version"] for package in operator.get("/packages").json()} == {"4890.0.0", "4892.0.0"}


def test_the_same_payload_may_come_twice(server: Server, operator: httpx.Client, tmp_path: Path) -> None:
    payload = small_payload(tmp_path / "1", "4890.0.0", server.keys)
    assert upload(operator, payload) == upload(operator, payload)


def test_a_payload_that_was_changed_is_refused_with_its_code(
    server: Server, operator: httpx.Client, tmp_path: Path
) -> None:
    data = bytearray(small_payload(tmp_path / "1", "4890.0.0", server.keys).read_bytes())
    assert refused(operator.post("/packages", content=b"hello")) == (422, "not-a-payload")
    assert refused(operator.post("/packages", content=bytes(data[:-1]))) == (422, "truncated")
    data[-1] ^= 1
    assert refused(operator.post("/packages", content=bytes(data))) == (422, "data-hash")
    foreign = small_payload(tmp_path / "2", "4890.0.0", tmp_path / "other-keys")
    assert refused(operator.post("/packages", content=foreign.read_bytes())) == (422, "untrusted-key")
    assert operator.get("/packages").json() == []


def test_channels_and_groups_are_made_and_changed(operator: httpx.Client) -> None:
    assert operator.put("/channels/nightly", json={"floor": "4880.0.0"}).json()["floor"] == "4880.0.0"
    group = operator.put("/groups/canary", json={"channel": "nightly", "safe_mode": True}).json()
    assert (group["channel"], group["policy"]["safe_mode"]) == ("nightly", True)
    window = {"days": ["sat"], "start": "22:00", "end": "04:00"}
    changed = operator.patch("/groups/canary", json={"windows": [window], "rate_updates": 5}).json()
    assert changed["policy"]["windows"] == [window]
    assert changed["policy"]["rate_updates"] == 5
    assert changed["policy"]["safe_mode"]
    assert "canary" in [group["name"] for group in operator.get("/groups").json()]
    assert operator.get("/groups/canary").json() == changed


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("PATCH", "/channels/nothere", {}, (404, "not-found")),
        ("GET", "/channels/nothere", None, (404, "not-found")),
        ("POST", "/channels/stable/release", {"promote": "nothere"}, (404, "not-found")),
        ("POST", "/channels/stable/release", {"sha256": "00"}, (404, "not-found")),
        ("POST", "/channels/stable/release", {}, (400, "invalid")),
        ("POST", "/channels/stable/release", {"sha256": "00", "promote": "beta"}, (400, "invalid")),
        ("POST", "/channels/stable/rollback", {}, (409, "conflict")),
        ("PUT", "/channels/a%20b", {}, (400, "invalid")),
        ("PATCH", "/channels/stable", {"floor": "new"}, (400, "invalid")),
        ("PATCH", "/groups/nothere", {}, (404, "not-found")),
        ("PATCH", "/groups/stable", {"rate_updates": -1}, (400, "invalid")),
        ("PATCH", "/groups/stable", {"rate_updates": "many"}, (400, "invalid")),
        ("PATCH", "/groups/stable", {"timezone": "Mars/Olympus"}, (400, "invalid")),
        (
            "PATCH",
            "/groups/stable",
            {"windows": [{"days": ["x"], "start": "1", "end": "2"}]},
            (400, "invalid"),
        ),
        ("PATCH", "/groups/stable", {"channel": "nothere"}, (404, "not-found")),
        ("GET", "/machines/nothere", None, (404, "not-found")),
        ("GET", "/machines?state=sleepy", None, (400, "invalid")),
        ("GET", "/machines?limit=0", None, (400, "invalid")),
        ("GET", "/machines?limit=9e9", None, (400, "invalid")),
        ("GET", "/packages/00", None, (404, "not-found")),
        ("GET", "/nothere", None, (404, "no-such-address")),
        ("DELETE", "/channels/stable", None, (404, "no-such-address")),
    ],
)
def test_what_is_wrong_is_refused(
    lasting: httpx.Client, method: str, path: str, body: object, expected: tuple[int, str]
) -> None:
    def overview() -> str:
        return re.sub(r'"now":"[^"]*"', "", lasting.get("/overview").text)

    before = overview()
    assert refused(lasting.request(method, path, json=body)) == expected
    assert overview() == before


def test_broken_and_large_bodies(lasting: httpx.Client) -> None:
    assert refused(lasting.patch("/groups/stable", content=b"{")) == (400, "invalid")
    assert refused(lasting.patch("/groups/stable", content=b" " * 70_000)) == (400, "invalid")


def test_changes_need_the_token_and_looking_here_does_not(
    server: Server, stranger: httpx.Client, operator: httpx.Client
) -> None:
    assert stranger.get("/access").json() == {"read": True, "write": False}
    assert operator.get("/access").json() == {"read": True, "write": True}
    assert stranger.get("/channels").status_code == 200
    for method, path in (
        ("POST", "/packages"),
        ("PUT", "/channels/x"),
        ("PATCH", "/groups/stable"),
        ("POST", "/channels/stable/rollback"),
        ("PATCH", f"/machines/{ID}"),
    ):
        answer = stranger.request(method, path, json={})
        assert refused(answer) == (401, "no-token")
        assert answer.headers["www-authenticate"].startswith("Bearer")
        wrong = {"Authorization": "Bearer not-the-token-at-all"}
        assert refused(stranger.request(method, path, json={}, headers=wrong)) == (401, "wrong-token")
    assert refused(stranger.get("/machines", headers={"Host": "evil.example"})) == (401, "no-token")
    assert (
        stranger.get("/machines", headers={"Host": "evil.example"}, auth=("me", server.token)).status_code
        == 200
    )
    assert server.token not in server.log


def test_machines_and_a_fallback(server: Server, operator: httpx.Client, tmp_path: Path) -> None:
    publish(operator, small_payload(tmp_path / "1", "4892.0.0", server.keys))
    waiting = Machine(server.address, ID, "4890.0.0")
    fell = Machine(server.address, FELL, "4890.0.0")
    operator.patch("/groups/stable", json={"waves": []})
    for machine in (fell, waiting):
        assert machine.ask().status == "ok"
    fell.tell(13, 1)
    fell.tell(14, 1)
    fell.tell(3, 1)
    fell.tell(3, 0, error_code=1010, next_version="4892.0.0", reason="the kernel panicked")

    group = operator.get("/groups/stable").json()
    [stop] = group["stopped"]
    assert (stop["version"], stop["machine"]) == ("4892.0.0", FELL)
    assert "the kernel panicked" in stop["reason"]
    detail = operator.get(f"/machines/{FELL[:6]}").json()
    assert "the kernel panicked" in detail["machine"]["reason"]
    assert detail["machine"]["state"] == "fell back"
    assert detail["machine"]["bad"] == ["4892.0.0"]
    assert any("the kernel panicked" in event["text"] for event in detail["events"])

    assert operator.patch(f"/machines/{FELL}", json={"alias": "rack4-07"}).json()["alias"] == "rack4-07"
    page = httpx.get(f"{server.address}/updates")
    assert page.status_code == 200
    for word in (
        "4892.0.0 is stopped for group stable",
        "rack4-07",
        "the kernel panicked",
        "development key",
    ):
        assert word in page.text
    assert waiting.ask().status == "noupdate"

    resumed = operator.patch("/groups/stable", json={"retry": "4892.0.0"}).json()
    assert resumed["stopped"] == []
    assert waiting.ask().status == "ok"


def test_pages_of_machines(
    server: Server, operator: httpx.Client, stranger: httpx.Client, tmp_path: Path
) -> None:
    publish(operator, small_payload(tmp_path / "1", "4890.0.0", server.keys))
    ids = [f"{number:032x}" for number in range(1, 6)]
    for id_ in ids:
        Machine(server.address, id_, "4890.0.0").ask()
    found: list[str] = []
    after: str | None = ""
    while after is not None:
        data = stranger.get("/machines", params={"limit": 2, "after": after}).content
        page = decode_json(data, Machines, source="the server")
        found += [machine.id for machine in page.machines]
        after = page.after
    assert found == ids
    assert stranger.get("/machines", params={"group": "other"}).json()["machines"] == []
    current = stranger.get("/machines", params={"state": State.CURRENT.value}).json()["machines"]
    assert len(current) == 5
    overview = decode_json(stranger.get("/overview").content, Overview, source="the server")
    assert overview.machines_total == 5


def test_the_page_over_http(server: Server) -> None:
    page = httpx.get(f"{server.address}/updates")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert httpx.get(f"{server.address}/updates/page.css").headers["content-type"].startswith("text/css")
    assert (
        httpx.get(f"{server.address}/updates/page.js").headers["content-type"].startswith("text/javascript")
    )
    assert httpx.get(f"{server.address}/updates/machines").status_code == 200
    assert httpx.get(f"{server.address}/updates/machines?state=sleepy").status_code == 400
    assert httpx.get(f"{server.address}/updates/machines/nothere").status_code == 404
    away = httpx.get(f"{server.address}/updates", headers={"Host": "192.0.2.1"})
    assert away.status_code == 401
    assert away.headers["www-authenticate"].startswith("Basic")
    inside = httpx.get(f"{server.address}/updates", headers={"Host": "192.0.2.1"}, auth=("", server.token))
    assert inside.status_code == 200


def test_a_hostile_machine_on_the_page(server: Server) -> None:
    """What machines send and everybody reads: ids and reasons. No token is needed to send them."""
    evil = "<script>alert(1)</script>"
    machine = Machine(server.address, ID, "4890.0.0")
    machine.ask()
    machine.tell(3, 0, error_code=1010, next_version="4892.0.0", reason=evil)
    for path in ("/updates", f"/updates/machines/{ID}", "/updates/machines"):
        page = httpx.get(server.address + path).text
        assert evil not in page
        assert "&lt;script&gt;alert(1)" in page
    Machine(server.address, "<b>", "4890.0.0").ask()
    page = httpx.get(f"{server.address}/updates").text
    assert ("<b>" in page, "&lt;b&gt;" in page) == (False, True)


def test_numbers(server: Server, operator: httpx.Client, tmp_path: Path) -> None:
    publish(operator, small_payload(tmp_path / "1", "4892.0.0", server.keys))
    Machine(server.address, ID, "4892.0.0").ask()
    lines = httpx.get(f"{server.address}/metrics").text.splitlines()
    [machines] = [line for line in lines if line.startswith("argosy_update_machines{")]
    assert 'group="stable",state="current",version="4892.0.0"' in machines
    assert machines.endswith(" 1.0")
    [stands] = [
        line for line in lines if line.startswith("argosy_update_rollouts_stopped") and "stable" in line
    ]
    assert stands.endswith(" 0.0")
    assert any(line.startswith("argosy_update_packages{") and line.endswith(" 1.0") for line in lines)


def test_a_rollout_and_what_stops_it(server: Server, operator: httpx.Client, tmp_path: Path) -> None:
    publish(operator, small_payload(tmp_path / "1", "4892.0.0", server.keys))
    machines = [Machine(server.address, id_, "4890.0.0") for id_ in (ID, FELL)]
    assert [machine.ask().status for machine in machines] == ["ok", "noupdate"]
    found = operator.get("/groups/stable/rollout").json()
    assert (found["state"], found["version"], found["wave"]) == (
        "rolling",
        "4892.0.0",
        {"number": 1, "of": 2, "limit": 1},
    )
    assert len(operator.get("/groups/stable/rollout?limit=1").json()["machines"]) == 1
    assert refused(operator.get("/groups/nothere/rollout")) == (404, "not-found")
    operator.patch("/groups/stable", json={"abort": "4892.0.0"})
    assert operator.get("/groups/stable/rollout").json()["state"] == "aborted"
    metrics = httpx.get(f"{server.address}/metrics").text
    assert re.search(r'^argosy_update_rollouts_stopped\{.*group="stable"\} 1\.0$', metrics, re.MULTILINE)
    operator.patch("/groups/stable", json={"retry": "4892.0.0"})
    assert operator.get("/groups/stable/rollout").json()["state"] == "rolling"

"""The addresses that machines use, of a real server: Omaha in and out, and payloads in whole and in part."""

from __future__ import annotations

import base64
import hashlib
import signal
from pathlib import Path

import httpx
import pytest
from tests.formats.omaha.test_captures import capture
from tests.server.process import Server
from tests.server.update.small import Machine, small_payload

from argosy.formats.omaha.model import UpdateAnswer
from argosy.formats.omaha.request import LIMIT_BYTES, decode_request
from argosy.formats.omaha.response import decode_response

PATHS = ("/v1/update/", "/v1/update", "/update/", "/update")


def post(server: Server, body: bytes, path: str = "/v1/update/", **headers: str) -> httpx.Response:
    return httpx.post(f"{server.address}{path}", content=body, headers=headers)


def publish(server: Server, payload: Path) -> None:
    with httpx.Client(
        base_url=f"{server.address}/api/v1", headers={"Authorization": f"Bearer {server.token}"}
    ) as operator:
        package = operator.post("/packages", content=payload.read_bytes()).raise_for_status().json()
        operator.post("/channels/stable/release", json={"sha256": package["sha256"]}).raise_for_status()


def address(update: UpdateAnswer) -> str:
    assert update.manifest is not None
    return update.urls[0] + update.manifest.packages[0].name


def test_a_payload_is_found_where_the_answer_says(server: Server, tmp_path: Path) -> None:
    payload = small_payload(tmp_path / "made", "2.0.0", server.keys)
    data = payload.read_bytes()
    publish(server, payload)
    update = Machine(server.address, "core-01", "1.0.0").ask()
    assert update.manifest is not None
    (package,), (action,) = update.manifest.packages, update.manifest.actions
    sha256 = base64.b64encode(hashlib.sha256(data).digest()).decode()
    assert (package.sha256, action.sha256) == (sha256, sha256)
    assert package.sha1 == base64.b64encode(hashlib.sha1(data).digest()).decode()
    whole = httpx.get(address(update))
    assert whole.content == data
    assert whole.headers["etag"] == f'"{hashlib.sha256(data).hexdigest()}"'
    assert (int(whole.headers["content-length"]), package.size_bytes) == (len(data), len(data))

    def part(**headers: str) -> httpx.Response:
        return httpx.get(address(update), headers={name.replace("_", "-"): v for name, v in headers.items()})

    middle = part(range="bytes=100-199", if_range=whole.headers["etag"])
    assert (middle.status_code, middle.content) == (206, data[100:200])
    assert middle.headers["content-range"] == f"bytes 100-199/{len(data)}"
    assert part(range="bytes=100-").content == data[100:]
    assert part(range="bytes=-10").content == data[-10:]
    assert part(range="bytes=100-199", if_range='"another"').content == data
    assert part(range=f"bytes={len(data)}-").status_code == 416
    assert httpx.head(address(update)).headers["content-length"] == str(len(data))
    for wrong in (address(update) + "x", address(update).replace("/packages/", "/packages/0")):
        assert httpx.get(wrong).status_code == 404
    assert httpx.get(f"{server.address}/packages/../server-token").status_code == 404


def test_the_url_is_the_address_that_was_asked(server: Server, tmp_path: Path) -> None:
    publish(server, small_payload(tmp_path / "made", "2.0.0", server.keys))
    request = capture(101).replace(b'platform="CoreOS"', b'platform="Argosy"')
    answer = decode_response(post(server, request, Host="10.0.2.2:8087").content)
    assert answer.apps[0].update is not None
    assert answer.apps[0].update.urls[0].startswith("http://10.0.2.2:8087/packages/")
    assert post(server, request, Host='x"><b>').status_code == 400


@pytest.mark.parametrize("path", PATHS)
def test_a_stock_client_is_answered_as_its_own_server_did(server: Server, path: str) -> None:
    for number in (115, 103, 107, 113):
        request, expected = decode_request(capture(number)), decode_response(capture(number + 1))
        answer = post(server, capture(number), path)
        assert answer.headers["content-type"].startswith("text/xml")
        (app,), (wanted,) = decode_response(answer.content).apps, expected.apps
        assert (app.app_id, app.status, app.ping, app.events) == (
            wanted.app_id,
            wanted.status,
            wanted.ping,
            wanted.events,
        ), request
        assert (app.update and app.update.status) == (wanted.update and wanted.update.status)


def test_a_stock_update_has_what_the_captured_one_had(server: Server) -> None:
    wanted = decode_response(capture(102)).apps[0].update
    assert wanted is not None
    assert wanted.manifest is not None
    data = b"CrAU" + b"\0" * 5000
    query = {"stock": "2.0.0", "app": "{e96281a6-d1af-4bde-9a0a-97b76e56dc57}"}
    headers = {"Authorization": f"Bearer {server.token}"}
    with httpx.Client(base_url=f"{server.address}/api/v1", headers=headers) as operator:
        package = operator.post("/packages", params=query, content=data).raise_for_status().json()
        operator.post("/channels/stable/release", json={"sha256": package["sha256"]}).raise_for_status()
    update = decode_response(post(server, capture(101)).content).apps[0].update
    assert update is not None
    assert update.manifest is not None
    assert update.status == wanted.status
    assert update.manifest.version == wanted.manifest.version
    (got,), (had,) = update.manifest.packages, wanted.manifest.packages
    assert got.name == had.name
    for value, form in ((got.sha1, had.sha1), (got.sha256, had.sha256)):
        assert len(base64.b64decode(value)) == len(base64.b64decode(form))
    (action,), (its_action,) = update.manifest.actions, wanted.manifest.actions
    assert (action.event, action.disable_payload_backoff) == (
        its_action.event,
        its_action.disable_payload_backoff,
    )
    assert action.sha256 == got.sha256
    assert httpx.get(address(update)).content == data


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "no element found"),
        (b"not xml", "not XML"),
        (b"<!DOCTYPE request []><request/>", "document type"),
        (b"<request>" + b" " * LIMIT_BYTES + b"</request>", "more than"),
    ],
)
def test_what_is_no_request_is_refused(server: Server, body: bytes, message: str) -> None:
    answer = post(server, body)
    assert (answer.status_code, message in answer.text) == (400, True), answer.text


def test_only_posts_are_answered(server: Server) -> None:
    assert httpx.get(f"{server.address}/v1/update/").status_code == 405


def test_what_was_promised_outlives_a_power_cut(server: Server, tmp_path: Path) -> None:
    publish(server, small_payload(tmp_path / "made", "2.0.0", server.keys))
    with httpx.Client(
        base_url=f"{server.address}/api/v1", headers={"Authorization": f"Bearer {server.token}"}
    ) as operator:
        operator.patch("/groups/stable", json={"safe_mode": True}).raise_for_status()
    first, second = (Machine(server.address, name, "1.0.0") for name in ("core-01", "core-02"))
    assert first.ask().manifest
    server.end(signal.SIGKILL)
    server.start()
    assert second.ask().reason == "core-01 tries 2.0.0 first"
    first.tell(3, 0, error_code=1010, next_version="2.0.0", reason="no kernel")
    server.end(signal.SIGKILL)
    server.start()
    assert second.ask().reason == "2.0.0 was stopped for the group stable: on core-01, no kernel"

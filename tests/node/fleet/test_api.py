"""The API's shapes and codes, over a real unix socket and etcd; no machine is there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.etcd import Cluster

from argosy.base.address import Address
from argosy.base.etcd import Etcd
from argosy.base.http import Client, Server, unix_socket
from argosy.formats.fleet import Explanation, StateRecord, UnitTarget
from argosy.node.fleet.api import Api
from argosy.node.fleet.drainapi import DrainApi
from argosy.node.fleet.drains import Drains
from argosy.node.fleet.mirror import Mirror
from argosy.node.fleet.registry import Registry

OPTIONS = [{"section": "Service", "name": "ExecStart", "value": "/bin/true"}]
JSON = [("content-type", "application/json")]

Ask = Callable[..., Awaitable[tuple[int, Any]]]


async def no_explanation(name: str) -> Explanation | None:
    return None


def with_api(etcd: Cluster, folder: Path, story: Callable[[Ask, Registry], Awaitable[None]]) -> None:
    async def go() -> None:
        registry = Registry(Etcd(etcd.endpoints, timeout_s=1), "/_coreos.com/fleet/")
        drains = DrainApi(Drains(registry, Mirror(registry.etcd, registry.keys), lambda: False))
        api = Api(registry, no_explanation, lambda: "metric 1\n", drains, page_size=3)
        server = Server(api.handle)
        await server.start([unix_socket(folder / "fleet.sock")])
        client = Client(Address("localhost", path=str(folder / "fleet.sock")))

        async def ask(method: str, path: str, body: Any = None, headers: Any = JSON) -> tuple[int, Any]:
            data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
            answer = await client.request(method, path, body=data, headers=headers)
            return answer.status, json.loads(answer.body) if answer.body.startswith(b"{") else answer.body

        try:
            await story(ask, registry)
        finally:
            client.close()
            await server.close()

    asyncio.run(go())


def test_units(etcd: Cluster, tmp_path: Path) -> None:
    async def story(ask: Ask, registry: Registry) -> None:
        for base in ("/fleet/v1", "/v1-alpha"):
            path = f"{base}/units/a%401.service"
            assert await ask("GET", f"{path}?alt=json") == (404, _error(404, "unit does not exist"))
            assert (await ask("PUT", path, {"desiredState": "launched"}))[0] == 409
            assert (await ask("PUT", path, {"options": OPTIONS}))[0] == 201
            assert await ask("GET", path) == (
                200,
                {
                    "name": "a@1.service",
                    "options": OPTIONS,
                    "desiredState": "inactive",
                    "currentState": "inactive",
                },
            )
            assert (await ask("PUT", path, {"options": OPTIONS}))[0] == 409
            assert (await ask("PUT", path, {"desiredState": "launched"}))[0] == 204
            assert (await ask("PUT", path, {"options": OPTIONS, "desiredState": "loaded"}))[0] == 204
            assert (await ask("GET", path))[1]["desiredState"] == "loaded"
            # New content without a state: inactive, as the original has it; with one, as it says.
            other = [*OPTIONS, {"section": "Service", "name": "User", "value": "core"}]
            assert (await ask("PUT", path, {"options": other}))[0] == 201
            assert (await ask("GET", path))[1]["desiredState"] == "inactive"
            assert (await ask("PUT", path, {"options": OPTIONS, "desiredState": "launched"}))[0] == 201
            assert (await ask("GET", path))[1]["desiredState"] == "launched"
            assert (await ask("DELETE", path))[0] == 204
            assert await ask("DELETE", path) == (404, _error(404, "unit does not exist"))

    with_api(etcd, tmp_path, story)


def _error(code: int, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("a.service", b"{", "unable to decode body"),
        (
            "a.service",
            {"name": "b.service", "options": OPTIONS},
            'differs from unit name in request body "b.service"',
        ),
        ("a.exe", {"options": OPTIONS}, "no type of unit"),
        ("a.service", {"options": OPTIONS, "desiredState": "flying"}, 'invalid value "flying"'),
        (
            "a@.service",
            {"options": OPTIONS, "desiredState": "loaded"},
            'cannot activate template "a@.service"',
        ),
        (
            "a.service",
            {"options": [{"section": "Service", "name": "A", "value": "1\n[Service]\nExecStart=/bin/evil"}]},
            "an option is not one line of a unit file",
        ),
        (
            "a.service",
            {
                "options": [
                    {"section": "X-Fleet", "name": "Global", "value": "true"},
                    {"section": "X-Fleet", "name": "MachineID", "value": "x"},
                ]
            },
            "a.service:2: MachineID cannot be used with Global",
        ),
    ],
)
def test_bad_units_are_400(etcd: Cluster, tmp_path: Path, name: str, body: Any, message: str) -> None:
    async def story(ask: Ask, registry: Registry) -> None:
        status, answer = await ask("PUT", f"/fleet/v1/units/{name}", body)
        assert (status, answer["error"]["code"]) == (400, 400)
        assert message in answer["error"]["message"]

    with_api(etcd, tmp_path, story)


def test_pages(etcd: Cluster, tmp_path: Path) -> None:
    async def story(ask: Ask, registry: Registry) -> None:
        assert await ask("GET", "/fleet/v1/units") == (200, {})
        names = [f"u{index}.service" for index in range(7)]
        for name in names:
            await ask("PUT", f"/fleet/v1/units/{name}", {"options": OPTIONS})
        seen, token = [], ""
        for size in (3, 3, 1):
            _, page = await ask("GET", f"/fleet/v1/units?alt=json{token}")
            assert len(page["units"]) == size
            seen += [unit["name"] for unit in page["units"]]
            token = f"&nextPageToken={page.get('nextPageToken', '')}"
        assert seen == names
        assert token == "&nextPageToken="
        for bad in ("x", "ZAACAA=="):
            assert (await ask("GET", f"/fleet/v1/units?nextPageToken={bad}"))[0] == 400
        assert (await ask("GET", "/fleet/v1/units?nextPageToken=AwABAA==&nextPageToken=AwABAA=="))[0] == 400

    with_api(etcd, tmp_path, story)


def test_machines_and_their_metadata(etcd: Cluster, tmp_path: Path) -> None:
    async def story(ask: Ask, registry: Registry) -> None:
        record = b'{"public_ip":"172.17.8.101","metadata":{"zone":"a","disk":"ssd"}}'
        await registry.etcd.put(registry.keys.machine("m1"), record)
        _, page = await ask("GET", "/fleet/v1/machines")
        assert page["machines"] == [
            {"id": "m1", "primaryIP": "172.17.8.101", "metadata": {"zone": "a", "disk": "ssd"}}
        ]
        patch = [
            {"op": "add", "path": "/m1/metadata/rack", "value": "r1"},
            {"op": "replace", "path": "/m1/metadata/zone", "value": {"value": "b"}},
            {"op": "remove", "path": "/m1/metadata/disk"},
            {"op": "add", "path": "/m2/metadata/for", "value": "later"},
        ]
        assert (await ask("PATCH", "/fleet/v1/machines", patch))[0] == 204
        _, page = await ask("GET", "/fleet/v1/machines")
        assert page["machines"][0]["metadata"] == {"zone": "b", "rack": "r1"}
        for bad in (
            {"op": "move", "path": "/m1/metadata/a", "value": "b"},
            {"op": "add", "path": "/m1/other/a", "value": "b"},
            {"op": "add", "path": "/m1/metadata/a"},
        ):
            good = {"op": "add", "path": "/m1/metadata/good", "value": "1"}
            assert (await ask("PATCH", "/fleet/v1/machines", [good, bad]))[0] == 400
        _, page = await ask("GET", "/fleet/v1/machines")
        assert "good" not in page["machines"][0]["metadata"]

    with_api(etcd, tmp_path, story)


def test_states(etcd: Cluster, tmp_path: Path) -> None:
    async def story(ask: Ask, registry: Registry) -> None:
        assert await ask("GET", "/fleet/v1/state/none.service") == (
            404,
            _error(404, "unit state does not exist"),
        )
        record = StateRecord("h", "loaded", "active", "running", UnitTarget.LAUNCHED)
        lease = await registry.etcd.grant(60)
        await registry.publish("m1", lease, {"a.service": record, "b.service": record}, [])
        await registry.publish("m2", lease, {"a.service": record}, ["b.service"])
        expected = {
            "name": "a.service",
            "hash": "h",
            "machineID": "m1",
            "systemdLoadState": "loaded",
            "systemdActiveState": "active",
            "systemdSubState": "running",
        }
        assert await ask("GET", "/fleet/v1/state/a.service") == (200, expected)

        async def listed(query: str) -> list[tuple[str, str]]:
            _, page = await ask("GET", f"/fleet/v1/state?{query}")
            return [(state["name"], state["machineID"]) for state in page.get("states", [])]

        assert await listed("") == [("a.service", "m1"), ("a.service", "m2"), ("b.service", "m1")]
        assert await listed("machineID=m2") == [("a.service", "m2")]
        assert await listed("unitName=b.service") == [("b.service", "m1")]
        assert await listed("unitName=b.service&machineID=m2") == []

    with_api(etcd, tmp_path, story)


def test_wrong_requests(etcd: Cluster, tmp_path: Path) -> None:
    async def story(ask: Ask, registry: Registry) -> None:
        for method, path, status in (
            ("GET", "/", 405),
            ("GET", "/fleet/v1", 405),
            ("GET", "/nonsense", 404),
            ("GET", "/fleet/v1/nonsense", 404),
            ("GET", "/fleet/v1/units/", 404),
            ("GET", "/fleet/v1/units/a/b", 404),
            ("POST", "/fleet/v1/units", 405),
            ("POST", "/fleet/v1/units/a.service", 405),
            ("DELETE", "/fleet/v1/machines", 405),
            ("GET", "/fleet/v1/why/none.service", 404),
        ):
            code, answer = await ask(method, path)
            assert (code, answer["error"]["code"]) == (status, status), path
        body = {"options": OPTIONS}
        assert (await ask("PUT", "/fleet/v1/units/a.service", body, headers=[]))[0] == 415
        assert (
            await ask("PUT", "/fleet/v1/units/a.service", body, headers=[("content-type", "text/plain")])
        )[0] == 415

    with_api(etcd, tmp_path, story)


def test_descriptions(etcd: Cluster, tmp_path: Path) -> None:
    async def story(ask: Ask, registry: Registry) -> None:
        _, document = await ask("GET", "/fleet/v1/discovery")
        assert document["id"] == "fleet:v1"
        assert document["rootUrl"] == "$ENDPOINT/"
        assert set(document["resources"]) == {"Machines", "Units", "UnitState"}
        references = set(_references(document))
        assert references <= document["schemas"].keys()
        assert await ask("GET", "/metrics") == (200, b"metric 1\n")

    with_api(etcd, tmp_path, story)


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        found = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return found + [name for item in value.values() for name in _references(item)]
    return [name for item in value for name in _references(item)] if isinstance(value, list) else []


def test_an_etcd_that_is_away_is_a_503(etcd: Cluster, tmp_path: Path) -> None:
    async def story(ask: Ask, registry: Registry) -> None:
        etcd.members[0].kill()
        for path in ("/fleet/v1/machines", "/fleet/v1/units", "/fleet/v1/state", "/fleet/v1/units/a.service"):
            status, answer = await ask("GET", path)
            assert (status, answer["error"]["code"]) == (503, 503)

    with_api(etcd, tmp_path, story)

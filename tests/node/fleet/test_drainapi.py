"""Cordons over the API and in fleetctl, and that v1's answers know nothing of them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.etcd import Cluster
from tests.node.fleet.test_cluster import SERVICE, World, play, until
from tests.node.fleet.test_fleetctl import M0, M1, Run, with_fleetctl

from argosy.base.http import Request
from argosy.formats.fleet import UnitTarget
from argosy.node.locksmith.fleet import FleetApi, FleetDrainer

ID0, ID1 = "m0" * 16, "m1" * 16
CORDON = f"/argosy/v1/machines/{ID0}/cordons/person"
ON0, ON1 = f"{M0}/172.17.8.1", f"{M1}/172.17.8.1"


async def ask(world: World, method: str, path: str, body: object = None) -> tuple[int, Any]:
    daemon = world.nodes[0].daemon
    assert daemon is not None
    data = b"" if body is None else json.dumps(body).encode()
    answer = await daemon.api.handle(Request(method, path, body=data))
    return answer.status, json.loads(answer.body) if answer.body else None


def test_the_api(etcd: Cluster, tmp_path: Path) -> None:
    async def story(world: World) -> None:
        v1 = await ask(world, "GET", "/fleet/v1/machines")
        one = {"id": ID0, "standing": "open", "primaryIP": "172.17.8.1", "boot": "m0-1"}
        assert await ask(world, "GET", f"/argosy/v1/machines/{ID0}") == (200, one)
        status, found = await ask(world, "PUT", CORDON, {"drain": True, "reason": "a new disk"})
        assert (status, found["standing"]) == (200, "drained")
        (cordon,) = found["cordons"]
        assert cordon.pop("sinceSeconds") > 1_700_000_000
        assert cordon == {"by": "person", "drain": True, "reason": "a new disk"}
        _, listed = await ask(world, "GET", "/argosy/v1/machines")
        assert [machine["standing"] for machine in listed["machines"]] == ["drained", "open"]
        # v1 says what it always said, of machines and of the service.
        assert await ask(world, "GET", "/fleet/v1/machines") == v1
        # Somebody else's cordon is not undone by a person's.
        await ask(world, "PUT", CORDON.replace("person", "locksmith"), {})
        _, found = await ask(world, "DELETE", CORDON)
        assert [cordon["by"] for cordon in found["cordons"]] == ["locksmith"]
        assert (await ask(world, "DELETE", CORDON))[0] == 200
        assert await ask(world, "DELETE", CORDON.replace("person", "*")) == (200, one)

    play(etcd, tmp_path, story, count=2)


def test_mistakes(etcd: Cluster, tmp_path: Path) -> None:
    async def story(world: World) -> None:
        for method, path, body, status in (
            ("GET", "/argosy/v1/", None, 404),
            ("GET", "/argosy/v1/machines/", None, 404),
            ("GET", "/argosy/v1/machines/none", None, 404),
            ("PUT", "/argosy/v1/machines/none/cordons/person", {}, 404),
            ("DELETE", "/argosy/v1/machines/none/cordons/person", None, 404),
            ("POST", "/argosy/v1/machines", {}, 405),
            ("GET", CORDON, None, 405),
            ("PUT", CORDON, {"drain": "yes"}, 400),
            ("PUT", CORDON, None, 400),
            ("PUT", CORDON.replace("person", "A B"), {}, 400),
        ):
            answer = await ask(world, method, path, body)
            assert (answer[0], answer[1]["error"]["code"]) == (status, status)

    play(etcd, tmp_path, story, count=1)


def test_fleetctl_cordons(etcd: Cluster, tmp_path: Path) -> None:
    async def story(world: World, run: Run) -> None:
        assert await run("cordon", ID0[:6], "--reason=a new disk") == (
            0,
            f"Machine {ON0} takes no new units\n",
            "",
        )
        state = "cordoned for person (a new disk)"
        assert await run("list-machines") == (
            0,
            f"MACHINE\t\tIP\t\tMETADATA\tSTATE\n{M0}\t172.17.8.1\t-\t\t{state}\n{M1}\t172.17.8.1\t-\t\t-\n",
            "",
        )
        assert (await run("list-machines", "--fields=machine", "--no-legend"))[1] == f"{M0}\n{M1}\n"
        first, second = json.loads((await run("list-machines", "--json"))[1])
        assert (first["standing"], first["cordons"][0]["reason"]) == ("cordoned", "a new disk")
        assert second == {"id": ID1, "primaryIP": "172.17.8.1"}
        (tmp_path / "a.service").write_text(SERVICE)
        assert (await run("start", "a"))[1].endswith(f"Unit a.service launched on {ON1}\n")
        code, out, _ = await run("why", "a")
        assert f"  {ON0}\tno\tit takes no new units: cordoned for person (a new disk)\n" in out
        assert await run("uncordon", ID0) == (0, f"Machine {ON0} takes units again\n", "")
        assert (await run("uncordon", ID0))[1] == f"Machine {ON0} takes units already\n"
        code, _, err = await run("cordon", "m")
        assert (code, "`m` is ambiguous" in err) == (1, True)
        code, _, err = await run("drain", "x", "--timeout=soon")
        assert (code, "`soon` is not a duration" in err) == (2, True)

    with_fleetctl(etcd, tmp_path, story)


def test_fleetctl_drains(etcd: Cluster, tmp_path: Path) -> None:
    async def story(world: World, run: Run) -> None:
        await world.submit("a.service")
        await world.submit("pinned.service", SERVICE + "[X-Fleet]\nMachineID=m0m0m0m0\n")
        await until(lambda: world.runs_once("a.service", "pinned.service"))
        code, out, err = await run("drain", "m0", "--until-reboot")
        assert (code, err) == (0, "1 unit cannot run elsewhere, and will stop with the machine\n")
        lines = out.splitlines()
        assert lines[0].startswith(f"Unit a.service moves to {ON1}: ")
        stays = "the unit asks for machine m0m0m0m0 (1 of 1)"
        assert f"Unit pinned.service stays: no other machine can run it: {stays}" in lines
        assert lines[-1].startswith(f"Machine {ON0} is drained, after ")
        assert world.running() == {"a.service": ["m1"], "pinned.service": ["m0"]}
        assert "drained for person" in (await run("list-machines"))[1]
        # Nobody is left who could take it: it stays where it is.
        code, out, _ = await run("drain", "m1")
        assert (code, "Unit a.service stays: no other machine can run it" in out) == (0, True)
        await run("uncordon", "m0", "m1")

        await world.submit("lazy.service", target=UnitTarget.LAUNCHED)
        await until(lambda: any(("start", "lazy.service") in node.systemd.log for node in world.nodes))
        for node in world.nodes:
            node.systemd.finish()
        (source,) = world.running()["lazy.service"]
        code, _, err = await run("drain", source, "--timeout=1s")
        assert (code, f"these units still run on {source}" in err) == (1, True)
        assert "lazy.service" in err
        code, out, _ = await run("uncordon", source)
        assert (code, world.running()["lazy.service"]) == (0, [source])
        assert (await run("drain", source, "--no-block"))[1].endswith(" drains\n")

    with_fleetctl(etcd, tmp_path, story)


def test_locksmith_drains_and_calls_it_off(etcd: Cluster, tmp_path: Path) -> None:
    async def story(world: World, run: Run) -> None:
        await world.submit("a.service")
        await until(lambda: world.running() == {"a.service": ["m0"]})
        drainer = FleetDrainer(FleetApi(ID0, tmp_path / "fleet.sock"), "m0-1", always)
        report = await drainer.drain(last=False)
        assert (report.done, "waiting until they have moved: a.service" in report.reason) == (False, True)

        async def is_done() -> bool:
            return (await drainer.drain(last=False)).done

        await until(is_done)
        assert world.running() == {"a.service": ["m1"]}
        state = "drained for locksmith (it is about to reboot)"
        assert state in (await run("list-machines"))[1]
        await drainer.undo()
        assert "locksmith" not in (await run("list-machines"))[1]
        # A machine of which fleet knows nothing cannot be drained, and has nothing to take back.
        unknown = FleetDrainer(FleetApi("none", tmp_path / "fleet.sock"), "b", always)
        assert "machine does not exist" in (await unknown.drain(last=False)).reason
        await unknown.undo()

    with_fleetctl(etcd, tmp_path, story)


async def always() -> bool:
    return True


def test_a_cordon_that_etcd_does_not_take_is_an_error(etcd: Cluster, tmp_path: Path) -> None:
    async def story(world: World) -> None:
        etcd.members[0].kill()
        status, answer = await ask(world, "PUT", CORDON, {})
        assert (status, answer["error"]["code"]) == (503, 503)
        etcd.members[0].start()
        await asyncio.to_thread(etcd.wait_healthy)

    play(etcd, tmp_path, story, count=1)

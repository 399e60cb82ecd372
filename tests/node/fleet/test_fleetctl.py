"""fleetctl as a user runs it, against two machines whose systemd lives in memory."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.etcd import Cluster
from tests.node.fleet.test_cluster import World, play, until

from argosy.base.errors import ArgosyError, InputError
from argosy.base.http import Server, unix_socket
from argosy.formats.fleet import MachineEntity
from argosy.node.fleet.ctl.context import unit_name
from argosy.node.fleet.ctl.remote import Ssh, split_host
from argosy.node.fleet.ctl.tables import listing, machine_columns, table
from argosy.node.fleet.fleetctl import plain_flags

SERVICE = "[Unit]\nDescription=Hello\n[Service]\nExecStart=/bin/sleep inf\n"
ONE_A_MACHINE = SERVICE + "[X-Fleet]\nConflicts=%p@*.service\n"
M0, M1 = "m0m0m0m0...", "m1m1m1m1..."

Run = Callable[..., Awaitable[tuple[int, str, str]]]


def with_fleetctl(etcd: Cluster, folder: Path, story: Callable[[World, Run], Awaitable[None]]) -> None:
    async def told(world: World) -> None:
        daemon = world.nodes[0].daemon
        assert daemon is not None
        server = Server(daemon.api.handle)
        await server.start([unix_socket(folder / "fleet.sock")])

        async def run(*words: str) -> tuple[int, str, str]:
            code = "import sys; from argosy.node.fleet.fleetctl import main; sys.exit(main())"
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", code, f"--endpoint=unix://{folder}/fleet.sock", *words),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=folder,
            )
            async with asyncio.timeout(30):
                out, err = await process.communicate()
            return process.returncode or 0, out.decode(), err.decode()

        await story(world, run)
        await server.close()

    play(etcd, folder, told, count=2)


def test_the_life_of_units(etcd: Cluster, tmp_path: Path) -> None:
    (tmp_path / "hello@.service").write_text(ONE_A_MACHINE)

    async def story(world: World, run: Run) -> None:
        assert await run("list-machines") == (
            0,
            f"MACHINE\t\tIP\t\tMETADATA\n{M0}\t172.17.8.1\t-\n{M1}\t172.17.8.1\t-\n",
            "",
        )
        assert await run("submit", "hello@.service") == (0, "Unit hello@.service inactive\n", "")
        code, out, err = await run("start", "hello@1.service", "hello@2")
        assert (code, err) == (0, "")
        assert out == (
            "Unit hello@1.service inactive\nUnit hello@2.service inactive\n"
            f"Unit hello@1.service launched on {M0}/172.17.8.1\n"
            f"Unit hello@2.service launched on {M1}/172.17.8.1\n"
        )
        assert await run("list-units") == (
            0,
            "UNIT\t\tMACHINE\t\t\tACTIVE\tSUB\n"
            f"hello@1.service\t{M0}/172.17.8.1\tactive\trunning\n"
            f"hello@2.service\t{M1}/172.17.8.1\tactive\trunning\n",
            "",
        )
        code, out, _ = await run(
            "list-unit-files", "-no-legend", "--fields=unit,dstate,state,target,desc,global"
        )
        assert out.splitlines() == [
            "hello@.service\tinactive\tinactive\t-\t\t\tHello\tfalse",
            f"hello@1.service\tlaunched\tlaunched\t{M0}/172.17.8.1\tHello\tfalse",
            f"hello@2.service\tlaunched\tlaunched\t{M1}/172.17.8.1\tHello\tfalse",
        ]
        code, out, _ = await run("list-units", "--json")
        assert [item["systemdActiveState"] for item in json.loads(out)] == ["active", "active"]
        assert (await run("cat", "hello@1"))[1] == ONE_A_MACHINE.replace("\n[", "\n\n[")

        before = world.starts()
        code, out, _ = await run("restart", "hello@1.service")
        assert (code, out) == (0, f"Unit hello@1.service launched on {M0}/172.17.8.1\n")
        assert world.starts() == before + 1

        assert await run("stop", "hello@1.service") == (
            0,
            f"Unit hello@1.service loaded on {M0}/172.17.8.1\n",
            "Successfully stopped units [hello@1.service].\n",
        )
        assert world.running() == {"hello@2.service": ["m1"]}
        assert (await run("unload", "hello@1.service"))[1] == "Unit hello@1.service inactive\n"
        assert (await run("destroy", "hello@2.service", "hello@1"))[1] == (
            "Destroyed hello@2.service\nDestroyed hello@1.service\n"
        )
        assert world.running() == {}

    with_fleetctl(etcd, tmp_path, story)


def test_why_and_waiting(etcd: Cluster, tmp_path: Path) -> None:
    (tmp_path / "hello@.service").write_text(ONE_A_MACHINE)

    async def story(world: World, run: Run) -> None:
        await run("start", "hello@1", "hello@2")
        code, out, err = await run("start", "--block-attempts=2", "hello@3")
        assert (code, out) == (1, "Unit hello@3.service inactive\n")
        assert "hello@3.service waits for a machine: m0m0m0m0... it conflicts with hello@1.service" in err
        assert "timed out waiting for hello@3.service to be launched" in err
        code, out, _ = await run("why", "hello@3")
        assert out == (
            "hello@3.service: it is not scheduled\n"
            f"  {M0}/172.17.8.1\tno\tit conflicts with hello@1.service, which is there\n"
            f"  {M1}/172.17.8.1\tno\tit conflicts with hello@2.service, which is there\n"
        )
        code, out, _ = await run("why", "--json", "hello@1")
        assert json.loads(out)["machines"][0]["able"] is True

    with_fleetctl(etcd, tmp_path, story)


def test_replacing(etcd: Cluster, tmp_path: Path) -> None:
    unit = tmp_path / "one.service"
    unit.write_text(SERVICE)

    async def story(world: World, run: Run) -> None:
        await run("start", "one.service")
        unit.write_text(SERVICE + "Environment=A=2\n")
        code, _, err = await run("start", "one.service")
        assert (code, "differs from local unit file" in err) == (0, True)
        code, _, err = await run("submit", "--replace", "one.service")
        assert (code, "cannot replace one.service in state launched" in err) == (1, True)
        before = world.starts()
        code, _, err = await run("start", "--replace", "one.service")
        assert (code, err) == (0, "")
        await until(lambda: world.starts() == before + 1)
        await until(lambda: world.runs_once("one.service"))
        assert "Environment=A=2" in (await run("cat", "one"))[1]
        assert "nothing to do" in (await run("start", "--replace", "one.service"))[1]

    with_fleetctl(etcd, tmp_path, story)


def test_a_unit_that_fails_is_told(etcd: Cluster, tmp_path: Path) -> None:
    (tmp_path / "bad.service").write_text(SERVICE)

    async def story(world: World, run: Run) -> None:
        for node in world.nodes:
            node.systemd.failing.add("bad.service")
        code, _, err = await run("start", "bad.service")
        assert (code, err) == (1, "Unit bad.service has failed: see `fleetctl journal bad.service`\n")

    with_fleetctl(etcd, tmp_path, story)


def test_a_unit_that_systemd_refuses_is_told_and_not_waited_for(etcd: Cluster, tmp_path: Path) -> None:
    unit = tmp_path / "bad.service"
    unit.write_text(SERVICE)
    why = "Unit bad.service has a bad unit file setting."

    async def story(world: World, run: Run) -> None:
        for node in world.nodes:
            node.systemd.bad.add("bad.service")
        assert (await run("load", "bad.service"))[0] == 0
        _, out, _ = await run("why", "bad.service")
        assert f"systemd on {M0}/172.17.8.1 refuses it: its unit file has a setting that" in out
        code, _, err = await run("start", "bad.service")
        assert (code, f"fleetctl: systemd on {M0}/172.17.8.1 refuses bad.service: {why}\n" in err) == (
            1,
            True,
        )
        assert f"  systemd on {M0}/172.17.8.1 refuses it: {why}\n" in (await run("why", "bad.service"))[1]
        assert json.loads((await run("why", "--json", "bad"))[1])["refusals"] == {"m0" * 16: why}

        # What was mended is started at once, however long the pause until the next try was.
        for node in world.nodes:
            node.systemd.bad.clear()
        unit.write_text(SERVICE + "Environment=A=2\n")
        code, _, err = await run("start", "--replace", "bad.service")
        assert (code, err) == (0, "")
        assert "refuses" not in (await run("why", "bad.service"))[1]

    with_fleetctl(etcd, tmp_path, story)


def test_a_unit_may_arrive_before_the_one_that_it_needs(etcd: Cluster, tmp_path: Path) -> None:
    (tmp_path / "late.service").write_text(SERVICE)

    async def story(world: World, run: Run) -> None:
        for node in world.nodes:
            node.systemd.bad.add("late.service")
        start = asyncio.create_task(run("start", "late.service"))
        await until(lambda: world.refused("late.service"))
        for node in world.nodes:
            node.systemd.bad.clear()
        assert await start == (
            0,
            f"Unit late.service inactive\nUnit late.service launched on {M0}/172.17.8.1\n",
            "",
        )

    with_fleetctl(etcd, tmp_path, story)


def test_mistakes(etcd: Cluster, tmp_path: Path) -> None:
    (tmp_path / "bad.service").write_text("[Service]\nExecStart=/x\n[X-Fleet]\nGlobal=true\nMachineID=x\n")

    async def story(world: World, run: Run) -> None:
        for words, message in (
            (["start", "bad.service"], "bad.service:4: MachineID cannot be used with Global"),
            (["verify", "bad.service"], "bad.service:4: MachineID cannot be used with Global"),
            (["start", "none.service"], "unable to find Unit(none.service) in Registry or on filesystem"),
            (["start", "none@1.service"], "or its template none@.service"),
            (["cat", "none"], "Unit none.service not found"),
            (["stop", "none"], "Unit none.service not found"),
            (["list-units", "--fields=unit,speed"], "there is no column `speed`"),
            (["ssh"], "one machine or unit must be provided"),
            (["--driver=etcd", "list-units"], "only --driver=API exists"),
            (
                ["--tunnel=x", "--endpoint=http://x:1", "list-units"],
                "--tunnel needs an endpoint on a unix socket",
            ),
        ):
            code, _, err = await run(*words)
            assert code != 0
            assert message in err
            assert "Traceback" not in err
        assert (await run("destroy", "none"))[2] == "Unit none.service not found in registry\n"

    with_fleetctl(etcd, tmp_path, story)


def test_through_a_tunnel(etcd: Cluster, tmp_path: Path) -> None:
    """`--tunnel` with a program called ssh that drops its own options and runs the command here."""
    folder = tmp_path / "bin"
    folder.mkdir()
    forward = (
        f"{sys.executable} -c 'import sys; from argosy.node.fleet.fleetctl import main; sys.exit(main())'"
    )
    (folder / "fleetctl").write_text(f'#!/bin/sh\nexec {forward} "$@"\n')
    (folder / "ssh").write_text(
        '#!/bin/sh\necho "$@" >>"$LOG"\nwhile [ "$1" != fleetctl ]; do shift; done\nexec "$@"\n'
    )
    for program in folder.iterdir():
        program.chmod(0o755)

    async def story(world: World, run: Run) -> None:
        os.environ |= {"PATH": f"{folder}:{os.environ['PATH']}", "LOG": str(tmp_path / "log")}
        code, out, err = await run(
            "--tunnel", "core-01:2222", "--strict-host-key-checking=false", "list-machines"
        )
        assert (code, err) == (0, "")
        assert out.count("172.17.8.1") == 2
        (line,) = (tmp_path / "log").read_text().splitlines()
        assert "StrictHostKeyChecking=no" in line
        assert line.endswith(f"-T -p 2222 core@core-01 fleetctl fd-forward {tmp_path}/fleet.sock")

    before = dict(os.environ)
    try:
        with_fleetctl(etcd, tmp_path, story)
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.mark.parametrize(
    ("words", "plain"),
    [
        (["list-units", "-no-legend", "-full"], ["list-units", "--no-legend", "--full"]),
        (["list-units", "--full=true", "--no-legend=false"], ["list-units", "--full"]),
        (["-tunnel=x", "-endpoint", "y"], ["--tunnel=x", "--endpoint", "y"]),
        (["--strict-host-key-checking", "ssh"], ["--strict-host-key-checking=true", "ssh"]),
        (["journal", "-f", "a.service"], ["journal", "-f", "a.service"]),
        (["ssh", "m1", "--", "ls", "-full"], ["ssh", "m1", "--", "ls", "-full"]),
        (["start", "hello@1.service"], ["start", "hello@1.service"]),
    ],
)
def test_flags_of_go(words: list[str], plain: list[str]) -> None:
    assert plain_flags(words) == plain


def test_columns_are_aligned_as_by_go() -> None:
    rows = [["A", "B", "C"], ["1234567", "12345678", "x"], ["", "123456789012345", "y"]]
    assert table(rows) == "A\tB\t\tC\n1234567\t12345678\tx\n\t123456789012345\ty\n"


def test_a_listing() -> None:
    machine = MachineEntity("ab12cd34ef", "1.2.3.4", {"b": "2", "a": "1"})
    columns = machine_columns()
    assert (
        listing([machine], columns, "machine,metadata", full=False, legend=False) == "ab12cd34...\ta=1,b=2\n"
    )
    assert listing([machine], columns, "machine", full=True, legend=True) == "MACHINE\nab12cd34ef\n"
    with pytest.raises(InputError, match="there is no column `x`"):
        listing([machine], columns, "x", full=True, legend=True)


@pytest.mark.parametrize(
    ("argument", "name"),
    [
        ("hello", "hello.service"),
        ("./a/hello@1.service", "hello@1.service"),
        ("a.socket", "a.socket"),
        ("a.b", "a.b.service"),
    ],
)
def test_what_an_argument_means(argument: str, name: str) -> None:
    assert unit_name(argument) == name


def test_hosts() -> None:
    assert split_host("core-01") == ("core-01", 22)
    assert split_host("core-01:2222") == ("core-01", 2222)
    assert split_host("[fe80::1]:2222") == ("fe80::1", 2222)
    assert split_host("fe80::1") == ("fe80::1", 22)
    with pytest.raises(ArgosyError):
        split_host("core-01:ssh")


def test_ssh_goes_through_the_tunnel(tmp_path: Path) -> None:
    ssh = Ssh(tunnel="gate:2222", strict=False)
    words = ssh.command("172.17.8.102", ["uptime"], port=22, forward_agent=True)
    proxy = next(word for word in words if word.startswith("ProxyCommand="))
    assert "-p 2222 -W %h:%p core@gate" in proxy
    assert words[-5:] == ["-A", "-p", "22", "core@172.17.8.102", "uptime"]
    Ssh(known_hosts=tmp_path / "new" / "known_hosts").command("h")
    assert (tmp_path / "new").is_dir()

"""The operations on clusters: what is decided, and what is refused before anything is made."""

from __future__ import annotations

import itertools
import json
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.base.errors import ArgosyError, InputError
from argosy.lab import ports
from argosy.lab.cluster import (
    ReleaseChoice,
    Request,
    UserData,
    boot_timeout_s,
    check,
    check_unchanged,
    decide,
    move_ports,
)
from argosy.lab.model import Cluster, DriverName, Firmware, Site
from argosy.lab.parallel import in_parallel
from argosy.lab.ready import console_tail
from argosy.lab.ssh import command, copy_command, lenience

RELEASE = ReleaseChoice("4891.0.0", Path("/releases/4891.0.0"))


def made(request: Request, taken: tuple[int, ...] = ()) -> Cluster:
    return decide(request, request.driver or DriverName.QEMU, RELEASE, "0123abcd", taken)


def test_the_default_is_three_machines_of_a_gibibyte() -> None:
    cluster = made(Request("argosy"))
    assert [machine.name for machine in cluster.machines] == ["core-01", "core-02", "core-03"]
    assert [machine.private_ip for machine in cluster.machines] == [
        "172.17.8.101",
        "172.17.8.102",
        "172.17.8.103",
    ]
    assert (cluster.memory_mib, cluster.cpus, cluster.firmware) == (1024, 1, Firmware.BIOS)
    assert (cluster.release, cluster.release_folder) == ("4891.0.0", "/releases/4891.0.0")


@given(st.integers(1, 12))
def test_no_port_is_given_twice(count: int) -> None:
    cluster = made(Request("argosy", machines=count))
    used = [cluster.server_port]
    for machine in cluster.machines:
        used += [machine.ssh_port, machine.service_port]
    assert len(set(used)) == len(used) == 2 * count + 1
    other = made(Request("other", machines=count), tuple(used))
    assert not set(used) & {machine.ssh_port for machine in other.machines}


def test_only_ports_that_were_taken_move() -> None:
    cluster = made(Request("argosy"))
    lost = cluster.machines[1]
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", lost.ssh_port))
        holder.listen()
        moved = move_ports(cluster, ())
    assert moved.machines[1].ssh_port != lost.ssh_port
    assert len({machine.ssh_port for machine in moved.machines}) == 3
    assert replace(moved, machines=cluster.machines) == cluster
    assert move_ports(cluster, ()) == cluster


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request("a", machines=0), "-n 0: must be 1 to 100"),
        (Request("a", machines=-1), "-n -1"),
        (Request("a", machines=101), "-n 101"),
        (Request("a", memory_mib=10), "--memory 10"),
        (Request("a", cpus=0), "--cpus 0"),
        (Request("a", driver=DriverName.NSPAWN, cpus=2), "--cpus means nothing"),
        (Request("a", driver=DriverName.NSPAWN, firmware=Firmware.UEFI), "--firmware means nothing"),
        (Request("a", user_data=UserData("#cloud-config\nhostname: [", "my.yaml")), "my.yaml:3"),
        (Request("a", user_data=UserData("hello", "my.yaml")), 'must be "#cloud-config"'),
    ],
)
def test_what_cannot_be_is_refused(request_: Request, message: str) -> None:
    with pytest.raises(InputError) as caught:
        check(request_)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("request_", "what"),
    [
        (Request("argosy", machines=5), "machines 3, not 5"),
        (Request("argosy", driver=DriverName.NSPAWN), "driver qemu, not nspawn"),
        (Request("argosy", release="4890.0.0"), "release 4891.0.0, not 4890.0.0"),
        (Request("argosy", memory_mib=2048), "memory (MiB) 1024, not 2048"),
        (Request("argosy", cpus=2), "cpus 1, not 2"),
        (Request("argosy", firmware=Firmware.UEFI), "firmware bios, not uefi"),
    ],
)
def test_a_cluster_is_not_changed_into_another(request_: Request, what: str) -> None:
    with pytest.raises(InputError) as caught:
        check_unchanged(request_, made(Request("argosy")))
    assert what in str(caught.value) and caught.value.hint


def test_the_same_said_again_is_no_change() -> None:
    same = Request("argosy", 3, DriverName.QEMU, "4891.0.0", Firmware.BIOS, 1024, 1)
    check_unchanged(same, made(Request("argosy")))
    check_unchanged(replace(same, release="/releases/4891.0.0"), made(Request("argosy")))
    check_unchanged(Request("argosy"), made(Request("argosy")))


def test_more_machines_on_fewer_cores_get_more_time() -> None:
    small, large = made(Request("a", machines=1)), made(Request("a", machines=9))
    assert boot_timeout_s(small, 2) < boot_timeout_s(large, 2)
    assert boot_timeout_s(large, 64) < boot_timeout_s(large, 2)


def argosy(state: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "argosy", *words],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(state), "XDG_STATE_HOME": str(state)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["up", "-n", "0"], 2, "-n 0: must be 1 to 100"),
        (["up", "-n", "x"], 2, "invalid int value"),
        (["up", "--user-data", "missing.yaml"], 2, "cannot read the user-data"),
        (["up", "--release", "1.2.3"], 2, "there is no release 1.2.3"),
        (["up", "--release", "newest"], 2, "neither a version nor a folder"),
        (["up", "--name", "../x"], 2, "cannot name a cluster"),
        (["status"], 2, "there is no cluster 'argosy'"),
        (["ssh", "core-01"], 2, "there is no cluster 'argosy'"),
        (["halt", "--name", "other"], 2, "there is no cluster 'other'"),
        (["start", "core-01"], 2, "there is no cluster"),
        (["load", "missing.tar"], 2, "missing.tar is not a file"),
        (["destroy"], 0, ""),
        (["list"], 0, ""),
    ],
)
def test_bad_input_is_a_plain_error(tmp_path: Path, words: list[str], code: int, message: str) -> None:
    done = argosy(tmp_path, *words)
    assert done.returncode == code, done
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("argosy/clusters/*/"))


def test_no_qemu_is_a_plain_error(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from argosy.cli.main import main; sys.exit(main())", "up"],
        env={"HOME": str(tmp_path), "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr.splitlines()[0].partition(": ")[2]) == (1, "QEMU is not installed")


def test_a_second_command_on_the_same_cluster_is_refused(tmp_path: Path) -> None:
    from argosy.lab.store import Store

    with Store(tmp_path / "argosy" / "clusters").locked("argosy"):
        done = argosy(tmp_path, "up")
    assert done.returncode == 1
    assert "another command is working on cluster 'argosy'" in done.stderr


def test_an_unknown_machine(tmp_path: Path, site: Site) -> None:
    state = site.folder.parent.parent
    (state / "argosy").symlink_to(state)
    done = argosy(state, "ssh", "--name", "test", "core-09")
    assert done.returncode == 2
    assert "has no machine 'core-09'\n  it has core-01, core-02" in done.stderr
    done = argosy(state, "ssh", "--name", "test", "core-01")
    assert done.returncode == 2 and "core-01 is off" in done.stderr


def test_a_cluster_that_is_not_healthy_is_no_success(tmp_path: Path, site: Site) -> None:
    state = site.folder.parent.parent
    (state / "argosy").symlink_to(state)
    done = argosy(state, "status", "--name", "test")
    assert done.returncode == 1 and "is not healthy" in done.stdout
    done = argosy(state, "status", "--name", "test", "--json")
    assert done.returncode == 1 and json.loads(done.stdout)["healthy"] is False


def test_a_folder_that_an_interrupted_command_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / "argosy" / "clusters" / "argosy"
    left.mkdir(parents=True)
    (left / "user-data").write_text("#cloud-config\n")
    assert argosy(tmp_path, "destroy").returncode == 0
    assert not left.exists()


def test_words_for_a_machine_arrive_as_they_are(site: Site) -> None:
    [one, _] = site.cluster.machines
    assert command(site, one, ["sh", "-c", "a  b; c"])[-1] == "sh -c 'a  b; c'"
    assert command(site, one, ["a | b"])[-1] == "a | b"
    assert command(site, one)[-1] == "127.0.0.1"
    assert copy_command(site, one, ["/a b"], "127.0.0.1:/c")[-3:] == ["--", "/a b", "127.0.0.1:/c"]


def test_sshd_in_machines_forgives_the_host() -> None:
    assert lenience("10.0.2.2") == {
        "tmpfiles.extra": b"f+ /etc/ssh/sshd_config.d/10-lab.conf 0644 root root"
        b" - PerSourcePenaltyExemptList 10.0.2.2,::ffff:10.0.2.2\n"
    }


def test_the_end_of_a_console_is_readable(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    assert console_tail(log) == []
    log.write_bytes(b"x" * 9000 + b"\n\x1b[2J\x1b[1;31mred\x1b[0m\r\n\r\n\x1b]104\x07bell\x00\n")
    assert console_tail(log)[-2:] == ["red", "bell"]


def test_in_parallel_keeps_the_order_and_does_not_wait_after_an_error() -> None:
    assert in_parallel(lambda item: item * 2, [3, 1, 2]) == [6, 2, 4]
    assert in_parallel(lambda item: item, []) == []
    never = threading.Event()
    started = time.monotonic()

    def work(item: int) -> None:
        if item == 1:
            raise ArgosyError("one failed")
        never.wait(60)

    with pytest.raises(ArgosyError, match="one failed"):
        in_parallel(work, [0, 1, 2])
    assert time.monotonic() - started < 30
    never.set()


def test_the_default_ports_do_not_overlap() -> None:
    starts = sorted((ports.SSH_FROM, ports.SERVICE_FROM, ports.SERVER_FROM))
    assert all(high - low >= 900 for low, high in itertools.pairwise(starts))
    assert starts[-1] + 900 < 32768

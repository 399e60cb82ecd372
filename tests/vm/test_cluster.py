"""A cluster of three virtual machines: that it works, and what it survives. The tests build on each other."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.vm.conftest import MACHINES, Argosy, eventually

from argosy.lab import hello, process

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1800)]


def machine_ids(argosy: Argosy) -> list[str]:
    return [line["machine_id"] for line in argosy.status()["machines"]]


def members(argosy: Argosy, via: str) -> set[str]:
    listed = json.loads(argosy.on(via, "etcdctl", "member", "list", "-w", "json"))
    return {f"{member['ID']:x} {member['name']}" for member in listed["members"]}


def running_units(argosy: Argosy, via: str = "core-01") -> int:
    listed = argosy.on(via, "fleetctl", "list-units", "--no-legend").splitlines()
    return sum("hello@" in line and "running" in line for line in listed)


def answering(argosy: Argosy) -> set[str]:
    machines = argosy.site.cluster.machines
    return {machine.name for machine in machines if machine.name in (hello.answer(machine) or "")}


def is_whole(argosy: Argosy) -> bool:
    return answering(argosy) == set(MACHINES) and running_units(argosy) == 3


def test_status(cluster: Argosy) -> None:
    status = cluster.status()
    assert list(status) == ["name", "driver", "release", "machines", "healthy"]
    assert (status["name"], status["driver"], status["healthy"]) == ("argosy", "qemu", True)
    keys = ["name", "machine_id", "ip", "ssh_port", "state", "version", "slot", "etcd", "units"]
    for index, line in enumerate(status["machines"], 1):
        assert list(line) == keys
        assert line["name"] == f"core-{index:02d}"
        assert line["ip"] == f"172.17.8.{100 + index}"
        assert line["state"] == "running", cluster.on(line["name"], "systemctl", "--failed")
        assert (line["version"], line["slot"], line["etcd"]) == (status["release"], "A", "healthy")
        assert [unit["active"] for unit in line["units"]] == ["active"]
    assert len(set(machine_ids(cluster))) == 3


def test_three_members_three_machines_three_units(cluster: Argosy) -> None:
    health = cluster.try_("ssh", "core-02", "--", "etcdctl", "endpoint", "health", "--cluster")
    assert (health.stdout + health.stderr).count("is healthy") == 3
    listed = cluster.on("core-01", "fleetctl", "list-machines", "--no-legend").splitlines()
    assert len(listed) == 3
    assert running_units(cluster) == 3


def test_the_service_answers_through_every_machine_with_its_name_and_version(cluster: Argosy) -> None:
    release = cluster.status()["release"]
    for machine in cluster.site.cluster.machines:
        answer = hello.answer(machine)
        assert answer and machine.name in answer and release in answer


def test_a_second_up_reuses_everything(cluster: Argosy) -> None:
    before = machine_ids(cluster)
    started = time.monotonic()
    cluster("up", "--example", "hello")
    assert time.monotonic() - started < 60
    assert machine_ids(cluster) == before


def test_ssh_passes_on_words_and_exit_codes(cluster: Argosy) -> None:
    done = cluster.try_("ssh", "core-03", "--", "sh", "-c", "echo 'a  b' $HOME; exit 7")
    assert (done.returncode, done.stdout) == (7, "a  b /home/core\n")
    assert cluster.on("core-03", "echo one | wc -l") == "1"


def test_cp_both_ways(cluster: Argosy, tmp_path: Path) -> None:
    there, back = tmp_path / "a file", tmp_path / "back"
    there.write_bytes(os.urandom(100_000))
    cluster("cp", str(there), "core-02:/tmp/a copy")
    cluster("cp", "core-02:/tmp/a copy", str(back))
    assert back.read_bytes() == there.read_bytes()
    assert cluster.try_("cp", str(there), "core-09:/tmp/").returncode == 2


def test_logs_and_console(cluster: Argosy) -> None:
    assert "core-01 login:" in cluster("logs", "core-01")
    done = subprocess.run(
        [sys.executable, "-m", "argosy", "console", "core-01"],
        input=b"\r\r\x1d",
        env=cluster.environment,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0


def test_usr_is_verified_and_read_only(cluster: Argosy) -> None:
    source, kind, options = cluster.on("core-01", "findmnt -no SOURCE,FSTYPE,OPTIONS /usr").split()
    assert (source, kind) == ("/dev/mapper/usr", "erofs") and "ro" in options.split(",")
    assert " verity " in cluster.on("core-01", "sudo dmsetup table usr")
    assert cluster.try_("ssh", "core-01", "--", "sudo", "touch", "/usr/x").returncode != 0


def test_a_switch_that_died_is_replaced_under_the_machines(cluster: Argosy) -> None:
    def reached() -> bool:
        endpoint = "--endpoints=http://172.17.8.102:2379"
        words = [
            "etcdctl",
            endpoint,
            "--command-timeout=5s",
            "get",
            "--limit=1",
            "--prefix",
            "--consistency=s",
            "/",
        ]
        return cluster.try_("ssh", "core-01", "--", *words).returncode == 0

    assert reached()
    process.end(process.find_role(cluster.site.cluster.id, "switch"), grace_s=0)
    assert not reached()
    cluster("up")
    assert reached()


def test_a_machine_without_power(cluster: Argosy) -> None:
    before = members(cluster, "core-01")
    ids = machine_ids(cluster)
    cluster("kill", "core-02")
    status = cluster.status()
    assert [line["state"] for line in status["machines"]] == ["running", "off", "running"]
    assert not status["healthy"]
    assert {"core-01", "core-03"} <= answering(cluster)
    cluster("start", "core-02")
    eventually(lambda: is_whole(cluster))
    assert members(cluster, "core-02") == before
    assert machine_ids(cluster) == ids


def test_halt_and_up_is_the_same_cluster(cluster: Argosy) -> None:
    cluster.on("core-01", "etcdctl", "put", "/kept", "over halt")
    ids, before = machine_ids(cluster), members(cluster, "core-01")
    cluster("halt")
    assert processes_about(cluster.site.cluster.id) == []
    assert "reboot: Power down" in cluster("logs", "core-03")[-2000:], "it was shut down, not cut off"
    interrupt_up(cluster, after_s=3)
    cluster("up")
    eventually(lambda: is_whole(cluster))
    assert (machine_ids(cluster), members(cluster, "core-03")) == (ids, before)
    assert cluster.on("core-02", "etcdctl", "get", "--print-value-only", "/kept") == "over halt"


def interrupt_up(argosy: Argosy, *, after_s: float) -> None:
    """Start `argosy up` and kill it, as a crash would."""
    running = subprocess.Popen(
        [sys.executable, "-m", "argosy", "up"], env=argosy.environment, stderr=subprocess.DEVNULL
    )
    time.sleep(after_s)
    assert running.poll() is None
    assert argosy.try_("halt").returncode == 1, "one command at a time"
    running.send_signal(signal.SIGKILL)
    running.wait()


def test_a_power_cut_of_all_machines(cluster: Argosy) -> None:
    ids, before = machine_ids(cluster), members(cluster, "core-01")
    for name in MACHINES:
        cluster("kill", name)
    cluster("up")
    eventually(lambda: is_whole(cluster))
    assert (machine_ids(cluster), members(cluster, "core-03")) == (ids, before)
    assert cluster.on("core-02", "etcdctl", "get", "--print-value-only", "/kept") == "over halt"


def test_an_update_rolls_over_the_cluster_without_a_gap(
    cluster: Argosy, second: Path, tmp_path: Path
) -> None:
    """The command judges it: one machine after another, every tick answered, etcd with its quorum."""
    cluster("demo", "update", "--name", "argosy", "--release", str(second), "--proof", str(tmp_path))
    assert {line["slot"] for line in cluster.status()["machines"]} == {"B"}
    assert (tmp_path / "ticks.jsonl").stat().st_size and (tmp_path / "quorum.jsonl").stat().st_size


def test_a_flipped_byte_of_usr_is_never_read_as_data(cluster: Argosy) -> None:
    """Turn over the bytes of a whole file of core-03's /usr behind dm-verity's back, and read it."""
    log = cluster.site.console_log(cluster.machine("core-03"))
    before = log.stat().st_size
    script = """
set -eu
usr=/dev/disk/by-partlabel/USR-$(grep -q argosy.slot=a /proc/cmdline && echo A || echo B)
sudo dd if=/dev/zero of=$usr bs=1M seek=100 count=150 conv=notrunc,fsync status=none
echo 3 | sudo tee /proc/sys/vm/drop_caches >/dev/null
find /usr -type f -exec cat {} + >/dev/null
echo READ
"""
    done = cluster.try_("ssh", "core-03", "--", script)
    assert done.returncode != 0 and "READ" not in done.stdout

    def panicked() -> bool:
        text = log.read_bytes()[before:].decode(errors="replace")
        return "dm-verity device corrupted" in text and "Kernel panic" in text

    eventually(panicked)


def test_destroy_leaves_nothing(cluster: Argosy) -> None:
    site = cluster.site
    cluster("destroy")
    assert processes_about(site.cluster.id) == []
    assert not site.folder.exists() and not site.runtime.exists()
    assert cluster.try_("status").returncode == 2


def processes_about(cluster_id: str) -> list[str]:
    """Those with the cluster's mark, and those (ssh) that have its folder in their title instead."""
    marked = [found.role for found in process.find(cluster_id)]
    titles = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            titles.append(file.read_bytes().decode(errors="replace"))
    return marked + [title for title in titles if cluster_id in title]

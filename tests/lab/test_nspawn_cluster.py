"""A whole cluster of nspawn machines, as a user has it: through the command `argosy`."""

from __future__ import annotations

import json
import os
import pty
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from argosy.base.files import link_or_copy
from argosy.base.run import Completed, run
from argosy.formats.release import USR_IMAGE
from argosy.lab import process

pytestmark = [pytest.mark.root, pytest.mark.timeout(1200)]

_NAME = "test"
_KERNEL_TIDIES_WITHIN_S = 60.0
_MOVES_WITHIN_S = 120.0
_UNIT = """\
[Unit]
Description=Something to move

[Service]
ExecStart=/usr/bin/sleep infinity
"""


class User:
    """Someone at a terminal, with clusters of their own."""

    def __init__(self, home: Path) -> None:
        self.state = home / "state"

    def argosy(self, *words: str | Path, check: bool = True) -> Completed:
        env = {"XDG_STATE_HOME": str(self.state)}
        done = run([sys.executable, "-m", "argosy", *words], env=env, check=False, timeout_s=600)
        assert not check or done.returncode == 0, f"{words}:\n{done.stderr.decode()}"
        return done

    def up(self, *words: str | Path) -> None:
        self.argosy("up", "--name", _NAME, *words)

    def ssh(self, machine: str, line: str) -> str:
        return self.argosy("ssh", "--name", _NAME, machine, "--", line).text

    def status(self) -> dict[str, Any]:
        done = self.argosy("status", "--name", _NAME, "--json", check=False)
        status: dict[str, Any] = json.loads(done.stdout)
        assert done.returncode == (0 if status["healthy"] else 1)
        return status

    def machine_ids(self) -> list[str]:
        return [machine["machine_id"] for machine in self.status()["machines"]]

    @property
    def folder(self) -> Path:
        return self.state / "argosy" / "clusters" / _NAME

    @property
    def cluster_id(self) -> str:
        return str(json.loads((self.folder / "cluster.json").read_bytes())["id"])


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    user = User(tmp_path)
    yield user
    if user.folder.exists():  # the test failed
        user.argosy("destroy", "--name", _NAME)


@pytest.fixture(scope="module")
def own(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The release with a /usr of its own: clusters that have the same file share their loop devices."""
    folder = tmp_path_factory.mktemp("release")
    for file in release.iterdir():
        copy = shutil.copyfile if file.name == USR_IMAGE else link_or_copy
        copy(file, folder / file.name)
    return folder


def _left(cluster_id: str, folder: Path, namespace: str) -> list[str]:
    """Whatever of a cluster is still on the host.

    The kernel itself takes apart mounts of a process that was killed, and their loop devices, a moment later.
    """
    deadline = time.monotonic() + _KERNEL_TIDIES_WITHIN_S
    while (left := _seen(cluster_id, folder, namespace)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return left


def _seen(cluster_id: str, folder: Path, namespace: str) -> list[str]:
    left = [f"process {found}" for found in process.find(cluster_id)]
    left += [
        f"mount {line}" for line in Path("/proc/self/mounts").read_text().splitlines() if str(folder) in line
    ]
    left += [f"cgroup {path}" for path in Path("/sys/fs/cgroup").rglob(f"*{cluster_id}*")]
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        left += [f"loop device {backing}"] if str(folder) in backing.read_text() else []
    for entry in Path("/proc").glob("[0-9]*/ns/net"):
        try:
            left += [f"network namespace of {entry}"] if str(entry.readlink()) == namespace else []
        except OSError:
            continue
    left += [str(path) for path in folder.glob("**/*")]
    return left


def _network_namespace(cluster_id: str) -> str:
    [forwarder] = process.find_role(cluster_id, "network")
    return str(Path(f"/proc/{forwarder.pid}/ns/net").readlink())


def _wait(what: str, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _MOVES_WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {_MOVES_WITHIN_S:g} s: {what}"
        time.sleep(0.5)


def _where(user: User, asked: str) -> str:
    """The machine on which the unit runs, as `asked` says; empty if none, or while etcd elects a leader."""
    list_units = "fleetctl list-units --no-legend --fields=unit,machine,active"
    for line in user.argosy("ssh", "--name", _NAME, asked, "--", list_units, check=False).text.splitlines():
        unit, machine, active = line.split()
        if unit == "mover.service" and active == "active":
            return machine
    return ""


def test_a_cluster_lives_survives_and_leaves_nothing(user: User, own: Path) -> None:
    user.up("--driver", "nspawn", "-n", "3", "--release", own)
    cluster_id, namespace = user.cluster_id, _network_namespace(user.cluster_id)
    status = user.status()
    assert status["healthy"]
    assert [machine["name"] for machine in status["machines"]] == ["core-01", "core-02", "core-03"]
    assert {machine["slot"] for machine in status["machines"]} == {None}
    assert {machine["etcd"] for machine in status["machines"]} == {"healthy"}
    ids = user.machine_ids()
    assert len(set(ids)) == 3
    endpoints = json.loads(user.ssh("core-02", "etcdctl endpoint health --cluster --write-out=json"))
    assert [endpoint["health"] for endpoint in endpoints] == [True, True, True]
    assert len(user.ssh("core-01", "fleetctl list-machines --no-legend").splitlines()) == 3
    user.ssh("core-01", "etcdctl put /test/kept yes")

    _a_unit_moves_when_its_machine_dies(user)

    user.argosy("halt", "--name", _NAME)
    assert process.find(cluster_id) == []
    user.up()
    assert user.machine_ids() == ids
    assert user.ssh("core-03", "etcdctl get --print-value-only /test/kept") == "yes"

    for name in ("core-01", "core-02", "core-03"):
        user.argosy("kill", "--name", _NAME, name)
    user.up()
    assert user.machine_ids() == ids
    assert user.ssh("core-01", "etcdctl get --print-value-only /test/kept") == "yes"
    _wait("the unit runs again", lambda: bool(_where(user, "core-01")))

    user.argosy("destroy", "--name", _NAME)
    assert _left(cluster_id, user.folder, namespace) == []


def _a_unit_moves_when_its_machine_dies(user: User) -> None:
    user.ssh("core-01", f"cat > mover.service <<'END'\n{_UNIT}END\nfleetctl start mover.service")
    _wait("the unit runs", lambda: bool(_where(user, "core-01")))
    machines = {machine["machine_id"]: machine["name"] for machine in user.status()["machines"]}
    first = _name(machines, _where(user, "core-01"))
    other = next(name for name in machines.values() if name != first)
    user.argosy("kill", "--name", _NAME, first)
    _wait("the unit runs elsewhere", lambda: _where_but(user, other, machines, first))
    user.argosy("start", "--name", _NAME, first)
    _wait("all are healthy", lambda: bool(user.status()["healthy"]))


def _where_but(user: User, asked: str, machines: dict[str, str], gone: str) -> bool:
    where = _where(user, asked)
    return bool(where) and _name(machines, where) != gone


def _name(machines: dict[str, str], shown: str) -> str:
    """The name of the machine that fleetctl shows as `1234abcd.../172.17.8.101`."""
    short = shown.partition(".")[0]
    [name] = [name for machine_id, name in machines.items() if machine_id.startswith(short)]
    return name


def test_destroy_after_a_crash_leaves_nothing(user: User, own: Path) -> None:
    """The supervisors and the forwarder are killed by hand, as in the worst of crashes."""
    user.up("--driver", "nspawn", "-n", "1", "--release", own)
    cluster_id, namespace = user.cluster_id, _network_namespace(user.cluster_id)
    process.end(process.find(cluster_id), grace_s=0)
    assert user.status()["machines"][0]["state"] == "off"
    user.up()
    assert user.status()["healthy"]
    process.end(process.find(cluster_id), grace_s=0)
    user.argosy("destroy", "--name", _NAME)
    assert _left(cluster_id, user.folder, namespace) == []


def test_a_console_is_left_as_it_says(user: User, release: Path) -> None:
    user.up("--driver", "nspawn", "-n", "1", "--release", release)
    for keys in (b"exit\r", b"\x1d\x1d\x1d"):
        ours, theirs = pty.openpty()
        console = subprocess.Popen(
            [sys.executable, "-m", "argosy", "console", "--name", _NAME, "core-01"],
            env={**os.environ, "XDG_STATE_HOME": str(user.state)},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        seen = b""
        while b"root@core-01" not in seen:
            seen += os.read(ours, 4096)
        assert b"`exit`, or Ctrl-] three times, leaves it" in seen
        os.write(ours, keys)
        assert console.wait(timeout=30) == 0
        os.close(ours)
    _wait("the shells are gone", lambda: "bash --login" not in user.ssh("core-01", "ps -e -o args="))


def _ssh_greetings(port: int, tries: int) -> int:
    """How often sshd speaks to somebody who connects again and again, and never logs in."""
    greetings = 0
    for _ in range(tries):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as channel:
            greetings += channel.recv(8).startswith(b"SSH-2.0")
    return greetings


def test_the_machines_outlive_their_network_and_reboot(user: User, release: Path) -> None:
    user.up("--driver", "nspawn", "-n", "1", "--release", release)
    [machine_id] = user.machine_ids()
    journal = user.ssh("core-01", "journalctl -b -o cat _EXE=/usr/bin/coreos-cloudinit")
    assert "host name" in journal
    assert _ssh_greetings(user.status()["machines"][0]["ssh_port"], tries=40) == 40
    boot = user.ssh("core-01", "systemctl show --property=UserspaceTimestampMonotonic --value")
    process.end(process.find_role(user.cluster_id, "network"), grace_s=0)
    user.up()
    assert user.ssh("core-01", "systemctl show --property=UserspaceTimestampMonotonic --value") == boot
    touched = user.argosy("ssh", "--name", _NAME, "core-01", "--", "sudo touch /usr/anything", check=False)
    assert b"Read-only file system" in touched.stderr
    user.argosy("ssh", "--name", _NAME, "core-01", "--", "sudo systemctl reboot", check=False)

    def booted_again() -> bool:
        line = "systemctl show --property=UserspaceTimestampMonotonic --value"
        done = user.argosy("ssh", "--name", _NAME, "core-01", "--", line, check=False)
        return done.returncode == 0 and done.text != boot

    _wait("it is back after a reboot", booted_again)
    assert user.machine_ids() == [machine_id]

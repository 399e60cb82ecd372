"""Performing actions on a machine under a folder: real files, recorded commands."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest

from argosy.base.errors import ArgosyError
from argosy.base.run import CommandError
from argosy.formats.cloudconfig import User
from argosy.formats.metadata import Metadata
from argosy.node.provision.machine import Machine
from argosy.node.provision.model import (
    AuthorizeKeys,
    CreateUser,
    EnableUnits,
    MaskUnit,
    ReloadManager,
    RunScript,
    SetHostname,
    SetPassword,
    UnitCommand,
    UnmaskUnit,
    WriteFile,
)
from argosy.node.provision.service import Settings, provision
from argosy.node.provision.sources import Fetched

SHOWN = {
    "new.service": "FragmentPath=/etc/systemd/system/new.service\nNeedDaemonReload=no",
    "read-before.service": "FragmentPath=/usr/lib/systemd/system/read-before.service\nNeedDaemonReload=yes",
    "two.service": "FragmentPath=/a\nNeedDaemonReload=no\n\nFragmentPath=/two\nNeedDaemonReload=no",
}

Calls = list[tuple[tuple[str, ...], bytes | None]]


@pytest.fixture
def calls() -> Calls:
    return []


@pytest.fixture
def machine(tmp_path: Path, calls: Calls) -> Machine:
    me = f"{os.getuid()}:{os.getgid()}"
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(f"root:x:0:0::/root:/bin/sh\ncore:x:{me}::/home/core:/bin/sh\n")
    (tmp_path / "etc/group").write_text(f"root:x:0:\nmine:x:{os.getgid()}:\n")
    (tmp_path / "home/core").mkdir(parents=True)

    def command(argv: Sequence[str], stdin: bytes | None) -> str:
        calls.append((tuple(argv), stdin))
        if "broken.service" in argv:
            raise CommandError("`systemctl` exited with 5", hint="Unit broken.service not found.")
        return SHOWN.get(argv[-1], "") if argv[:2] == ["systemctl", "show"] else ""

    return Machine(
        tmp_path, command, lambda: "before", lambda name: calls.append((("sethostname", name), None))
    )


def test_files_get_their_mode_and_owner_and_folders(machine: Machine) -> None:
    action = WriteFile("/srv/a/b", b"text", "why", 0o640, f"core:{os.getgid()}")
    machine.perform([action, action])
    path = machine.root / "srv/a/b"
    assert path.read_bytes() == b"text"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert path.stat().st_uid == os.getuid()
    assert [entry.name for entry in path.parent.iterdir()] == ["b"]


def test_a_file_that_is_as_wanted_keeps_its_time(machine: Machine) -> None:
    path = machine.root / "a"
    machine.perform([WriteFile("/a", b"text", "why")])
    os.utime(path, (1, 1))
    machine.perform([WriteFile("/a", b"text", "why")])
    assert path.stat().st_mtime == 1
    for changed in (WriteFile("/a", b"other", "why"), WriteFile("/a", b"other", "why", 0o600)):
        machine.perform([changed])
        assert path.read_bytes() == b"other"
        assert stat.S_IMODE(path.stat().st_mode) == changed.mode
        assert path.stat().st_mtime > 1
        os.utime(path, (1, 1))


def test_a_failure_names_the_action_and_stops(machine: Machine, calls: Calls) -> None:
    (machine.root / "srv").mkdir()
    with pytest.raises(ArgosyError) as caught:
        machine.perform([WriteFile("/srv", b"", "why"), ReloadManager((), "why")])
    assert str(caught.value) == "cannot write /srv: /srv is a folder"
    assert calls == []


def test_all_commands_to_units_are_tried(machine: Machine, calls: Calls) -> None:
    broken = UnitCommand("start", ("broken.service",), "why")
    with pytest.raises(ArgosyError) as caught:
        machine.perform([broken, UnitCommand("stop", ("a.service", "b.service"), "why")])
    assert str(caught.value) == "cannot start broken.service: `systemctl` exited with 5"
    assert caught.value.hint == "Unit broken.service not found."
    assert calls[1][0] == ("systemctl", "stop", "--no-block", "a.service", "b.service")


def test_the_commands(machine: Machine, calls: Calls) -> None:
    user = User("u", "hash", gecos="U", homedir="/h", no_create_home=True, groups=("a", "b"), shell="/s")
    machine.perform(
        [
            SetHostname("after", "why"),
            CreateUser(user, "why"),
            SetPassword("u", "hash"),
            EnableUnits(("a.service",), True, "why"),
            ReloadManager((("unanswered.service", ""),), "why"),
            RunScript("/w/x", "x.service", "why"),
        ]
    )
    assert [" ".join(argv) for argv, _ in calls] == [
        "sethostname after",
        "useradd --password * --comment U --home-dir /h --no-create-home --groups a,b --shell /s u",
        "chpasswd -e",
        "systemctl --root=/ enable --force --runtime a.service",
        "systemctl show --property=FragmentPath,NeedDaemonReload unanswered.service",
        "systemctl daemon-reload",
        "systemd-run --quiet --no-block --collect --unit=x.service /w/x",
    ]
    assert calls[2][1] == b"u:hash\n"
    assert (machine.root / "etc/hostname").read_text() == "after\n"


@pytest.mark.parametrize(
    ("units", "reloaded"),
    [
        ([("new.service", "/etc/systemd/system/new.service")], False),
        ([("new.service", "")], False),
        ([("new.service", "/run/systemd/system/new.service")], True),
        ([("read-before.service", "")], True),
        ([("one.service", ""), ("two.service", "/two")], False),
        ([("one.service", "/b"), ("two.service", "/two")], True),
        ([("unanswered.service", "")], True),
        ([("broken.service", "")], True),
        ([("template@.service", ""), ("new.service", "")], True),
    ],
)
def test_systemd_reads_again_only_what_it_has_read_before(
    machine: Machine, calls: Calls, units: list[tuple[str, str]], reloaded: bool
) -> None:
    machine.perform([ReloadManager(tuple(units), "why")])
    assert ((("systemctl", "daemon-reload"), None) in calls) == reloaded


def test_masking_and_unmasking(machine: Machine) -> None:
    path = machine.root / "etc/systemd/system/a.service"
    machine.perform([MaskUnit("/etc/systemd/system/a.service", "why")] * 2)
    assert str(path.readlink()) == "/dev/null"
    machine.perform([UnmaskUnit("/etc/systemd/system/a.service", "why")] * 2)
    assert not path.is_symlink()
    path.write_text("")
    machine.perform([UnmaskUnit("/etc/systemd/system/a.service", "why")])
    assert not path.exists()
    path.write_text("[Service]")
    machine.perform([UnmaskUnit("/etc/systemd/system/a.service", "why")])
    assert path.exists()


def test_keys_of_several_origins_live_side_by_side(machine: Machine) -> None:
    ssh = machine.root / "home/core/.ssh"
    ssh.mkdir()
    (ssh / "authorized_keys").write_text("by hand")
    machine.perform(
        [AuthorizeKeys("core", "oem", ("o",), "why"), AuthorizeKeys("core", "user", ("u", "v"), "why")]
    )
    assert sorted((ssh / "authorized_keys").read_text().split("\n")) == ["", "by hand", "o", "u", "v"]
    machine.perform([AuthorizeKeys("core", "user", ("w",), "why")])
    assert sorted((ssh / "authorized_keys").read_text().split("\n")) == ["", "by hand", "o", "w"]
    assert stat.S_IMODE((ssh / "authorized_keys").stat().st_mode) == 0o600
    assert stat.S_IMODE((ssh / "authorized_keys.d").stat().st_mode) == 0o700


def test_keys_without_a_user_or_home(machine: Machine) -> None:
    with pytest.raises(ArgosyError, match="there is no user 'x'"):
        machine.perform([AuthorizeKeys("x", "n", ("k",), "why")])
    with pytest.raises(ArgosyError, match="home folder /root"):
        machine.perform([AuthorizeKeys("root", "n", ("k",), "why")])


@pytest.mark.root
def test_keys_are_written_with_the_users_rights_only(machine: Machine) -> None:
    nobody, secret = 65534, machine.root / "secret"
    (machine.root / "etc/passwd").write_text(f"core:x:{nobody}:{nobody}::/home/core:/bin/sh\n")
    for folder in (machine.root, *machine.root.parents[:3]):
        folder.chmod(0o755)
    os.chown(machine.root / "home/core", nobody, nobody)
    machine.perform([AuthorizeKeys("core", "n", ("k",), "why")])
    assert (machine.root / "home/core/.ssh/authorized_keys").stat().st_uid == nobody
    secret.mkdir(mode=0o700)
    folder = machine.root / "home/core/.ssh/authorized_keys.d"
    folder.rename(machine.root / "home/core/.ssh/old")
    folder.symlink_to(secret)
    with pytest.raises(ArgosyError):
        machine.perform([AuthorizeKeys("core", "n", ("k",), "why")])
    assert list(secret.iterdir()) == []
    assert os.geteuid() == 0


USER_DATA = b"""#cloud-config
coreos:
  etcd2:
    name: core-01
    initial-advertise-peer-urls: http://$private_ipv4:2380
  units:
    - {name: etcd2.service, command: start}
"""
METADATA = Metadata("core-01", private_ipv4="172.17.8.101", ssh_authorized_keys=("key",))


def test_a_machine_of_a_cluster_is_configured_twice_alike(machine: Machine, calls: Calls) -> None:
    fetched = Fetched("credential", USER_DATA, METADATA)
    for _ in range(2):
        assert provision(fetched, machine, Settings(), {})
    drop_in = machine.root / "run/systemd/system/etcd2.service.d/20-cloudinit.conf"
    assert 'Environment="ETCD_INITIAL_ADVERTISE_PEER_URLS=http://172.17.8.101:2380"' in drop_in.read_text()
    assert (machine.root / "etc/environment").read_text() == "COREOS_PRIVATE_IPV4=172.17.8.101\n"
    assert [argv for argv, _ in calls[: len(calls) // 2]] == [argv for argv, _ in calls[len(calls) // 2 :]]
    assert calls[-1][0] == ("systemctl", "start", "--no-block", "etcd2.service")


def test_bad_user_data_changes_nothing_but_the_owner_gets_in(machine: Machine, calls: Calls) -> None:
    bad = USER_DATA + b"write_files: [{path: /a}, {path: /usr/b}]\n"
    assert not provision(Fetched("credential", bad, METADATA), machine, Settings(), {})
    assert not (machine.root / "run").exists()
    assert not (machine.root / "a").exists()
    assert (machine.root / "home/core/.ssh/authorized_keys").read_text() == "key\n"
    assert calls == [(("sethostname", "core-01"), None)]


def test_by_hand_the_addresses_are_those_of_etc_environment(machine: Machine) -> None:
    (machine.root / "etc/environment").write_text('COREOS_PRIVATE_IPV4="10.9.8.7"\n')
    text = b"#cloud-config\nwrite_files: [{path: /a, content: $private_ipv4}]"
    provision(Fetched("file", text), machine, Settings(), {})
    assert (machine.root / "a").read_text() == "10.9.8.7"
    provision(Fetched("file", text), machine, Settings(), {"COREOS_PRIVATE_IPV4": "10.0.0.1"})
    assert (machine.root / "a").read_text() == "10.0.0.1"


def test_a_script_is_kept_and_run(machine: Machine, calls: Calls) -> None:
    assert provision(Fetched("file", b"#!/bin/sh\nexit\n"), machine, Settings(workspace="/w"), {})
    (argv, _) = calls[-1]
    assert argv[0] == "systemd-run"
    script = machine.root / argv[-1].lstrip("/")
    assert script.read_text() == "#!/bin/sh\nexit\n"
    assert stat.S_IMODE(script.stat().st_mode) == 0o700

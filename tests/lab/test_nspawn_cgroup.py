"""Where a machine's control group is, by what the host mounts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from argosy.base import run
from argosy.base.errors import ArgosyError
from argosy.lab.nspawn import cgroup
from argosy.lab.nspawn.cgroup import Hierarchies

_UNIFIED = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nodev,noexec,relatime,nsdelegate 0 0\n"
_HYBRID = """\
tmpfs /sys/fs/cgroup tmpfs ro,mode=755 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,xattr,name=systemd 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0
"""
_LEGACY = "cgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0\n"


@pytest.mark.parametrize(
    ("mounts", "expected"),
    [
        (_UNIFIED, Hierarchies(Path("/sys/fs/cgroup"), None)),
        (_HYBRID, Hierarchies(Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup/systemd"))),
    ],
)
def test_hierarchies(mounts: str, expected: Hierarchies) -> None:
    assert cgroup.parse_hierarchies("/dev/vda / ext4 rw 0 0\n" + mounts) == expected


def test_without_a_unified_hierarchy() -> None:
    with pytest.raises(ArgosyError) as caught:
        cgroup.parse_hierarchies(_LEGACY)
    assert "qemu" in (caught.value.hint or "")


def test_a_scope_where_systemd_runs_the_host() -> None:
    group = cgroup.machine_cgroup("argosy-x-core-01", Hierarchies(Path("/c"), None), scope=True)
    assert group.folders == (Path("/c/machine.slice/argosy-x-core-01.scope"),)
    assert group.enter[0] == "systemd-run"
    assert "--unit=argosy-x-core-01" in group.enter


def test_our_own_in_both_hierarchies_elsewhere() -> None:
    group = cgroup.machine_cgroup("argosy-x-core-01", Hierarchies(Path("/u"), Path("/s")), scope=False)
    assert group.folders == (Path("/u/argosy-x-core-01"), Path("/s/argosy-x-core-01"))
    assert group.enter == ()


@pytest.mark.root
def test_kill_ends_all_that_is_in_it_and_remove_takes_it_away(tmp_path: Path) -> None:
    name = f"argosy-test-{os.getpid()}"
    group = cgroup.machine_cgroup(name, cgroup.host_hierarchies(), scope=False)
    log = tmp_path / "log"
    pids = [run.start_detached(["sh", "-c", "trap '' TERM; sleep 60 & wait"], log=log) for _ in range(2)]
    cgroup.settle(group.folders, supervisor=pids[0], machine=pids[1])
    for folder in group.folders:
        assert [(folder / name / "cgroup.procs").read_text().split()[0] for name in ("power", "machine")] == [
            str(pid) for pid in pids
        ]
    cgroup.kill(group)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [9, 9]
    cgroup.remove(group)
    assert not any(folder.exists() for folder in group.folders)
    cgroup.kill(group)
    cgroup.remove(group)

"""Processes are found by their mark, and only they are signalled."""

from __future__ import annotations

import dataclasses
import os
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from argosy.base.run import CommandError
from argosy.lab import process


@pytest.fixture
def cluster_id() -> Iterator[str]:
    name = secrets.token_hex(8)
    yield name
    process.end(process.find(name), grace_s=0)


def test_a_process_is_known_from_its_start_until_its_end(cluster_id: str, tmp_path: Path) -> None:
    pid = process.spawn(cluster_id, "role/1", ["sleep", "60"], log=tmp_path / "log")
    [found] = process.find(cluster_id)
    assert (found.pid, found.role) == (pid, "role/1")
    process.end([found])
    assert process.find(cluster_id) == []


def test_clusters_and_roles_are_told_apart(cluster_id: str, tmp_path: Path) -> None:
    other = cluster_id[:-1]  # a prefix must not match
    for role in ("a", "b"):
        process.spawn(cluster_id, role, ["sleep", "60"], log=tmp_path / "log")
    assert process.find(other) == []
    assert [found.role for found in process.find_role(cluster_id, "a")] == ["a"]


def test_children_are_marked_too(cluster_id: str, tmp_path: Path) -> None:
    process.spawn(cluster_id, "shell", ["sh", "-c", "sleep 60; true"], log=tmp_path / "log")
    deadline = 200
    while len(process.find(cluster_id)) < 2 and deadline:
        deadline -= 1
    assert {found.role for found in process.find(cluster_id)} == {"shell"}


def test_a_stranger_with_the_same_pid_is_not_signalled(cluster_id: str, tmp_path: Path) -> None:
    process.spawn(cluster_id, "role", ["sleep", "60"], log=tmp_path / "log")
    [found] = process.find(cluster_id)
    earlier = dataclasses.replace(found, started_ticks=found.started_ticks - 1)
    process.send(earlier, signal.SIGKILL)
    assert process.wait_gone([earlier], timeout_s=0) == []
    assert process.find(cluster_id) == [found]


def test_one_that_ignores_the_polite_signal_is_ended(cluster_id: str, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    script = f"trap '' TERM; touch {ready}; exec sleep 60"  # what is ignored stays so after exec
    process.spawn(cluster_id, "deaf", ["sh", "-c", script], log=tmp_path / "log")
    while not ready.exists():
        os.sched_yield()
    process.end(process.find(cluster_id), grace_s=0.2)
    assert process.find(cluster_id) == []


def test_waiting_ends_with_those_that_are_left(cluster_id: str, tmp_path: Path) -> None:
    process.spawn(cluster_id, "role", ["sleep", "60"], log=tmp_path / "log")
    found = process.find(cluster_id)
    assert process.wait_gone(found, timeout_s=0.05) == found


def test_a_program_that_is_not_there_is_an_error(cluster_id: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="not installed"):
        process.spawn(cluster_id, "role", ["/nonexistent/program"], log=tmp_path / "log")

"""Watching etcd's quorum; the question itself is asked of real members."""

from __future__ import annotations

import json
import time
from pathlib import Path

from tests.etcd import Cluster

from argosy.base.run import run
from argosy.lab.quorum import QuorumWatch, question


def test_a_member_without_quorum_says_so(tmp_path: Path) -> None:
    with Cluster(tmp_path, 3) as cluster:
        ports = {member.name: member.client_port for member in cluster.members}

        def ask(name: str) -> bool:
            return run(["bash", "-c", question(ports[name])], check=False, timeout_s=60).returncode == 0

        assert ask("m0") and ask("m2")
        cluster.members[2].kill()
        cluster.wait_healthy()  # it may have been the leader
        assert ask("m0") and not ask("m2")
        cluster.members[1].kill()
        assert not ask("m0")


def test_who_answered_last_is_asked_first(tmp_path: Path) -> None:
    asked: list[str] = []
    healthy = {"b"}

    def ask(name: str) -> bool:
        asked.append(name)
        return name in healthy

    log = tmp_path / "kept" / "quorum.jsonl"
    with QuorumWatch(ask, "abc", log, every_s=0.01, patience_s=0.05) as watch:
        _until(watch, 2)
        assert (asked[:3], watch.without) == (["a", "b", "b"], 0)
        healthy.clear()
        _until(watch, watch.samples + 2)
        assert watch.without >= 1
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert lines[0]["by"] == "b" and lines[-1]["by"] is None
    assert len(lines) == watch.samples


def _until(watch: QuorumWatch, samples: int) -> None:
    deadline = time.monotonic() + 30
    while watch.samples < samples:
        assert time.monotonic() < deadline
        time.sleep(0.005)

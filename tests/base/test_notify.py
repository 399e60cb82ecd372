"""The datagrams of sd_notify(3), on real sockets."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from argosy.base.notify import notify


@pytest.mark.parametrize("abstract", [False, True])
def test_fields_arrive_as_one_datagram(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool
) -> None:
    name = "@argosy-test-" + tmp_path.name if abstract else str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(name.replace("@", "\0", 1))
        receiver.settimeout(5)
        notify("READY=1", "STATUS=all is well")
        assert receiver.recv(4096) == b"READY=1\nSTATUS=all is well"


def test_outside_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")

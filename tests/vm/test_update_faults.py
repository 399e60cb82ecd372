"""Versions that do not come up: the machine is back by itself each time, and everybody knows why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.vm.updates import LEAN, Node, next_version, one_machine
from tests.vm.versions import Fault, make_version

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def node(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with one_machine(tmp_path_factory.mktemp("faults"), release, user_data=LEAN) as node:
        yield node


@pytest.mark.parametrize(
    ("step", "fault", "reason"),
    [
        (1, Fault.KERNEL, "could not read its kernel"),
        (2, Fault.USR, "did not come up in 3 tries"),
        (3, Fault.HANG, "did not come up in 3 tries"),
    ],
)
def test_a_broken_version_gives_way(
    node: Node, release: Path, tmp_path: Path, step: int, fault: Fault, reason: str
) -> None:
    before = node.ready()
    version = next_version(before.version, step)
    node.publish(make_version(release, version, fault, tmp_path))
    node.update()
    node.reboot()
    node.fell_back(before, version, reason)


def test_a_version_that_loses_its_initrd_gives_way(node: Node, release: Path, tmp_path: Path) -> None:
    before = node.ready()
    version = next_version(before.version, 4)
    node.publish(make_version(release, version, Fault.USR, tmp_path))
    node.update()
    node.on("sudo rm /boot/coreos/initrd-b && sync")
    node.reboot()
    node.fell_back(before, version, "could not read its initrd")

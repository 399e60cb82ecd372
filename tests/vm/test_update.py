"""One machine: a whole update, a failing probe, and a reboot by kexec. The tests build on each other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.vm.conftest import eventually
from tests.vm.updates import Node, next_version, one_machine
from tests.vm.versions import Fault, make_version

from argosy.formats.updateapi import State
from argosy.image.build import read_release

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1800)]

PROBE = "/etc/argosy/health.d/50-no-slot-a"
SETTINGS = "/etc/coreos/update.conf"


@pytest.fixture(scope="module")
def node(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A cluster of one, as `argosy up -n 1` makes it."""
    with one_machine(tmp_path_factory.mktemp("update"), release) as node:
        yield node


def test_a_whole_update(node: Node, release: Path, second: Path) -> None:
    """Version 2 boots from USR-B, and is committed after its probes; USR-A can still boot."""
    old, new = read_release(release).version, read_release(second).version
    before = node.ready()
    assert (before.version, before.slot) == (old, "a")
    node.publish(second)
    node.update()
    slots = node.slots()
    assert (slots["next"], slots["next_is_trial"]) == ("b", True)
    node.reboot()
    after = node.restarted(before)
    assert (after.version, after.slot, after.verified) == (new, "b", True)
    node.committed("b")
    states = {
        slot["slot"]: (slot["version"], slot["state"], slot["running"]) for slot in node.slots()["slots"]
    }
    assert states == {"a": (old, "good", False), "b": (new, "good", True)}
    words = node.on("sudo argosy slots")
    assert f"A  {old}  good" in words and f"B  {new}  good, runs now" in words
    assert "next boot: slot B" in words
    assert f"running    {new} in slot B" in node.on("update_engine_client -why")
    eventually(lambda: node.has_state(State.CURRENT))
    machine = node.on_service()
    assert machine and machine.version == new


def test_a_failing_probe_brings_the_old_version_back(node: Node, second: Path, tmp_path: Path) -> None:
    before = node.ready()
    bad = next_version(before.version)
    node.on(f"sudo mkdir -p {Path(PROBE).parent}")
    script = r"#!/bin/sh\necho slot A displeases me\n! grep -q argosy.slot=a /proc/cmdline\n"
    node.on(f"printf '{script}' | sudo tee {PROBE} >/dev/null && sudo chmod 755 {PROBE}")
    node.on(f"echo HEALTH_DEADLINE_S=75 | sudo tee -a {SETTINGS}")
    node.publish(make_version(second, bad, Fault.NONE, tmp_path))
    node.update()
    node.reboot()
    node.fell_back(before, bad, "50-no-slot-a: exit code 1: slot A displeases me")
    node.on(f"sudo rm {PROBE}")


def test_a_version_that_failed_is_not_tried_again(node: Node) -> None:
    assert node.on("update_engine_client -update || echo refused") == "refused"
    assert "slot A displeases me" in node.on("update_engine_client -why")


def test_kexec_takes_the_way_past_the_boot_loader(node: Node, release: Path, tmp_path: Path) -> None:
    """Into what the first release holds, published as a newer version."""
    before = node.ready()
    node.publish(make_version(release, next_version(before.version, 5), Fault.NONE, tmp_path))
    node.on(f"sudo rm -f {PROBE}; sudo sed -i /HEALTH_DEADLINE_S/d {SETTINGS}")
    node.on(f"echo REBOOT_METHOD=kexec | sudo tee -a {SETTINGS}")
    node.update()
    seen = len(node.console())
    node.reboot()
    after = node.restarted(before)
    assert (after.version, after.verified) == (read_release(release).version, True)
    assert after.slot != before.slot
    assert "BOOT_IMAGE" not in node.on("cat /proc/cmdline"), "the boot loader names its kernel"
    assert "argosy.trial" in node.on("cat /proc/cmdline")
    assert "by kexec" in node.console()[seen:]
    node.committed(after.slot)

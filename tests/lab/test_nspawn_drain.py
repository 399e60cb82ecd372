"""A service of two replicas on three machines, all of which reboot: at every sample two of them run."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lab.containers import MACHINES, Containers

pytestmark = [pytest.mark.root, pytest.mark.timeout(900)]

_WITHIN_S = 500.0
_SAMPLE_S = 0.2
_UNIT = """\
[Unit]
Description=One of two

[Service]
ExecStart=/usr/bin/sleep {marker}%i

[X-Fleet]
Conflicts=two@*.service
"""


class Site(Containers):
    """What this test asks."""

    def active(self) -> dict[str, str]:
        """The units that run, each with its machine, as fleet says it."""
        listed = self.ssh("core-01", "fleetctl list-units --json") or "[]"
        return {
            state["name"]: state["machineID"]
            for state in json.loads(listed)
            if state["systemdActiveState"] == "active"
        }

    def place(self, unit: str) -> str:
        """The name of the machine on which a unit runs."""
        wanted = self.active()[unit]
        return next(name for name in MACHINES if self.ssh(name, "cat /etc/machine-id") == wanted)


class Sampler:
    """Counts, again and again, how many of the two run: the machines' processes are this host's, too."""

    def __init__(self, marker: str) -> None:
        self._wanted = {f"/usr/bin/sleep\0{marker}{index}\0".encode() for index in (1, 2)}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.samples: list[tuple[float, int]] = []

    def running(self) -> int:
        return len(self._wanted & {_command(path) for path in Path("/proc").glob("[0-9]*/cmdline")})

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        start_s = time.monotonic()
        while not self._stop.wait(_SAMPLE_S):
            self.samples.append((round(time.monotonic() - start_s, 1), self.running()))


def _command(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.fixture
def site(tmp_path: Path, release: Path) -> Iterator[Site]:
    site = Site("drain", tmp_path / "state")
    try:
        up = site.argosy("up", "--driver", "nspawn", "-n", "3", "--release", release)
        assert up.returncode == 0, up.stderr.decode()
        yield site
    finally:
        site.argosy("destroy")


def test_two_keep_running_while_three_machines_reboot_in_turn(site: Site) -> None:
    marker = f"9{secrets.randbelow(10**6):06}"
    unit = _UNIT.format(marker=marker)
    start = f"cat > two@.service <<'END'\n{unit}END\nfleetctl start two@1 two@2"
    assert "launched" in site.ssh("core-01", start)
    before = site.boots()
    with Sampler(marker) as sampler:
        assert sampler.running() == 2
        # A person reboots a machine that runs one of them; the others are locksmithd's.
        first = site.place("two@1.service")
        told = site.argosy("ssh", first, "--", "sudo locksmithctl reboot").text
        for name in MACHINES:
            if name != first:
                site.ssh(name, "sudo locksmithctl send-need-reboot")
        _all_have_rebooted(site, before)
    assert "waiting until they have moved: two@1.service" in told
    low = [sample for sample in sampler.samples if sample[1] < 2]
    print(f"{len(sampler.samples)} samples in {sampler.samples[-1][0]:.0f} s, below two: {low}")
    assert len(sampler.samples) > 50
    assert not low
    assert site.active().keys() == {"two@1.service", "two@2.service"}
    # Nobody had to undo the cordons: what they were for is over.
    machines = json.loads(site.ssh("core-02", "fleetctl list-machines --json"))
    assert len(machines) == 3
    assert not [machine for machine in machines if "standing" in machine]


def _all_have_rebooted(site: Site, before: dict[str, str]) -> None:
    deadline = time.monotonic() + _WITHIN_S
    while True:
        boots = site.boots()
        if all(boots[name] not in ("", before[name]) for name in MACHINES):
            status = site.ssh("core-01", "locksmithctl status --json")
            if status and not json.loads(status)["holders"]:
                return
        assert time.monotonic() < deadline, [site.ssh(name, "locksmithctl why") for name in MACHINES]
        time.sleep(2)

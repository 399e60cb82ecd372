"""CPU seconds from power-on to a healthy cluster, Argosy against a plain Debian root, alternating."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from pathlib import Path

from argosy.base.progress import Progress
from bench.machine import MARK, Boot, boot
from bench.reference import reference_disk

# One machine is a whole cluster here, so that nothing is measured but its own boot. Argosy's first boot does
# all that it does in a real cluster: grows ROOT, applies the user-data, makes keys, starts etcd and fleet.
_USER_DATA = f"""\
#cloud-config
hostname: core-01
coreos:
  etcd2:
    name: core-01
    initial-cluster: core-01=http://$private_ipv4:2380
    initial-advertise-peer-urls: http://$private_ipv4:2380
    listen-peer-urls: http://$private_ipv4:2380
    listen-client-urls: http://0.0.0.0:2379
    advertise-client-urls: http://$private_ipv4:2379
  fleet:
    public-ip: $private_ipv4
  units:
    - name: etcd2.service
      command: start
    - name: fleet.service
      command: start
    - name: bench.service
      command: start
      content: |
        [Unit]
        After=etcd-member.service fleet.service
        [Service]
        ExecStart=/bin/sh -c 'argosy status --wait 600 >/dev/null && \\
          used=$(free -m | sed -n "s/^Mem: *[0-9]* *\\([0-9]*\\).*/\\1/p") && \\
          echo "{MARK} $used" >/dev/console'
"""
_NETWORK = "[Match]\nName=en*\n[Network]\nAddress=10.0.2.15/24\nGateway=10.0.2.2\nLinkLocalAddressing=no\n"
_METADATA = {
    "hostname": "core-01",
    "private_ipv4": "10.0.2.15",
    "public_ipv4": "10.0.2.15",
    "ssh_authorized_keys": [],
}


@dataclass(frozen=True, slots=True)
class Result:
    """Medians of the same number of boots each; `ratio` is Argosy's CPU seconds over the reference's."""

    runs: int
    argosy: Boot
    reference: Boot
    ratio: float


def measure(release: Path, runs: int, progress: Progress) -> Result:
    """Boot each disk `runs` times, in turns."""
    reference = reference_disk(release, progress)
    credentials = {
        "argosy.user-data": _USER_DATA.encode(),
        "argosy.metadata": json.dumps(_METADATA).encode(),
        "network.network.20-host": _NETWORK.encode(),
    }
    ours: list[Boot] = []
    theirs: list[Boot] = []
    with progress.step("boot", total=2 * runs) as step:
        for _ in range(runs):
            step.note("Argosy")
            ours.append(boot(release / "disk.img", credentials))
            step.advance(1)
            step.note("plain Debian")
            theirs.append(boot(reference, {}))
            step.advance(1)
    argosy, debian = _median(ours), _median(theirs)
    return Result(runs, argosy, debian, argosy.cpu_s / debian.cpu_s)


def _median(boots: list[Boot]) -> Boot:
    return Boot(
        statistics.median(boot.cpu_s for boot in boots),
        statistics.median(boot.wall_s for boot in boots),
        round(statistics.median(boot.used_mib for boot in boots)),
    )

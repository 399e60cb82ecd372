"""The sample service (`examples/hello`): built, loaded into every machine, started by fleet."""

from __future__ import annotations

import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from argosy.base import paths
from argosy.base.errors import ArgosyError
from argosy.base.progress import Progress
from argosy.base.run import run
from argosy.lab import ssh
from argosy.lab.cluster import Lab, boot_timeout_s
from argosy.lab.model import Machine, Site
from argosy.lab.parallel import in_parallel

_UNIT = "hello@.service"
_REQUEST_TIMEOUT_S = 5.0
_LOOK_EVERY_S = 1.0
# fleetctl's own default, 3 s, is for real machines; emulated ones on a busy host need longer.
_FLEET_TIMEOUT_S = 120
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def start(lab: Lab, name: str, find_busybox: Callable[[], Path], progress: Progress) -> None:
    """Have the sample service answer on every machine of a cluster that is up."""
    site = lab.site(name)
    if all(answer(machine) for machine in site.cluster.machines):
        return
    with progress.step("start the sample service"):
        archive = site.folder / "hello.tar"
        script = paths.shipped("examples") / "hello" / "build.py"
        run([sys.executable, script, "--busybox", find_busybox(), "--out", archive])
        lab.load(name, archive)
        _start_units(site, script.with_name(_UNIT), progress)
        in_parallel(lambda machine: _wait(site, machine, progress), site.cluster.machines)


def answer(machine: Machine) -> str | None:
    """What the service says through this machine; None if it does not answer."""
    try:
        url = f"http://127.0.0.1:{machine.service_port}/"
        with _direct.open(url, timeout=_REQUEST_TIMEOUT_S) as response:
            text: bytes = response.read(1000)
            return text.decode(errors="replace").strip()
    except (urllib.error.URLError, OSError):
        return None


def _start_units(site: Site, unit: Path, progress: Progress) -> None:
    first = site.cluster.machines[0]
    names = " ".join(f"hello@{machine.index}.service" for machine in site.cluster.machines)
    fleetctl = f"fleetctl --request-timeout={_FLEET_TIMEOUT_S}"
    line = (
        f'cd "$(mktemp -d)" && cat >{_UNIT}'
        f" && {fleetctl} submit {_UNIT} && {fleetctl} start --no-block {names}"
    )
    with progress.step(f"fleetctl start {names}"):
        run(ssh.command(site, first, [line]), stdin=unit, env=ssh.environment(site, first))


def _wait(site: Site, machine: Machine, progress: Progress) -> None:
    timeout_s = boot_timeout_s(site.cluster, 1)
    deadline = time.monotonic() + timeout_s
    with progress.step(f"hello on {machine.name}"):
        while answer(machine) is None:
            if time.monotonic() > deadline:
                raise ArgosyError(
                    f"the sample service on {machine.name} does not answer after {timeout_s:.0f} s",
                    hint=f"argosy ssh {machine.name} -- fleetctl list-units\n"
                    f"argosy ssh {machine.name} -- journalctl -u 'hello@*'",
                )
            time.sleep(_LOOK_EVERY_S)

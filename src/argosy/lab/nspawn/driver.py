"""Machines as containers of systemd-nspawn. What they are not is said in the room's own docstring."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

from argosy.base.decode import encode_json
from argosy.base.errors import ArgosyError
from argosy.base.files import link_or_copy, replace_file
from argosy.base.progress import Progress
from argosy.base.run import find_program, run
from argosy.formats.release import USR_IMAGE
from argosy.lab import process
from argosy.lab.model import Credentials, Machine, Site
from argosy.lab.nspawn import cgroup, command, loop, network
from argosy.lab.nspawn.launch import Launch
from argosy.lab.nspawn.supervisor import leaders, press_power_button, role, supervisors
from argosy.lab.ssh import TMPFILES_CREDENTIAL

_PROGRAMS = ("systemd-nspawn", "unshare", "nsenter", "flock", "mount", "ip")
_STARTS_WITHIN_S = 60.0
_FULL_BYTES = 16 * 1024**2
# For a host that mounts v1 hierarchies too: the machine gets the unified one all the same.
_NSPAWN_ENVIRONMENT = {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1", "TERM": "dumb"}


class NspawnDriver:
    """Runs machines as containers; see `argosy.lab.driver.Driver` for what the methods promise."""

    @property
    def server_host(self) -> str:
        return command.GATEWAY

    def check_host(self) -> None:
        if os.geteuid() != 0:
            raise ArgosyError(
                "the nspawn driver needs root", hint="use sudo, or --driver qemu, which needs no privileges"
            )
        missing = [name for name in _PROGRAMS if find_program(name) is None]
        if missing:
            raise ArgosyError(
                f"not installed: {', '.join(missing)}", hint="`argosy setup` installs what is missing"
            )
        cgroup.host_hierarchies()

    def prepare(self, site: Site, progress: Progress) -> None:
        image = _usr_image(site)
        if image.exists():
            return
        source = Path(site.cluster.release_folder) / USR_IMAGE
        with progress.step("take the release's /usr"):  # its files are replaced, never changed
            link_or_copy(source, image, hint="build the release again: argosy build")

    def network_is_up(self, site: Site) -> bool:
        return network.forwarder(site) is not None

    def start_network(self, site: Site) -> None:
        if not self.network_is_up(site):
            network.start(site)

    def stop_network(self, site: Site) -> None:
        """Also ends machines whose supervisors were all killed: they count as off, but run on."""
        network.stop(site)
        for machine in site.cluster.machines:
            if not supervisors(site, machine):
                _end(_cgroup(site, machine))

    def network_units(self, site: Site, machine: Machine) -> Credentials:
        return {"network.network.10-host0": command.network_unit(machine)}

    def create(self, site: Site, machine: Machine) -> None:
        _root(site, machine).mkdir(mode=0o755, exist_ok=True)

    def created(self, site: Site) -> frozenset[str]:
        return frozenset(machine.name for machine in site.cluster.machines if _root(site, machine).is_dir())

    def start(self, site: Site, machine: Machine) -> None:
        if supervisors(site, machine):
            return
        forwarder = network.forwarder(site)
        if forwarder is None:
            raise ArgosyError("the cluster's network is down", hint="`argosy up` starts it")
        group = _cgroup(site, machine)
        _end(group)
        source = site.machine_folder(machine) / "launch.json"
        replace_file(source, encode_json(_launch(site, machine, group), pretty=True))
        log = site.console_log(machine)
        log_start = network.size(log)
        boot = [
            *("unshare", "--mount", "--propagation=slave", "--"),
            *(sys.executable, "-m", "argosy.lab.nspawn.launch", str(source)),
        ]
        argv = [
            *group.enter,
            *("nsenter", f"--net=/proc/{forwarder.pid}/ns/net", "--"),
            *command.power(group.machine, boot),
        ]
        process.spawn(site.cluster.id, role(machine), argv, log=log, env=_NSPAWN_ENVIRONMENT)
        self._wait_for_leader(site, machine, log_start)

    def _wait_for_leader(self, site: Site, machine: Machine, log_start: int) -> None:
        deadline = time.monotonic() + _STARTS_WITHIN_S
        while not leaders(site, machine):
            if not supervisors(site, machine) or time.monotonic() > deadline:
                self.kill(site, machine)
                hint = network.tail(site.console_log(machine), log_start)
                raise ArgosyError(f"{machine.name} does not start", hint=hint)
            time.sleep(0.05)

    def running(self, site: Site) -> frozenset[str]:
        roles = {found.role for found in process.find(site.cluster.id)}
        return frozenset(machine.name for machine in site.cluster.machines if role(machine) in roles)

    def halt(self, site: Site, machine: Machine) -> None:
        press_power_button(site, machine)

    def kill(self, site: Site, machine: Machine) -> None:
        group = _cgroup(site, machine)
        cgroup.kill(group)
        process.end(supervisors(site, machine), grace_s=0)
        _end(group)  # for one that was not in its control group yet a moment ago

    def trouble(self, site: Site, machine: Machine) -> str | None:
        if shutil.disk_usage(site.folder).free < _FULL_BYTES:
            return f"the host's file system of {site.folder} is full"
        return None

    def remove(self, site: Site, machine: Machine) -> None:
        _end(_cgroup(site, machine))
        if site.machine_folder(machine).exists():
            shutil.rmtree(site.machine_folder(machine))

    def clean(self, site: Site, progress: Progress) -> None:
        loop.wait_ended(_usr_image(site), progress)

    @property
    def leave_console(self) -> str:
        """The second is how systemd-run lets go of a terminal."""
        return "`exit`, or Ctrl-] three times,"

    def attach_console(self, site: Site, machine: Machine) -> int:
        running = leaders(site, machine)
        if not running:
            raise ArgosyError(f"{machine.name} is not powered on", hint=f"`argosy start {machine.name}`")
        shell = [
            *("nsenter", f"--target={running[0]}", "--all", "--root", "--wd"),
            *("/usr/bin/env", "-i", f"TERM={os.environ.get('TERM', 'dumb')}"),
            *("/usr/bin/systemd-run", "--quiet", "--pty", "--collect"),
            *("--working-directory=/root", "--setenv=HOME=/root", "/bin/bash", "--login"),
        ]
        return run(shell, capture=False, check=False).returncode


def _launch(site: Site, machine: Machine, group: cgroup.Cgroup) -> Launch:
    folder = site.credentials(machine)
    credentials = {path.name: path for path in folder.iterdir()} if folder.is_dir() else {}
    tmpfiles = credentials.pop(TMPFILES_CREDENTIAL, None)
    root = _root(site, machine)
    return Launch(
        usr_image=str(_usr_image(site)),
        root=str(root),
        cgroups=tuple(str(path) for path in group.folders),
        veth=command.veth(machine),
        command=command.nspawn(machine, root, credentials.values()),
        tmpfiles=tuple(tmpfiles.read_text().splitlines()) if tmpfiles else (),
    )


def _usr_image(site: Site) -> Path:
    return site.folder / USR_IMAGE


def _root(site: Site, machine: Machine) -> Path:
    return site.machine_folder(machine) / "root"


def _cgroup(site: Site, machine: Machine) -> cgroup.Cgroup:
    name = f"argosy-{site.cluster.id}-{machine.name}"
    return cgroup.machine_cgroup(name, cgroup.host_hierarchies(), scope=cgroup.systemd_runs_host())


def _end(group: cgroup.Cgroup) -> None:
    cgroup.kill(group)
    cgroup.remove(group)

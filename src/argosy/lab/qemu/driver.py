"""The driver `qemu`: what it does with files and processes."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import threading
import time
from pathlib import Path

from argosy.base.errors import ArgosyError
from argosy.base.files import link_or_copy, replacing
from argosy.base.progress import Progress
from argosy.base.run import find_program, run
from argosy.formats.release import DISK_IMAGE, INITRD, KERNEL
from argosy.lab import process, terminal
from argosy.lab.model import Credentials, Firmware, Machine, Site
from argosy.lab.qemu import accelerator, command, control
from argosy.lab.qemu.command import Accelerator, UefiFirmware

DISK_SIZE_BYTES = 10 << 30
_OVMF = Path("/usr/share/OVMF")
_OVMF_CODE = _OVMF / "OVMF_CODE_4M.fd"
_OVMF_VARIABLES = _OVMF / "OVMF_VARS_4M.fd"
_SWITCH = "switch"
_START_TIMEOUT_S = 30.0
_PACKAGES = {"qemu-system-x86_64": "qemu-system-x86", "qemu-img": "qemu-utils"}
_TAIL_BYTES = 2000


class QemuDriver:
    """Machines as virtual machines. `cache` is a folder for what was learnt about the host."""

    def __init__(self, cache: Path, progress: Progress) -> None:
        self._cache = cache
        self._progress = progress
        self._choosing = threading.Lock()

    def check_host(self) -> None:
        missing = [package for program, package in _PACKAGES.items() if not find_program(program)]
        if missing:
            raise ArgosyError(
                "QEMU is not installed",
                hint=f"`argosy setup` installs it; by hand: apt-get install {' '.join(missing)}",
            )

    @property
    def server_host(self) -> str:
        return command.HOST_ADDRESS

    def prepare(self, site: Site, progress: Progress) -> None:
        """Hard links cost nothing, and a release's files are replaced, never written to."""
        folder = _release(site)
        folder.mkdir(exist_ok=True)
        for name in (DISK_IMAGE, KERNEL, INITRD):
            source = Path(site.cluster.release_folder) / name
            link_or_copy(source, folder / name, hint="build the release again: argosy build")
        if site.cluster.firmware is Firmware.UEFI and not _OVMF_CODE.exists():
            raise ArgosyError(
                f"{_OVMF_CODE} is missing: there is no UEFI firmware",
                hint="`argosy setup` installs it; by hand: apt-get install ovmf",
            )

    def network_is_up(self, site: Site) -> bool:
        return bool(process.find_role(site.cluster.id, _SWITCH))

    def start_network(self, site: Site) -> None:
        if not self.network_is_up(site):
            words = [sys.executable, "-m", "argosy.lab.qemu.switch", str(site.runtime)]
            process.spawn(site.cluster.id, _SWITCH, words, log=site.folder / "switch.log")

    def stop_network(self, site: Site) -> None:
        process.end(process.find_role(site.cluster.id, _SWITCH))

    def network_units(self, site: Site, machine: Machine) -> Credentials:
        return command.network_files(machine)

    def create(self, site: Site, machine: Machine) -> None:
        folder = site.machine_folder(machine)
        if site.cluster.firmware is Firmware.UEFI:
            shutil.copyfile(_OVMF_VARIABLES, _variables(site, machine))
        with replacing(command.disk(site, machine)) as file:
            base = os.path.relpath(_release(site) / DISK_IMAGE, folder)
            options = ["-q", "-f", "qcow2", "-F", "raw", "-b", base]
            run(["qemu-img", "create", *options, file, str(DISK_SIZE_BYTES)])

    def created(self, site: Site) -> frozenset[str]:
        machines = site.cluster.machines
        return frozenset(machine.name for machine in machines if command.disk(site, machine).exists())

    def start(self, site: Site, machine: Machine) -> None:
        if machine.name in self.running(site):
            return
        words = command.machine_command(
            site,
            machine,
            self._accelerator(site),
            sorted(site.credentials(machine).iterdir()),
            UefiFirmware(_OVMF_CODE, _variables(site, machine))
            if site.cluster.firmware is Firmware.UEFI
            else None,
        )
        log = _log(site, machine)
        log.unlink(missing_ok=True)
        process.spawn(site.cluster.id, command.role(machine), words, log=log)
        self._wait_for_monitor(site, machine)

    def running(self, site: Site) -> frozenset[str]:
        roles = {found.role for found in process.find(site.cluster.id)}
        machines = site.cluster.machines
        return frozenset(machine.name for machine in machines if command.role(machine) in roles)

    def halt(self, site: Site, machine: Machine) -> None:
        """Press the power button (ACPI)."""
        try:
            control.execute(command.control_socket(site, machine), "system_powerdown")
        except control.ControlError:
            if machine.name in self.running(site):
                raise

    def kill(self, site: Site, machine: Machine) -> None:
        """Without SIGTERM, which QEMU takes as a chance to flush: a power cut gives none."""
        process.end(process.find_role(site.cluster.id, command.role(machine)), grace_s=0)

    def trouble(self, site: Site, machine: Machine) -> str | None:
        try:
            answer = control.execute(command.control_socket(site, machine), "query-status")
        except control.ControlError:
            return None
        if answer.get("status") == "io-error":
            return "it is paused: its disk cannot be written; is the host's file system full?"
        return None if answer.get("running") else f"it is paused ({answer.get('status')})"

    def remove(self, site: Site, machine: Machine) -> None:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(site.machine_folder(machine))

    def clean(self, site: Site, progress: Progress) -> None:
        pass

    @property
    def leave_console(self) -> str:
        return "Ctrl-]"

    def attach_console(self, site: Site, machine: Machine) -> int:
        return terminal.attach(command.console_socket(site, machine))

    def _accelerator(self, site: Site) -> Accelerator:
        """One probe at a time: the others then find its answer."""
        kernel, initrd = (_release(site) / name for name in (KERNEL, INITRD))
        with self._choosing:
            return accelerator.choose(
                site.cluster.id, kernel, initrd, self._cache / "accelerator.json", self._progress
            )

    def _wait_for_monitor(self, site: Site, machine: Machine) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while machine.name in self.running(site):
            with contextlib.suppress(control.ControlError):
                control.execute(command.control_socket(site, machine), "query-status")
                return
            if time.monotonic() > deadline:
                self.kill(site, machine)
                break
            time.sleep(0.1)
        raise _start_error(machine, _log(site, machine).read_text(errors="replace")[-_TAIL_BYTES:].strip())


def _release(site: Site) -> Path:
    return site.folder / "release"


def _variables(site: Site, machine: Machine) -> Path:
    return site.machine_folder(machine) / "uefi-variables.fd"


def _log(site: Site, machine: Machine) -> Path:
    """What QEMU itself has to say, since the machine's last start."""
    return site.machine_folder(machine) / "qemu.log"


def _start_error(machine: Machine, output: str) -> ArgosyError:
    if "host forwarding rule" in output:
        return ArgosyError(
            f"{machine.name} cannot start: another program took its port "
            f"{machine.ssh_port} or {machine.service_port}",
            hint="`argosy up` again gives it others",
        )
    return ArgosyError(f"{machine.name} cannot start: QEMU ended", hint=output or "QEMU said nothing")

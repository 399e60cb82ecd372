"""What a user can do with clusters: the operations behind the commands."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from argosy.base.errors import ArgosyError, InputError
from argosy.base.files import replace_file
from argosy.base.progress import Progress
from argosy.base.run import run
from argosy.formats.cloudconfig import check_user_data
from argosy.lab import ports, server, ssh, status
from argosy.lab.driver import Driver
from argosy.lab.model import Cluster, DriverName, Firmware, Machine, Site
from argosy.lab.parallel import in_parallel
from argosy.lab.perform import USER_DATA, Performer
from argosy.lab.plan import Power, Wanted
from argosy.lab.ready import wait_until_ready
from argosy.lab.status import ClusterStatus, MachineStatus
from argosy.lab.store import Store
from argosy.lab.userdata import DEFAULT

MACHINES_MAX = 100
_MEMORY_MIN_MIB = 256
_CPUS_MAX = 64


@dataclass(frozen=True, slots=True)
class ReleaseChoice:
    """The release that a new cluster gets."""

    version: str
    folder: Path


@dataclass(frozen=True, slots=True)
class UserData:
    """What the user gave as user-data, and where it came from."""

    text: str
    source: str


@dataclass(frozen=True, slots=True)
class Request:
    """What the user said about a cluster; None where nothing was said."""

    name: str
    machines: int | None = None
    driver: DriverName | None = None
    release: str | None = None
    firmware: Firmware | None = None
    memory_mib: int | None = None
    cpus: int | None = None
    user_data: UserData | None = None
    timeout_s: float | None = None


FindRelease = Callable[[str | None], ReleaseChoice]


class Lab:
    """The clusters of one user. `find_release` gives a release by version or folder, or the newest."""

    def __init__(
        self,
        store: Store,
        drivers: Mapping[DriverName, Driver],
        find_release: FindRelease,
        progress: Progress,
    ) -> None:
        self._store = store
        self._drivers = drivers
        self._find_release = find_release
        self._progress = progress

    def site(self, name: str) -> Site:
        """The cluster of that name; raises `InputError` if there is none."""
        return self._store.existing(name)

    def machine(self, name: str, machine_name: str) -> tuple[Site, Machine]:
        """A cluster and one of its machines; raises `InputError` if there is no such machine."""
        site = self.site(name)
        machine = site.machine(machine_name)
        if machine is None:
            names = ", ".join(machine.name for machine in site.cluster.machines)
            raise InputError(f"cluster {name!r} has no machine {machine_name!r}", hint=f"it has {names}")
        return site, machine

    def driver(self, site: Site) -> Driver:
        return self._drivers[site.cluster.driver]

    def up(self, request: Request) -> ClusterStatus:
        """Make the cluster if it is missing, power on what is off, and wait until all is well."""
        check(request)
        with self._store.locked(request.name):
            site = self._store.site(request.name)
            if site is None:
                site = self._make(request)
            else:
                check_unchanged(request, site.cluster)
                self.driver(site).check_host()
                if request.user_data:
                    replace_file(site.folder / USER_DATA, request.user_data.text.encode(), mode=0o600)
                site = self._with_free_ports(site)
            lines = self._power_on(site, site.cluster.machines, request.timeout_s)
            return status.summary(site, [(line, True) for line in lines])

    def start(self, name: str, machine_name: str) -> MachineStatus:
        """Power on one machine and wait for it."""
        with self._store.locked(name):
            site, machine = self.machine(name, machine_name)
            self.driver(site).check_host()
            [line] = self._power_on(site, (machine,), None)
            return line

    def kill(self, name: str, machine_name: str) -> None:
        """Cut one machine's power."""
        with self._store.locked(name):
            site, machine = self.machine(name, machine_name)
            with self._progress.step(f"cut the power of {machine.name}"):
                self.driver(site).kill(site, machine)
                ssh.close(site, machine)

    def halt(self, name: str) -> None:
        """Shut down all machines cleanly; disks stay."""
        with self._store.locked(name):
            site = self.site(name)
            power = {machine.name: Power.OFF for machine in site.cluster.machines}
            self._performer(site).reach(Wanted(True, power))

    def destroy(self, name: str) -> bool:
        """Remove a cluster and all that belongs to it; False if there was nothing."""
        with self._store.locked(name):
            site = self._store.site(name)
            if site is None:
                return self._store.remove_leftovers(name)
            self._performer(site).reach(Wanted(False))
            return True

    def status(self, name: str) -> ClusterStatus:
        """How the cluster is now."""
        site = self.site(name)
        self._store.make_runtime(site)
        return status.look(site, self.driver(site))

    def load(self, name: str, archive: Path) -> None:
        """Load a container image into every machine."""
        if not archive.is_file():
            raise InputError(f"{archive} is not a file", hint="give an OCI archive, a tar file")
        site = self.site(name)
        running = self.driver(site).running(site)
        off = [machine.name for machine in site.cluster.machines if machine.name not in running]
        if off:
            raise ArgosyError(f"{', '.join(off)} is off", hint="`argosy up` powers on what is off")

        def load(machine: Machine) -> None:
            with self._progress.step(f"load {archive.name} into {machine.name}"):
                words = ssh.command(site, machine, ["sudo podman load --quiet"])
                run(words, stdin=archive, env=ssh.environment(site, machine))

        in_parallel(load, site.cluster.machines)

    def _power_on(
        self, site: Site, machines: tuple[Machine, ...], timeout_s: float | None
    ) -> list[MachineStatus]:
        self._performer(site).reach(Wanted(True, {machine.name: Power.ON for machine in machines}))
        try:
            return wait_until_ready(
                site,
                self.driver(site),
                machines,
                self._progress,
                timeout_s=timeout_s or boot_timeout_s(site.cluster, os.cpu_count() or 1),
            )
        except BaseException:
            # On an error or Ctrl-C others may be waiting still, inside machines.
            in_parallel(lambda machine: ssh.close(site, machine), machines)
            raise

    def _performer(self, site: Site) -> Performer:
        return Performer(
            self._store,
            site,
            self.driver(site),
            self._progress,
            halt_timeout_s=boot_timeout_s(site.cluster, os.cpu_count() or 1) / 3,
        )

    def _make(self, request: Request) -> Site:
        """Decide everything about a new cluster, and write it down."""
        driver = request.driver or DriverName.QEMU
        self._drivers[driver].check_host()
        release = self._find_release(request.release)
        self._store.remove_leftovers(request.name)
        with self._store.choosing_ports() as taken:
            cluster = decide(request, driver, release, secrets.token_hex(4), taken)
            text = request.user_data.text if request.user_data else DEFAULT
            return self._store.save(cluster, {USER_DATA: text.encode()})

    def _with_free_ports(self, site: Site) -> Site:
        """Give a cluster of which nothing runs other ports where its own were taken meanwhile."""
        driver = self.driver(site)
        if driver.network_is_up(site) or driver.running(site) or server.is_up(site):
            return site
        server.stop(site)
        with self._store.choosing_ports() as taken:
            cluster = move_ports(site.cluster, taken)
            return site if cluster == site.cluster else self._store.save(cluster)


def check(request: Request) -> None:
    """Raise `InputError` if what the user said cannot be."""
    _check_range("-n", request.machines, 1, MACHINES_MAX)
    _check_range("--memory", request.memory_mib, _MEMORY_MIN_MIB, 1 << 20)
    _check_range("--cpus", request.cpus, 1, _CPUS_MAX)
    if request.driver is DriverName.NSPAWN:
        _check_container(request)
    if request.user_data:
        check_user_data(request.user_data.text, request.user_data.source).raise_errors()


def _check_container(request: Request) -> None:
    """Containers share the host's processors and memory, and have no firmware."""
    virtual = {"--memory": request.memory_mib, "--cpus": request.cpus, "--firmware": request.firmware}
    for option, value in virtual.items():
        if value is not None:
            raise InputError(
                f"{option} means nothing for the driver nspawn, whose machines share the host",
                hint="leave it out, or use --driver qemu",
            )


def check_unchanged(request: Request, cluster: Cluster) -> None:
    """Raise `InputError` if the user asked for another cluster than the one that exists by that name."""
    has: dict[str, tuple[object, object]] = {
        "machines": (request.machines, len(cluster.machines)),
        "driver": (request.driver, cluster.driver),
        "firmware": (request.firmware, cluster.firmware),
        "memory (MiB)": (request.memory_mib, cluster.memory_mib),
        "cpus": (request.cpus, cluster.cpus),
    }
    if request.release not in (None, cluster.release):
        same_folder = Path(request.release or "").resolve() == Path(cluster.release_folder)
        has["release"] = (cluster.release if same_folder else request.release, cluster.release)
    for what, (wanted, found) in has.items():
        if wanted is not None and wanted != found:
            raise InputError(
                f"cluster {cluster.name!r} exists with {what} {found}, not {wanted}",
                hint="take another --name, or `argosy destroy` it first",
            )


def decide(
    request: Request,
    driver: DriverName,
    release: ReleaseChoice,
    cluster_id: str,
    taken: Iterable[int],
) -> Cluster:
    """A new cluster with free ports that are not in `taken`."""
    count = request.machines or 3
    used = frozenset(taken)
    skip = int(cluster_id, 16)
    ssh_ports = ports.choose(count, start=ports.SSH_FROM, taken=used, skip=skip)
    service_ports = ports.choose(count, start=ports.SERVICE_FROM, taken=used, skip=skip)
    [server_port] = ports.choose(1, start=ports.SERVER_FROM, taken=used, skip=skip)
    machines = tuple(
        Machine(
            index=index,
            name=f"core-{index:02d}",
            private_ip=f"172.17.8.{100 + index}",
            ssh_port=ssh_ports[index - 1],
            service_port=service_ports[index - 1],
        )
        for index in range(1, count + 1)
    )
    return Cluster(
        id=cluster_id,
        name=request.name,
        driver=driver,
        release=release.version,
        release_folder=str(release.folder.resolve()),
        firmware=request.firmware or Firmware.BIOS,
        memory_mib=request.memory_mib or 1024,
        cpus=request.cpus or 1,
        server_port=server_port,
        machines=machines,
    )


def move_ports(cluster: Cluster, taken: Iterable[int]) -> Cluster:
    """The same cluster, with other ports in place of those on which someone else listens now."""
    used = {*taken, cluster.server_port}
    for machine in cluster.machines:
        used |= {machine.ssh_port, machine.service_port}

    def keep_or_move(port: int, start: int) -> int:
        if ports.is_free(port):
            return port
        [other] = ports.choose(1, start=start, taken=used, skip=int(cluster.id, 16))
        used.add(other)
        return other

    machines = tuple(
        replace(
            machine,
            ssh_port=keep_or_move(machine.ssh_port, ports.SSH_FROM),
            service_port=keep_or_move(machine.service_port, ports.SERVICE_FROM),
        )
        for machine in cluster.machines
    )
    return replace(
        cluster, machines=machines, server_port=keep_or_move(cluster.server_port, ports.SERVER_FROM)
    )


def boot_timeout_s(cluster: Cluster, host_cores: int) -> float:
    """How long all machines together may take to boot and join; generous, for hosts that emulate."""
    if cluster.driver is DriverName.NSPAWN:
        return 120.0 + 10 * len(cluster.machines)
    return 300.0 + 240.0 * max(1.0, len(cluster.machines) * cluster.cpus / host_cores)


def _check_range(flag: str, value: int | None, low: int, high: int) -> None:
    if value is not None and not low <= value <= high:
        raise InputError(f"{flag} {value}: must be {low} to {high}")

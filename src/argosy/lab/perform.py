"""Observing one cluster, and doing what the plan says, stage by stage."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable

from argosy.base.errors import ArgosyError
from argosy.base.files import replace_file
from argosy.base.progress import Progress
from argosy.formats.metadata import CREDENTIAL, USER_DATA_CREDENTIAL, Metadata, format_metadata
from argosy.lab import process, server, ssh
from argosy.lab.driver import Driver
from argosy.lab.model import Machine, Site
from argosy.lab.parallel import in_parallel
from argosy.lab.plan import Action, Observed, Verb, Wanted, plan, stages
from argosy.lab.store import Store
from argosy.lab.userdata import with_discovery, with_update_server

USER_DATA = "user-data"
_PREPARED = "prepared"
_PRESS_AGAIN_S = 20.0
_LOOK_EVERY_S = 0.3
_SPACE_PER_MACHINE_BYTES = 700 << 20
_STRAYS_TRIES = 10


class Performer:
    """One cluster with all it takes to change it. `halt_timeout_s` is how long a shut-down may take."""

    def __init__(
        self, store: Store, site: Site, driver: Driver, progress: Progress, *, halt_timeout_s: float
    ) -> None:
        self._store = store
        self._site = site
        self._driver = driver
        self._progress = progress
        self._halt_timeout_s = halt_timeout_s
        self._on_cluster: dict[Verb, Callable[[], None]] = {
            Verb.PREPARE: self._prepare,
            Verb.START_SERVER: lambda: server.start(site, driver.server_host),
            Verb.TAKE_TOKEN: lambda: server.take_token(site),
            Verb.START_NETWORK: lambda: driver.start_network(site),
            Verb.STOP_NETWORK: lambda: driver.stop_network(site),
            Verb.STOP_SERVER: lambda: server.stop(site),
            Verb.END_STRAYS: self._end_strays,
            Verb.REMOVE_CLUSTER: self._remove_cluster,
        }
        self._on_machine: dict[Verb, Callable[[Machine], None]] = {
            Verb.CREATE: self._create,
            Verb.POWER_ON: self._power_on,
            Verb.SHUT_DOWN: self._shut_down,
            Verb.CUT_POWER: self._cut_power,
            Verb.REMOVE_MACHINE: lambda machine: driver.remove(site, machine),
        }

    def reach(self, wanted: Wanted) -> None:
        """Observe, plan, perform."""
        self._store.make_runtime(self._site)
        for stage in stages(plan(wanted, self.observe())):
            self._perform(stage)

    def observe(self) -> Observed:
        site = self._site
        return Observed(
            machines=tuple(machine.name for machine in site.cluster.machines),
            prepared=(site.folder / _PREPARED).exists(),
            token=server.has_token(site),
            server=server.is_up(site),
            network=self._driver.network_is_up(site),
            created=self._driver.created(site),
            running=self._driver.running(site),
        )

    def _perform(self, stage: list[Action]) -> None:
        verb = stage[0].verb
        with self._progress.step(verb.value, total=len(stage) if len(stage) > 1 else None) as step:
            if verb in self._on_cluster:
                self._on_cluster[verb]()
                return

            def on_machine(action: Action) -> None:
                machine = self._site.machine(action.machine)
                assert machine is not None
                self._on_machine[verb](machine)
                step.advance(1)

            in_parallel(on_machine, stage)

    def _prepare(self) -> None:
        site = self._site
        needed = _SPACE_PER_MACHINE_BYTES * len(site.cluster.machines)
        free = shutil.disk_usage(site.folder).free
        if free < needed:
            raise ArgosyError(
                f"{site.folder} has {free >> 20} MiB left; this cluster needs about {needed >> 20} MiB",
                hint="make room, or set XDG_STATE_HOME to a folder on a larger file system",
            )
        ssh.make_key(site)
        self._driver.prepare(site, self._progress)
        replace_file(site.folder / _PREPARED, b"")

    def _create(self, machine: Machine) -> None:
        self._site.machine_folder(machine).mkdir(parents=True, exist_ok=True)
        self._driver.create(self._site, machine)

    def _power_on(self, machine: Machine) -> None:
        """Credentials are written at every start: the server's address may have changed since the last."""
        site = self._site
        host = self._driver.server_host
        text = with_discovery((site.folder / USER_DATA).read_text(), server.discovery_url(site, host))
        text = with_update_server(text, server.update_url(site, host))
        metadata = Metadata(
            hostname=machine.name,
            private_ipv4=machine.private_ip,
            public_ipv4=machine.private_ip,
            ssh_authorized_keys=(ssh.public_key(site),),
        )
        credentials = {
            CREDENTIAL: format_metadata(metadata),
            USER_DATA_CREDENTIAL: text.encode(),
            **self._driver.network_units(site, machine),
            **ssh.lenience(host),
        }
        folder = site.credentials(machine)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        for name, content in credentials.items():
            replace_file(folder / name, content, mode=0o600)
        self._driver.start(site, machine)

    def _shut_down(self, machine: Machine) -> None:
        """Ask, ask again (a machine that is still booting does not hear it), and in the end do not ask."""
        started = time.monotonic()
        asked = 0
        while machine.name in self._driver.running(self._site):
            waited_s = time.monotonic() - started
            if waited_s > self._halt_timeout_s:
                with self._progress.step(f"{machine.name} does not shut down: cutting its power"):
                    self._driver.kill(self._site, machine)
                break
            if waited_s >= asked * _PRESS_AGAIN_S:
                asked += 1
                self._driver.halt(self._site, machine)
            time.sleep(_LOOK_EVERY_S)
        ssh.close(self._site, machine)

    def _cut_power(self, machine: Machine) -> None:
        self._driver.kill(self._site, machine)
        ssh.close(self._site, machine)

    def _end_strays(self) -> None:
        """Open connections, and whatever else has the mark; again, because it may be starting more."""
        in_parallel(lambda machine: ssh.close(self._site, machine), self._site.cluster.machines)
        for _ in range(_STRAYS_TRIES):
            found = process.find(self._site.cluster.id)
            if not found:
                return
            process.end(found)
        pids = ", ".join(str(stray.pid) for stray in process.find(self._site.cluster.id))
        raise ArgosyError(f"processes of the cluster do not end: {pids}", hint="end them, then try again")

    def _remove_cluster(self) -> None:
        self._driver.clean(self._site, self._progress)
        self._store.remove(self._site)

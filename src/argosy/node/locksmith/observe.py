"""What locksmithd sees before it decides: this machine, the locks, and the cluster as far as it matters."""

from __future__ import annotations

import logging
from dataclasses import replace

from argosy.base.errors import ArgosyError
from argosy.base.etcd import Etcd, UnavailableError
from argosy.node.locksmith import cluster
from argosy.node.locksmith.edges import Edges
from argosy.node.locksmith.lock import Store
from argosy.node.locksmith.memory import after_look
from argosy.node.locksmith.model import Access, Back, Cluster, Locks, Observed, Settings, Strategy

log = logging.getLogger(__name__)

_ASKED = "a person asked for it"


class Observer:
    """Looks anew each time; only the connection to etcd is kept."""

    def __init__(self, edges: Edges) -> None:
        self._edges = edges
        self._access: Access | None = None
        self._etcd: Etcd | None = None

    @property
    def store(self) -> Store:
        """The semaphores, as they were last reached."""
        assert self._etcd is not None
        return Store(self._etcd)

    def close(self) -> None:
        """Close the connections."""
        if self._etcd is not None:
            self._etcd.close()

    async def look(self) -> Observed:
        """All that the next decision rests on. Raises `ArgosyError`."""
        edges = self._edges
        settings, problem = self._settings()
        member, fleet = await edges.host.unit_states()
        locks, etcd_problem = await self._locks(settings)
        memory = edges.runtime.memory()
        wanted = await edges.host.wanted() or (_ASKED if memory.asked else "")
        held = bool(locks and locks.held_by(edges.identity.machine_id))
        view = Cluster()
        if settings is not None and locks is not None and (wanted or held):
            view = await self._cluster(settings.access, fleet)
        back = await self._back(member, fleet, view) if held else Back()
        going_down = await edges.host.going_down()
        # The clocks come last: what is decided by them is true when it is done.
        seen = Observed(
            now=edges.now(),
            up_s=edges.up_s(),
            machine_id=edges.identity.machine_id,
            boot_id=edges.identity.boot_id,
            settings=settings,
            settings_problem=problem,
            wanted=wanted,
            going_down=going_down,
            locks=locks,
            etcd_problem=etcd_problem,
            cluster=view,
            member=member,
            back=back,
            users=edges.users(),
            postponed_until_s=edges.runtime.postponed_until_s(),
            memory=memory,
        )
        return self._remembered(seen)

    def _settings(self) -> tuple[Settings | None, str]:
        try:
            return self._edges.read_settings(), ""
        except ArgosyError as error:
            return None, str(error)

    async def _locks(self, settings: Settings | None) -> tuple[Locks | None, str]:
        """The semaphores; None if etcd is away. One that refuses us is not away: who needs it stops."""
        if settings is None:
            return None, ""
        if self._etcd is None or settings.access != self._access:
            self.close()
            self._etcd, self._access = self._edges.connect(settings.access), settings.access
        try:
            return await Store(self._etcd).read(), ""
        except UnavailableError as error:
            return None, str(error)
        except ArgosyError as error:
            if settings.strategy in (Strategy.ETCD_LOCK, Strategy.BEST_EFFORT):
                raise
            return None, str(error)

    def _remembered(self, seen: Observed) -> Observed:
        """Keeps since when it has been as it is."""
        after = after_look(seen)
        if after == seen.memory:
            return seen
        # Read again: a person may have asked meanwhile.
        runtime = self._edges.runtime
        runtime.remember(replace(after, asked=runtime.memory().asked))
        return replace(seen, memory=after)

    async def _cluster(self, access: Access, fleet: str) -> Cluster:
        assert self._etcd is not None
        view = await cluster.look(self._etcd, access, int(self._edges.now().timestamp()))
        try:
            machines = await self._edges.fleet.machines() if fleet != "inactive" else frozenset()
        except ArgosyError as error:
            log.debug("fleet does not say which machines there are: %s", error)
            machines = frozenset()
        return replace(view, machines=machines)

    async def _back(self, member: str, fleet: str, view: Cluster) -> Back:
        in_trial, problem = False, ""
        try:
            in_trial = self._edges.in_trial()
        except (ArgosyError, OSError) as error:
            problem = str(error)
        if fleet == "inactive":
            return Back(in_trial, problem, member)
        try:
            idle = await self._edges.fleet.idle_units()
        except ArgosyError:
            return Back(in_trial, problem, member, "unregistered")
        here = self._edges.identity.machine_id in view.machines
        return Back(in_trial, problem, member, "registered" if here else "unregistered", idle)

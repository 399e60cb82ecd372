"""What the update service can tell, of itself and of its machines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from anyio.to_thread import run_sync

from argosy.formats import updateapi as api
from argosy.formats.payload import APPLICATION_ID
from argosy.server.database import Database
from argosy.server.update import views
from argosy.server.update.catalogue import Application, Going
from argosy.server.update.model import Channel, ConflictError, Group, Limits, NotFoundError, Package
from argosy.server.update.ordering import order
from argosy.server.update.packages import PackageFolder
from argosy.server.update.rollout import Population, as_seen, rollout
from argosy.server.update.writer import Writer


class Knowledge:
    """All is in memory but machines and events. `app` is Argosy's own application unless given.

    Names that are not there raise `NotFoundError`.
    """

    def __init__(
        self,
        database: Database,
        writer: Writer,
        folder: PackageFolder,
        applications: dict[str, Application],
        limits: Limits,
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._writer = writer
        self._folder = folder
        self._known = applications
        self._limits = limits
        self._clock = clock

    def applications(self) -> tuple[str, ...]:
        """The applications' ids."""
        return tuple(sorted(self._known))

    def packages(self, app: str = APPLICATION_ID) -> tuple[api.Package, ...]:
        """All packages, newest version first."""
        packages = self._app(app).packages.values()
        return tuple(map(views.package, sorted(packages, key=lambda each: order(each.version), reverse=True)))

    def package_file(self, sha256: str) -> tuple[Package, Path] | None:
        """A package of any application, and where its payload is; None if there is none of this hash."""
        for app in self._known.values():
            if sha256 in app.packages:
                return app.packages[sha256], self._folder.path(sha256)
        return None

    def channels(self, app: str = APPLICATION_ID) -> tuple[api.Channel, ...]:
        """All channels, by their names."""
        return tuple(self.channel(name, app) for name in sorted(self._app(app).channels))

    def channel(self, name: str, app: str = APPLICATION_ID) -> api.Channel:
        known = self._app(app)
        return views.channel(self._channel(known, name), known.turns.get(name, []))

    async def groups(self, app: str = APPLICATION_ID) -> tuple[api.Group, ...]:
        """All groups, by their names."""
        return self._with_counts(app, await self._count_states(app))

    async def group(self, name: str, app: str = APPLICATION_ID) -> api.Group:
        self._group(self._app(app), name)
        counts = await self._count_states(app)
        return views.group(self._group(self._app(app), name), counts.get(name, {}))

    async def machines(
        self,
        app: str = APPLICATION_ID,
        *,
        group: str | None = None,
        state: api.State | None = None,
        after: str = "",
        limit: int = 1000,
    ) -> tuple[api.Machine, ...]:
        """Machines by their id; `after` is the last id of the page before."""
        known = self._app(app)
        await self._writer.write()
        rows = await run_sync(
            lambda: views.list_machines(self._database, app, group, state, after, limit, urgent=False)
        )
        return tuple(self._shown(known, row) for row in rows)

    async def machine(self, machine: str, app: str = APPLICATION_ID) -> api.Machine:
        """A machine by its id, or by the beginning of it if that is unique, or by its alias."""
        known = self._app(app)
        await self._writer.write()
        rows = await run_sync(lambda: views.find_machines(self._database, app, machine))
        if not rows:
            raise NotFoundError(f"there is no machine {machine!r}")
        if len(rows) > 1:
            raise ConflictError(f"several machines are called {machine!r}", hint="give more of its id")
        return self._shown(known, rows[0])

    async def rollout(self, group: str, app: str = APPLICATION_ID, *, machines: int = 200) -> api.Rollout:
        """How a group gets on with its channel's version; machines that need a look come first."""
        known = self._app(app)
        self._group(known, group)
        await self._writer.write()
        present = await run_sync(self._count_present, app)
        rows = await run_sync(
            lambda: views.list_machines(self._database, app, group, None, "", machines, urgent=True)
        )
        found = self._rollout(known, self._group(known, group), present)
        return replace(found, machines=tuple(self._shown(known, row) for row in rows))

    async def machines_total(self, app: str = APPLICATION_ID) -> int:
        """How many machines the application has."""
        return sum(sum(states.values()) for states in (await self._count_states(app)).values())

    async def rollouts(self, app: str = APPLICATION_ID) -> tuple[api.Rollout, ...]:
        """How every group gets on, without the machines."""
        known = self._app(app)
        present = await run_sync(self._count_present, app)
        return tuple(self._rollout(known, known.groups[name], present) for name in sorted(known.groups))

    async def events(
        self, app: str = APPLICATION_ID, *, machine: str | None = None, limit: int = 100
    ) -> tuple[api.Event, ...]:
        """The newest first: what machines and operators did."""
        self._app(app)
        return await run_sync(lambda: views.list_events(self._database, app, machine, limit))

    async def overview(
        self, app: str = APPLICATION_ID, *, machines: int = 200, events: int = 50
    ) -> api.Overview:
        """All of it at once; machines that need a look come first."""
        known = self._app(app)
        counts = await self._count_states(app)  # All is written by now.
        rows = await run_sync(
            lambda: views.list_machines(self._database, app, None, None, "", machines, urgent=True)
        )
        return api.Overview(
            now=datetime.fromtimestamp(self._clock(), UTC),
            channels=self.channels(app),
            groups=self._with_counts(app, counts),
            machines=tuple(self._shown(known, row) for row in rows),
            machines_total=sum(sum(states.values()) for states in counts.values()),
            events=await self.events(app, limit=events),
            rollouts=await self.rollouts(app),
        )

    async def counts(self) -> dict[tuple[str, str, str, api.State], int]:
        """How many machines there are by (application, group, version, state): for metrics."""
        await self._writer.write()
        return await run_sync(lambda: views.count_machines(self._database))

    def _shown(self, known: Application, row: Any) -> api.Machine:
        """A row of the machines, as it is to be understood now."""
        machine = views.machine(row, known.failures.get(row.id, {}))
        group = known.groups.get(row.group)
        if group is None:
            return machine
        turns = known.turns.get(group.channel.name)
        given_s = turns[-1].at_s if turns else 0.0
        return as_seen(machine, group, known.grants.get(row.id), given_s, self._clock())

    def _rollout(self, known: Application, group: Group, present: Mapping[str, Population]) -> api.Rollout:
        population = present.get(group.name, {})
        activity = known.going.get(group.name, Going()).activity(sum(population.values()))
        return rollout(group, activity, population, self._clock())

    def _count_present(self, app: str) -> Mapping[str, Population]:
        return views.count_present(self._database, app, self._clock() - self._limits.present_for_s)

    def _app(self, app: str) -> Application:
        known = self._known.get(app)
        if known is None:
            raise NotFoundError(f"there is no application {app!r}", hint=f"there is {', '.join(self._known)}")
        return known

    def _channel(self, known: Application, name: str) -> Channel:
        channel = known.channels.get(name)
        if channel is None:
            raise NotFoundError(
                f"there is no channel {name!r}", hint=f"there is {', '.join(sorted(known.channels))}"
            )
        return channel

    def _group(self, known: Application, name: str) -> Group:
        group = known.groups.get(name)
        if group is None:
            raise NotFoundError(
                f"there is no group {name!r}", hint=f"there is {', '.join(sorted(known.groups))}"
            )
        return group

    def _with_counts(self, app: str, counts: dict[str, dict[str, int]]) -> tuple[api.Group, ...]:
        groups = self._app(app).groups
        return tuple(views.group(groups[name], counts.get(name, {})) for name in sorted(groups))

    async def _count_states(self, app: str) -> dict[str, dict[str, int]]:
        """How many machines there are, by group and state."""
        counts: dict[str, dict[str, int]] = {}
        for (its_app, group, _, state), number in (await self.counts()).items():
            if its_app == app:
                states = counts.setdefault(group, {})
                states[state.value] = states.get(state.value, 0) + number
        return counts

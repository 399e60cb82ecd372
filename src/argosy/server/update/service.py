"""The update service's functions, for its addresses: the Omaha protocol, the REST interface and the page.

What an operator changes is durable when the method returns. Names that are not there raise `NotFoundError`,
changes that do not fit `ConflictError`, values that are wrong `InputError`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from anyio.to_thread import run_sync
from msgspec import UNSET

from argosy.base.errors import InputError
from argosy.formats import updateapi as api
from argosy.formats.payload import APPLICATION_ID
from argosy.formats.release import CHANNELS
from argosy.server.database import Database
from argosy.server.update import changes, check, store, views
from argosy.server.update.catalogue import PROMOTE, PUBLISH, ROLLBACK, Application
from argosy.server.update.desk import Desk
from argosy.server.update.knowledge import Knowledge
from argosy.server.update.model import (
    Channel,
    ConflictError,
    FullError,
    Group,
    Limits,
    NotFoundError,
    Package,
    Turn,
)
from argosy.server.update.packages import Incoming, PackageFolder
from argosy.server.update.policy import stopped_words
from argosy.server.update.store import Change, Happening
from argosy.server.update.waves import overdue
from argosy.server.update.writer import Writer

_OUR_PAYLOAD = "update.payload"
_LONGEST_ALIAS = 128


@dataclass(frozen=True, slots=True)
class Place:
    """Where payloads are kept, and the folder of the public keys that those of ours are checked with."""

    packages: Path
    keys: Path


class UpdateService(Knowledge):
    """One application's machines see nothing of another's; `app` is Argosy's own unless given.

    It belongs to the event loop in which it was opened (`open_service`).
    """

    def __init__(
        self,
        database: Database,
        writer: Writer,
        place: Place,
        applications: dict[str, Application],
        limits: Limits,
        clock: Callable[[], float],
    ) -> None:
        folder = PackageFolder(place.packages, limits.payload_bytes)
        super().__init__(database, writer, folder, applications, limits, clock)
        self._keys = place.keys
        self._changing = asyncio.Lock()
        self.desk = Desk(applications, writer, limits, clock)

    async def upload(self, chunks: AsyncIterator[bytes], *, length: int | None = None) -> api.Package:
        """Keep a payload of ours. Its signature and hashes are checked first: raises `PayloadError`.

        The same payload may come twice; another payload of the same version is a `ConflictError`.
        """
        async with self._folder.receive(chunks, length) as incoming:
            trusted = await run_sync(check.trusted_keys, self._keys)
            manifest = await run_sync(check.check_ours, incoming.path, trusted)
            package = Package(
                app=manifest.application,
                version=manifest.version,
                sha256=incoming.sha256,
                sha1=incoming.sha1,
                size_bytes=incoming.size_bytes,
                name=_OUR_PAYLOAD,
                published_s=self._clock(),
                kernel=manifest.kernel,
                floor=manifest.floor,
                keys=tuple(api.Key(key.id, key.name, key.development) for key in manifest.keys),
            )
            return await self._keep(package, incoming)

    async def upload_stock(
        self, chunks: AsyncIterator[bytes], *, app: str, version: str, name: str = "update.gz", arch: str = ""
    ) -> api.Package:
        """Keep a payload of CoreOS or Flatcar for application `app`, which is made if it is new.

        Only its form is checked: its signature is for its machines, which have the key.
        """
        changes.check_stock_names(app, version, name)
        async with self._folder.receive(chunks, None) as incoming:
            await run_sync(check.check_stock, incoming.path)
            package = Package(
                app=app,
                version=version,
                sha256=incoming.sha256,
                sha1=incoming.sha1,
                size_bytes=incoming.size_bytes,
                name=name,
                published_s=self._clock(),
                ours=False,
                arch=arch,
            )
            return await self._keep(package, incoming)

    async def publish(self, channel: str, sha256: str, app: str = APPLICATION_ID) -> api.Channel:
        """Give a channel a package. A version older than the channel's, or below its floor, is a conflict."""
        async with self._changing:
            known = self._app(app)
            package = known.packages.get(sha256)
            if package is None:
                raise NotFoundError(f"there is no package {sha256}", hint="upload its payload first")
            return await self._turn(known, self._channel(known, channel), package, PUBLISH)

    async def promote(self, source: str, target: str, app: str = APPLICATION_ID) -> api.Channel:
        """Give the channel `target` what `source` has."""
        async with self._changing:
            known = self._app(app)
            package = self._channel(known, source).package
            if package is None:
                raise ConflictError(f"the channel {source} has nothing to promote")
            return await self._turn(known, self._channel(known, target), package, PROMOTE)

    async def rollback(
        self, channel: str, version: str | None = None, app: str = APPLICATION_ID
    ) -> api.Channel:
        """Give a channel the package that it had before, or an older one; its machines go back to it."""
        async with self._changing:
            known = self._app(app)
            now = self._channel(known, channel)
            package = changes.earlier(known, now, version)
            return await self._turn(known, now, package, ROLLBACK)

    async def change_channel(
        self, name: str, change: api.ChannelChange, app: str = APPLICATION_ID
    ) -> api.Channel:
        """Change a channel; make it if it is new."""
        async with self._changing:
            known = self._app(app)
            if name not in known.channels and len(known.channels) >= self._limits.channels:
                raise FullError(f"there are {len(known.channels)} channels already")
            before = known.channels.get(name) or Channel(app, name)
            channel = changes.changed_channel(known, before, change)
            if channel == known.channels.get(name):
                return self.channel(name, app)
            told = self._told(app, changes.channel_words(known.channels.get(name), channel))
            await self._writer.write(lambda connection: store.put_channel(connection, channel), told)
            known.put_channel(channel)
            return self.channel(name, app)

    async def change_group(self, name: str, change: api.GroupChange, app: str = APPLICATION_ID) -> api.Group:
        """Change a group (pause: `updates_enabled`); make it if it is new, then `channel` is needed."""
        async with self._changing:
            known = self._app(app)
            if name not in known.groups and len(known.groups) >= self._limits.groups:
                raise FullError(f"there are {len(known.groups)} groups already")
            before = known.groups.get(name)
            group = self._changed_group(known, name, change)
            if change.retry is not UNSET:
                await self._retry(known, group, change.retry)
            if change.abort is not UNSET:
                await self._abort(known, group, change.abort)
            if before is None or (before.channel.name, before.policy) != (group.channel.name, group.policy):
                told = self._told(app, changes.group_words(before, group), group=name)
                await self._writer.write(lambda connection: store.put_group(connection, group), told)
                now = known.groups.get(name, group)  # Machines may have proved or stopped versions meanwhile.
                known.put_group(replace(now, channel=known.channels[group.channel.name], policy=group.policy))
        return await self.group(name, app)

    async def name_machine(self, machine: str, alias: str, app: str = APPLICATION_ID) -> api.Machine:
        """Give a machine a name that people know it by; an empty one takes it away."""
        if len(alias) > _LONGEST_ALIAS or not (alias.isprintable() or not alias):
            raise InputError(f"a name has at most {_LONGEST_ALIAS} printable characters")
        found = await self.machine(machine, app)
        await self._writer.write(lambda connection: store.name_machine(connection, app, found.id, alias))
        return await self.machine(found.id, app)

    async def _keep(self, package: Package, incoming: Incoming) -> api.Package:
        async with self._changing:
            found = self.package_file(package.sha256)
            if found and found[0].app == package.app:
                if not found[1].exists():  # Somebody removed it; here it is again.
                    await run_sync(self._folder.keep, incoming)
                return views.package(found[0])
            if found:
                raise ConflictError(f"application {found[0].app} has this very payload")
            await self._ensure_application(package.app)
            known = self._app(package.app)
            for other in known.packages.values():
                if (other.version, other.arch) == (package.version, package.arch):
                    raise ConflictError(
                        f"there is another payload of version {package.version} already",
                        hint="a version is one set of bytes: build this one with a version of its own",
                    )
            await run_sync(self._folder.keep, incoming)
            await self._writer.write(lambda connection: store.add_package(connection, package))
            known.packages[package.sha256] = package
            return views.package(package)

    async def _ensure_application(self, app: str) -> None:
        if app in self._known:
            return
        known = Application(app)
        for name in CHANNELS:
            known.put_channel(Channel(app, name))
            known.put_group(Group(app, name, known.channels[name], api.CAREFUL))
        await self._writer.write(
            lambda connection: store.add_application(connection, app),
            *(_putting_channel(channel) for channel in known.channels.values()),
            *(_putting_group(group) for group in known.groups.values()),
        )
        self._known[app] = known

    async def _turn(self, known: Application, channel: Channel, package: Package, action: str) -> api.Channel:
        """Let a channel take a package, unless it has it."""
        if channel.package and channel.package.sha256 == package.sha256:
            return self.channel(channel.name, known.id)
        changes.check_turn(channel, package, action)
        turn = Turn(self._clock(), package.sha256, package.version, action)
        text = f"{channel.name} has {package.version} now ({action})"
        await self._writer.write(
            lambda connection: store.add_turn(connection, channel, turn),
            self._told(known.id, text, version=package.version),
        )
        known.take_turn(channel.name, turn)
        return self.channel(channel.name, known.id)

    def _changed_group(self, known: Application, name: str, change: api.GroupChange) -> Group:
        before = known.groups.get(name)
        if before is None and change.channel is UNSET:
            raise InputError(
                f"there is no group {name!r}", hint="to make it, give the channel that it follows"
            )
        channel = self._channel(known, change.channel) if change.channel is not UNSET else None
        fields = [field for field in api.Policy.__slots__ if getattr(change, field) is not UNSET]
        policy = replace(before.policy if before else api.CAREFUL, **{f: getattr(change, f) for f in fields})
        changes.check_policy(policy)
        if before is None:
            assert channel is not None
            return Group(known.id, name, channel, policy)
        return replace(before, channel=channel or before.channel, policy=policy)

    async def _abort(self, known: Application, group: Group, version: str) -> None:
        """Withdraw a version; a reason why it was stopped before stays."""
        if all(package.version != version for package in known.packages.values()):
            raise NotFoundError(f"there is no package of version {version}")
        if version in group.stopped:
            return
        stop = api.Stop(
            version, datetime.fromtimestamp(self._clock(), UTC), "", "a person aborted its rollout"
        )
        await self._writer.write(
            lambda connection: store.put_stop(connection, group, stop),
            self._told(known.id, stopped_words(group, stop), group=group.name, version=version),
        )
        known.stop(group.name, stop)

    async def _retry(self, known: Application, group: Group, version: str) -> None:
        going = known.going.get(group.name)
        now_s = self._clock()
        late = [
            grant
            for grant in (going.open.values() if going else ())
            if grant.version == version and overdue(grant, group, now_s)
        ]
        text = f"the group {group.name} may try {version} again"
        await self._writer.write(
            lambda connection: store.retry(connection, group, version, late),
            self._told(known.id, text, group=group.name, version=version),
        )
        known.retry(group.name, version, late)

    def _told(self, app: str, text: str, *, group: str | None = None, version: str | None = None) -> Change:
        """The change that remembers what an operator did."""
        happening = Happening(app, self._clock(), text, group=group, version=version)
        keep = self._limits.events_kept
        return lambda connection: store.add_event(connection, happening, keep=keep)


@contextlib.asynccontextmanager
async def open_service(
    database: Database,
    place: Place,
    *,
    limits: Limits | None = None,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[UpdateService]:
    """The service over a database with our schema, as long as the block lasts."""
    limits = limits or Limits()
    writer = Writer(database, limits, clock)

    def load() -> dict[str, Application]:
        with database.reading() as connection:
            return store.load(connection, clock())

    applications = await run_sync(load)
    await run_sync(writer.measure)
    async with writer.running():
        service = UpdateService(database, writer, place, applications, limits, clock)
        await service._ensure_application(APPLICATION_ID)
        yield service


def _putting_channel(channel: Channel) -> Change:
    return lambda connection: store.put_channel(connection, channel)


def _putting_group(group: Group) -> Change:
    return lambda connection: store.put_group(connection, group)

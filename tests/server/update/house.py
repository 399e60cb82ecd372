"""A service over a real database that can be ended and started again, and machines that ask it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.server.update.small import small_payload

from argosy.formats import updateapi as api
from argosy.formats.omaha import model as omaha
from argosy.formats.omaha.codes import EventResult, EventType
from argosy.formats.payload import APPLICATION_ID
from argosy.server.database import open_database
from argosy.server.update.desk import Caller
from argosy.server.update.model import Limits
from argosy.server.update.service import Place, UpdateService, open_service
from argosy.server.update.tables import SCHEMA

START_S = 1_790_000_000.0
APPLIED = (EventType.UPDATE_COMPLETE, EventResult.SUCCESS)
RUNNING = (EventType.UPDATE_COMPLETE, EventResult.SUCCESS_REBOOT)
FAILED = (EventType.UPDATE_COMPLETE, EventResult.ERROR)
CALLER = Caller("192.0.2.7", "http://updates.test")


@dataclass
class Clock:
    """The service's time, which passes when a test says so."""

    now_s: float = START_S

    def __call__(self) -> float:
        return self.now_s


@dataclass
class House:
    """A service that can be ended and started again over the same database and folder."""

    url: str
    folder: Path
    limits: Limits = field(default_factory=lambda: Limits(write_every_s=0.01))
    clock: Clock = field(default_factory=Clock)
    versions: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def keys(self) -> Path:
        return self.folder / "keys"

    def payload(self, version: str, **values: str) -> Path:
        return small_payload(self.folder / f"made-{next(self.versions)}", version, self.keys, **values)

    def run(self, story: Callable[[UpdateService], Awaitable[None]]) -> None:
        """Start the service, let `story` happen, and end it."""

        async def whole() -> None:
            with open_database(self.url, [SCHEMA]) as database:
                place = Place(self.folder / "packages", self.keys)
                async with open_service(database, place, limits=self.limits, clock=self.clock) as service:
                    await story(service)

        asyncio.run(whole())


async def pieces(data: bytes, size: int = 700) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def upload(service: UpdateService, path: Path) -> api.Package:
    data = path.read_bytes()
    return await service.upload(pieces(data), length=len(data))


async def publish(service: UpdateService, path: Path, channel: str = "stable") -> api.Package:
    package = await upload(service, path)
    await service.publish(channel, package.sha256)
    return package


@dataclass
class Machine:
    """One that asks the service; ours unless `platform` says otherwise."""

    service: UpdateService
    id: str
    version: str
    group: str = "stable"
    boot_id: str = "boot-1"
    platform: str = omaha.PLATFORM
    app_id: str = APPLICATION_ID
    name: str = ""

    async def ask(self) -> omaha.UpdateAnswer:
        app = await self.say(check=True)
        assert app.update is not None
        return app.update

    async def offered(self) -> str | None:
        manifest = (await self.ask()).manifest
        return manifest.version if manifest else None

    async def tell(self, event: tuple[int, int], **values: object) -> None:
        told = omaha.Event(*event, **values)  # type: ignore[arg-type]
        assert (await self.say(told)).events == 1

    async def get_on(
        self, stage: omaha.Stage, version: str, percent: int | None = None, reason: str = ""
    ) -> omaha.Withdrawn | None:
        """Tell how far an update is; what the service takes back."""
        return (await self.say(progress=omaha.Progress(stage, version, percent, reason))).withdrawn

    async def take(self, version: str) -> None:
        """Run a version that was offered."""
        assert await self.offered() == version
        await self.tell(APPLIED)
        before, self.version = self.version, version
        await self.tell(RUNNING, previous_version=before)

    async def say(
        self, *events: omaha.Event, check: bool = False, progress: omaha.Progress | None = None
    ) -> omaha.ResponseApp:
        app = omaha.RequestApp(
            self.app_id,
            self.version,
            self.group,
            boot_id=self.boot_id,
            machine_id=self.id,
            alias=self.name,
            ping=omaha.Ping(active=1, progress=progress),
            update_check=omaha.UpdateCheck() if check else None,
            events=events,
        )
        system = omaha.System(self.platform, "Chateau", f"{self.version}_x86_64")
        response = await self.service.desk.answer(omaha.Request((app,), system), CALLER)
        return response.apps[0]

    async def seen(self) -> api.Machine:
        return await self.service.machine(self.id, self.app_id)

"""The update service's functions, for its addresses: the Omaha protocol, the REST interface and the page.

What an operator changes is durable when the method returns. Names that are not there raise `NotFoundError`,
changes that do not fit `ConflictError`, values that are wrong `InputError`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from argosy.formats import updateapi as api
from argosy.formats.payload import APPLICATION_ID


class UpdateService:
    """One application's machines see nothing of another's; `app` is Argosy's own unless given."""

    # What there is. All in memory, but machines and events.

    def applications(self) -> tuple[str, ...]:
        """The applications' ids."""
        raise NotImplementedError

    def packages(self, app: str = APPLICATION_ID) -> tuple[api.Package, ...]:
        """All packages, newest version first."""
        raise NotImplementedError

    def channels(self, app: str = APPLICATION_ID) -> tuple[api.Channel, ...]:
        raise NotImplementedError

    def channel(self, name: str, app: str = APPLICATION_ID) -> api.Channel:
        raise NotImplementedError

    async def groups(self, app: str = APPLICATION_ID) -> tuple[api.Group, ...]:
        raise NotImplementedError

    async def group(self, name: str, app: str = APPLICATION_ID) -> api.Group:
        raise NotImplementedError

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
        raise NotImplementedError

    async def machine(self, machine: str, app: str = APPLICATION_ID) -> api.Machine:
        """A machine by its id, or by the beginning of it if that is unique."""
        raise NotImplementedError

    async def machines_total(self, app: str = APPLICATION_ID) -> int:
        raise NotImplementedError

    async def events(
        self, app: str = APPLICATION_ID, *, machine: str | None = None, limit: int = 100
    ) -> tuple[api.Event, ...]:
        """The newest first: what machines and operators did."""
        raise NotImplementedError

    async def overview(
        self, app: str = APPLICATION_ID, *, machines: int = 200, events: int = 50
    ) -> api.Overview:
        """All of it at once; machines that need a look come first."""
        raise NotImplementedError

    async def counts(self) -> dict[tuple[str, str, str, api.State], int]:
        """How many machines there are by (application, group, version, state): for metrics."""
        raise NotImplementedError

    # What operators do.

    async def upload(self, chunks: AsyncIterator[bytes], *, length: int | None = None) -> api.Package:
        """Keep a payload of ours. Its signature and hashes are checked first: raises `PayloadError`.

        The same payload may come twice; another payload of the same version is a `ConflictError`.
        """
        raise NotImplementedError

    async def upload_stock(
        self, chunks: AsyncIterator[bytes], *, app: str, version: str, name: str = "update.gz", arch: str = ""
    ) -> api.Package:
        """Keep a payload of CoreOS or Flatcar for application `app`, which is made if it is new.

        Only its form is checked: its signature is for its machines, which have the key.
        """
        raise NotImplementedError

    async def publish(self, channel: str, sha256: str, app: str = APPLICATION_ID) -> api.Channel:
        """Give a channel a package. A version older than the channel's, or below its floor, is a conflict."""
        raise NotImplementedError

    async def promote(self, source: str, target: str, app: str = APPLICATION_ID) -> api.Channel:
        """Give the channel `target` what `source` has."""
        raise NotImplementedError

    async def rollback(
        self, channel: str, version: str | None = None, app: str = APPLICATION_ID
    ) -> api.Channel:
        """Give a channel the package that it had before, or an older one; its machines go back to it."""
        raise NotImplementedError

    async def change_channel(
        self, name: str, change: api.ChannelChange, app: str = APPLICATION_ID
    ) -> api.Channel:
        """Change a channel; make it if it is new."""
        raise NotImplementedError

    async def change_group(self, name: str, change: api.GroupChange, app: str = APPLICATION_ID) -> api.Group:
        """Change a group (pause: `updates_enabled`); make it if it is new, then `channel` is needed."""
        raise NotImplementedError

    async def name_machine(self, machine: str, alias: str, app: str = APPLICATION_ID) -> api.Machine:
        """Give a machine a name that people know it by; an empty one takes it away."""
        raise NotImplementedError

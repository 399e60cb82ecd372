"""The reboot lock over HTTP, as FleetLock's clients ask for it; its state is in etcd, none is here."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from argosy.base.errors import ArgosyError
from argosy.base.etcd import Etcd
from argosy.base.http import Request, Response
from argosy.formats.fleetlock import (
    DEFAULT_GROUP,
    HEADER,
    PRE_REBOOT,
    STATUS,
    STEADY_STATE,
    Client,
    FleetLockError,
    Kind,
    Sighting,
    decode_client,
    encode_reason,
)
from argosy.formats.rebootlock import Holding
from argosy.node.locksmith import cluster
from argosy.node.locksmith.admission import (
    admitted,
    check_group,
    expired,
    group_of,
    held,
    is_news,
    released,
)
from argosy.node.locksmith.lock import Store
from argosy.node.locksmith.model import Access, Cluster
from argosy.node.locksmith.semaphore import HolderExistsError, NoHolderError
from argosy.node.locksmith.sightings import Sightings

log = logging.getLogger(__name__)

Action = Callable[[Client, str], Awaitable[None]]


class Api:
    """Answers requests. `now_s` are seconds since 1970."""

    def __init__(self, etcd: Etcd, access: Access, now_s: Callable[[], int]) -> None:
        self._etcd = etcd
        self._access = access
        self._now_s = now_s
        self._store = Store(etcd)
        self._sightings = Sightings(etcd)

    async def handle(self, request: Request) -> Response:
        """Answer one request."""
        who = request.peer or "somebody"
        try:
            action, client = self._understand(request)
            who = f"{client.id} of group {client.group}"
            await action(client, request.peer)
        except FleetLockError as error:
            return _no(request, who, error)
        except ArgosyError as error:
            return _no(request, who, FleetLockError(Kind.FAILED_SEM_INIT, str(error)))
        return Response(200)

    def _understand(self, request: Request) -> tuple[Action, Client]:
        actions = {PRE_REBOOT: self._lock, STEADY_STATE: self._unlock}
        if request.path not in actions:
            raise FleetLockError(Kind.NOT_FOUND, f"there are only {PRE_REBOOT} and {STEADY_STATE}")
        if request.method != "POST":
            raise FleetLockError(Kind.METHOD_NOT_ALLOWED, "POST is the only method")
        return actions[request.path], decode_client(request.header(HEADER), request.body)

    async def _lock(self, client: Client, peer: str) -> None:
        check_group(await self._store.read(), client)
        view = await self._look(client, peer)
        holding = Holding(self._now_s(), member=view.own, fleetlock=True)
        try:
            await self._store.change(
                group_of(client),
                lambda locks: admitted(locks, view, client, holding),
                lambda semaphore: semaphore.holding.get(client.id) == holding,
            )
        except HolderExistsError:
            return
        log.info("%s took the lock of group %s", client.id, client.group)

    async def _unlock(self, client: Client, peer: str) -> None:
        locks = await self._store.read()
        groups = held(locks, client)
        if not groups:
            check_group(locks, client)
        await self._note(client, await cluster.member_at(self._etcd, peer))
        for group in groups:
            await self._release(group, client)

    async def _release(self, group: str, client: Client) -> None:
        try:
            await self._store.change(
                group,
                lambda locks: released(locks, group, client, self._now_s()),
                lambda semaphore: client.id not in semaphore.ids,
            )
        except NoHolderError:
            return
        log.info("%s gave back the lock of group %s", client.id, group or DEFAULT_GROUP)

    async def _look(self, client: Client, peer: str) -> Cluster:
        """The cluster as it is for the client's machine: `own` is that one's etcd member."""
        own = await cluster.member_at(self._etcd, peer)
        await self._note(client, own)
        members = await cluster.look_at_members(self._etcd, self._access)
        clients = await cluster.look_at_clients(self._etcd, members, self._now_s())
        return Cluster(members, own, clients=clients)

    async def _note(self, client: Client, member: str) -> None:
        """Remember the client, not more often than needed, and forget those that are long gone."""
        sightings, now_s = await self._sightings.read(), self._now_s()
        for client_id in expired(sightings, now_s):
            await self._sightings.forget(client_id)
        if is_news(sightings.get(client.id), member, now_s):
            await self._sightings.note(client.id, Sighting(now_s, member))


def _no(request: Request, who: str, error: FleetLockError) -> Response:
    log.info("no %r for %s: %s", request.path, who, error)
    headers = [("content-type", "application/json")]
    if error.kind is Kind.METHOD_NOT_ALLOWED:
        headers.append(("allow", "POST"))
    return Response(STATUS[error.kind], headers, encode_reason(error))

"""The edge: which clients of FleetLock were heard of, and when, in etcd."""

from __future__ import annotations

import logging
from urllib.parse import unquote

import msgspec

from argosy.base.etcd import Etcd, Range, prefix_end
from argosy.formats.fleetlock import CLIENTS, Sighting, client_key

log = logging.getLogger(__name__)


class Sightings:
    """One key for each client."""

    def __init__(self, etcd: Etcd) -> None:
        self._etcd = etcd

    async def read(self) -> dict[str, Sighting]:
        """All of them, by the client's id. Raises `EtcdError`."""
        found = await self._etcd.range(Range(CLIENTS, prefix_end(CLIENTS)))
        sightings = {}
        for item in found.items:
            name = item.key.decode(errors="replace")
            client_id = unquote(name.removeprefix(CLIENTS))
            try:
                sightings[client_id] = msgspec.json.decode(item.value, type=Sighting)
            except msgspec.DecodeError as error:
                log.warning("what is at %s in etcd is not of a client: %s", name, error)
        return sightings

    async def note(self, client_id: str, sighting: Sighting) -> None:
        """Write one. Raises `EtcdError`."""
        await self._etcd.put(client_key(client_id), msgspec.json.encode(sighting))

    async def forget(self, client_id: str) -> None:
        """Remove one. Raises `EtcdError`."""
        await self._etcd.delete(client_key(client_id))

"""This machine's place in the cluster: its lease, its key, and how well it is in touch with etcd."""

from __future__ import annotations

import logging
from collections.abc import Callable

from argosy.base.decode import encode_json
from argosy.base.etcd import Compare, Etcd, LeaseNotFoundError, Put
from argosy.base.loop import Clock
from argosy.formats.fleet import MachineRecord
from argosy.node.fleet.model import short_id
from argosy.node.fleet.presence import Contact
from argosy.node.fleet.registry import Keys

log = logging.getLogger(__name__)

# Renewals per life of a lease.
_RENEWALS = 6


class Membership:
    """Keeps a machine registered. `ttl_s` is how long it counts as present after its last sign of life."""

    def __init__(
        self, etcd: Etcd, keys: Keys, machine_id: str, record: MachineRecord, *, ttl_s: int, clock: Clock
    ) -> None:
        self._etcd = etcd
        self._keys = keys
        self._record = record
        self._ttl_s = ttl_s
        self._clock = clock
        self._listeners: list[Callable[[], None]] = []
        self.machine_id = machine_id
        self.lease = 0
        self.contact = Contact(clock.now(), float("-inf"))

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever the machine has registered with a new lease."""
        self._listeners.append(listener)

    def may_evict(self) -> bool:
        """Whether a machine whose lease is gone can be held to have failed."""
        return self.contact.may_evict(self._clock.now(), self._ttl_s)

    async def keep(self) -> float:
        """One sign of life; returns the seconds until the next is due."""
        asked_s = self._clock.now()
        if not self.lease:
            await self._join()
        else:
            try:
                await self._etcd.keep_alive(self.lease)
            except LeaseNotFoundError:
                log.warning("our lease has ended: etcd was away, or we were; registering again")
                self.lease = 0
                self.contact = self.contact.interrupted(self._clock.now())
                return 0.0
        # What counts is when the question was asked: an answer may have been on its way for long.
        self.contact = self.contact.answered(asked_s, self._ttl_s)
        return self._ttl_s / _RENEWALS

    async def leave(self) -> None:
        """Give up the lease: the machine and the states of its units go at once."""
        if self.lease:
            await self._etcd.revoke(self.lease)
            self.lease = 0

    async def _join(self) -> None:
        lease = await self._former_lease() or await self._etcd.grant(self._ttl_s)
        key = self._keys.machine(self.machine_id)
        value = encode_json(self._record)
        await self._etcd.txn(
            [Compare(key, "value", value), Compare(key, "lease", lease)], [], [Put(key, value, lease)]
        )
        self.lease = lease
        log.info("registered machine %s", short_id(self.machine_id))
        for listener in self._listeners:
            listener()

    async def _former_lease(self) -> int:
        """The lease that this machine had before the daemon was restarted, if it still lives."""
        known = await self._etcd.get(self._keys.machine(self.machine_id))
        if known is None or not known.lease:
            return 0
        try:
            await self._etcd.keep_alive(known.lease)
        except LeaseNotFoundError:
            return 0
        return known.lease

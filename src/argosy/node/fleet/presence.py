"""When a machine counts as gone: the rule that keeps an etcd that stumbles from moving units.

A machine is in the cluster while its lease lives. That a lease has ended proves that the machine failed
only if etcd worked all the time: when etcd stood still, all leases end at once. So the engine takes a
machine's units away only if it has itself been in touch with etcd, without a gap, for longer than a lease
lives: a machine that works had all that time to register again.
"""

from __future__ import annotations

from dataclasses import dataclass

# In touch without a gap: the longest time between two answers of etcd, as a part of a lease's life. Agents
# renew after a third, so that a gap as short as this cannot by itself end the lease of a machine that
# works.
GAP = 1 / 3


@dataclass(frozen=True, slots=True)
class Contact:
    """Since when etcd has answered without a gap, and when it last did, in seconds of a monotonic clock."""

    since_s: float
    last_s: float

    def answered(self, now_s: float, ttl_s: float) -> Contact:
        """etcd answered now, to a question that was asked after the last answer."""
        if now_s - self.last_s > ttl_s * GAP:
            return Contact(now_s, now_s)
        return Contact(self.since_s, now_s)

    def interrupted(self, now_s: float) -> Contact:
        """Something shows that etcd did not work well, such as the end of our own lease."""
        return Contact(now_s, now_s)

    def may_evict(self, now_s: float, ttl_s: float) -> bool:
        """Whether a machine without a lease can be held to have failed. `ttl_s` is the life of a lease."""
        return now_s - self.last_s <= ttl_s * GAP and now_s - self.since_s > ttl_s

"""Whether one more machine may go down, whatever the semaphore says. Pure.

etcd must keep its quorum, and fewer than half of the machines may be down at once; a machine may always be
the only one that is down, unless that costs etcd its quorum. Only an etcd of a single member has no choice:
its machine may go down alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from argosy.formats.duration import spoken
from argosy.formats.rebootlock import Holding
from argosy.node.locksmith.model import Cluster, Member


def why_not(cluster: Cluster, holders: Mapping[str, Holding], me: str) -> str:
    """Why machine `me` must not go down now, in words; empty if it may. `holders` are those of all groups."""
    others = {holder: holding for holder, holding in holders.items() if holder != me}
    return _quorum(cluster, others) or _half(cluster, others, me)


def gone(cluster: Cluster, holder: str, holding: Holding) -> str:
    """Why a holder seems to be gone, in words; empty if it does not, or nobody can tell."""
    member = member_of(cluster, holder, holding)
    if member is not None:
        return "" if member.healthy else "its etcd member does not answer"
    if holding.member and cluster.members:
        return "its etcd member was removed"
    if holding.fleetlock:
        return ""
    if cluster.machines and holder not in cluster.machines:
        return "fleet does not hear of it"
    return ""


def age_s(holding: Holding, now_s: int) -> int | None:
    """How long a lock has been held; None if nobody knows."""
    return max(0, now_s - holding.since_s) if holding.since_s else None


def described(holder: str, holding: Holding, cluster: Cluster, now_s: int) -> str:
    """A holder in a sentence: its name, for how long, and whether it seems to be gone."""
    name = f"{holding.host} ({holder})" if holding.host else holder
    name += " by FleetLock" if holding.fleetlock else ""
    age = age_s(holding, now_s)
    held = f" for {spoken(age)}" if age is not None else ""
    missing = gone(cluster, holder, holding)
    return f"{name}{held}" + (f", and {missing}" if missing else "")


def member_of(cluster: Cluster, holder: str, holding: Holding) -> Member | None:
    """A holder's etcd member: the recorded one, or the one whose name is the machine's id."""
    for member in cluster.members:
        if member.id == holding.member or (not holding.member and member.name == holder):
            return member
    return None


def _quorum(cluster: Cluster, others: Mapping[str, Holding]) -> str:
    voters = {member.id: member for member in cluster.members if member.votes}
    if cluster.own not in voters or len(voters) == 1:
        return ""
    unhealthy = {member.id for member in voters.values() if not member.healthy}
    held = {member.id for holder in others if (member := member_of(cluster, holder, others[holder]))}
    down = (unhealthy | (held & voters.keys())) - {cluster.own}
    quorum = len(voters) // 2 + 1
    if len(voters) - len(down) - 1 >= quorum:
        return ""
    size = f"etcd has {len(voters)} members and needs {quorum}"
    if not down:
        return f"{size}: none can be spared"
    names = ", ".join(sorted(voters[each].name or each for each in down))
    return f"{size}: while {names} is down or about to be, this machine cannot be spared"


def _half(cluster: Cluster, others: Mapping[str, Holding], me: str) -> str:
    matched = {member.id for holder in others if (member := member_of(cluster, holder, others[holder]))}
    unheld = [
        member
        for member in cluster.members
        if not member.healthy and member.id not in matched and member.id != cluster.own
    ]
    down = len(others) + len(unheld)
    if not down:
        return ""
    without_member = len(others) - len(matched) + (not cluster.own)
    known = cluster.machines | others.keys() | {me}
    machines = max(len(cluster.members) + without_member, len(known)) + len(cluster.clients - known)
    if 2 * (down + 1) < machines:
        return ""
    return f"{down} of {machines} machines are down or about to be: with this one it would be half or more"

"""What a host lacks (pure)."""

from __future__ import annotations

from collections.abc import Sequence

from argosy.base.errors import ArgosyError
from argosy.lab.host.model import (
    Action,
    AddSubordinateIds,
    FinishInstallation,
    Host,
    Install,
    Plan,
    SubordinateRange,
    UpdateLists,
)

SUPPORTED_DEBIAN = ("12", "13")
RANGE_IDS = 65536
# SUB_UID_MIN and SUB_UID_MAX of Debian's login.defs(5).
_FIRST_ID, _LAST_ID = 100_000, 600_100_000


class UnsupportedHostError(ArgosyError):
    """Packages can only be installed on hosts that we know."""


def is_supported(host: Host) -> bool:
    """Whether we know the names of this host's packages."""
    return host.os_id == "debian" and host.os_version in SUPPORTED_DEBIAN


def plan(host: Host, wanted: Sequence[str]) -> Plan:
    """What to do so that `host` has the packages `wanted`, and its user the ids that namespaces need.

    Raises `UnsupportedHostError` on any system but Debian 12 and 13.
    """
    if not is_supported(host):
        raise UnsupportedHostError(
            f"this host is {host.os_name or 'unknown'}; packages can only be installed on Debian 12 and 13",
            hint="what is needed, by Debian's names: " + " ".join(wanted),
        )
    return Plan((*_packages(host, wanted), *_subordinate_ids(host)), _advice(host))


def _packages(host: Host, wanted: Sequence[str]) -> list[Action]:
    actions: list[Action] = []
    if host.is_dpkg_interrupted:
        actions.append(FinishInstallation("an earlier installation was interrupted"))
    missing = tuple(name for name in wanted if name not in host.installed)
    unknown = [name for name in missing if name not in host.known]
    if unknown:
        actions.append(UpdateLists(f"apt does not know {', '.join(unknown)} yet"))
    if missing:
        actions.append(Install(missing, "not installed"))
    return actions


def _subordinate_ids(host: Host) -> list[Action]:
    if host.uid == 0:
        return []
    reason = f"user {host.user} has no ids for namespaces"
    return [
        AddSubordinateIds(host.user, kind, free_start(ranges), RANGE_IDS, reason)
        for kind, ranges in (("subuid", host.subuids), ("subgid", host.subgids))
        if not has_range(ranges, host.user, host.uid)
    ]


def has_range(ranges: Sequence[SubordinateRange], user: str, uid: int) -> bool:
    """Whether the user has enough subordinate ids in one piece."""
    return any(entry.owner in (user, str(uid)) and entry.count >= RANGE_IDS for entry in ranges)


def free_start(ranges: Sequence[SubordinateRange]) -> int:
    """The first id of a range that nobody has: behind the last one, as useradd(8) does, else in a gap."""
    starts = [_FIRST_ID, *(entry.start + entry.count for entry in ranges)]
    for start in sorted((start for start in starts if start >= _FIRST_ID), reverse=True):
        end = start + RANGE_IDS
        is_free = all(end <= entry.start or entry.start + entry.count <= start for entry in ranges)
        if is_free and end <= _LAST_ID:
            return start
    raise ArgosyError("no free subordinate ids are left", where="/etc/subuid", hint="see subuid(5)")


def _advice(host: Host) -> tuple[str, ...]:
    if not host.kvm_refused:
        return ()
    return (
        f"machines run many times faster with KVM, which {host.user} may not use; "
        f"to change that: usermod -aG kvm {host.user}, as root, then log in again",
    )

"""What locksmith sees, remembers, decides and says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from argosy.base.address import Login, TlsFiles
from argosy.formats.rebootlock import Holding, Semaphore
from argosy.formats.rebootwhy import State
from argosy.node.locksmith.windows import Window

DEFAULT_ENDPOINT = "http://127.0.0.1:2379"


class Strategy(StrEnum):
    """REBOOT_STRATEGY."""

    ETCD_LOCK = "etcd-lock"
    REBOOT = "reboot"
    BEST_EFFORT = "best-effort"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this machine is, in this boot."""

    machine_id: str
    boot_id: str
    host: str


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach etcd, and whose lock it is about; `group` is empty for everybody's."""

    endpoints: tuple[str, ...] = (DEFAULT_ENDPOINT,)
    tls: TlsFiles = field(default_factory=TlsFiles)
    login: Login | None = None
    group: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """What update.conf and the environment say. `stale_after_s` is None where stale locks stay."""

    strategy: Strategy = Strategy.BEST_EFFORT
    access: Access = field(default_factory=Access)
    windows: tuple[Window, ...] = ()
    delay_s: float = 0.0
    warning_s: float = 300.0
    drain_s: float = 300.0
    stale_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """A member of etcd; `id` is in hexadecimal."""

    id: str
    name: str = ""
    healthy: bool = True
    votes: bool = True


@dataclass(frozen=True, slots=True)
class Cluster:
    """etcd's members and, where fleet runs, the ids of the machines that it has heard of lately.

    `own` is the id of this machine's member, empty if it has none. `clients` are the ids of machines
    without a member that FleetLock has heard of lately.
    """

    members: tuple[Member, ...] = ()
    own: str = ""
    machines: frozenset[str] = frozenset()
    clients: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Locks:
    """All semaphores, by group, as of one revision of etcd."""

    semaphores: Mapping[str, Semaphore] = field(default_factory=dict)
    revision: int = 0

    def of(self, group: str) -> Semaphore:
        """A group's; one that nobody has written yet has one lock."""
        return self.semaphores.get(group, Semaphore())

    def holders(self) -> dict[str, Holding]:
        """Who holds a lock in any group, and what is known of it."""
        return {
            holder: semaphore.holding.get(holder, Holding())
            for semaphore in self.semaphores.values()
            for holder in semaphore.ids
        }

    def held_by(self, holder: str) -> dict[str, Holding]:
        """In which groups this one holds a lock."""
        return {
            group: semaphore.holding.get(holder, Holding())
            for group, semaphore in self.semaphores.items()
            if holder in semaphore.ids
        }


@dataclass(frozen=True, slots=True)
class Back:
    """What shows that a machine is back. `member` is systemd's word for etcd's unit.

    `slot_problem` says why the slots cannot be read. `fleet` is registered, unregistered or off; `idle` are
    the units due here that do not run, with systemd's word.
    """

    in_trial: bool = False
    slot_problem: str = ""
    member: str = "inactive"
    fleet: str = "off"
    idle: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Drained:
    """How far moving this machine's units elsewhere has come; `reason` says it in words."""

    done: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Memory:
    """What locksmithd has to know after a crash, until the next boot. Times are on the clock of this boot.

    `asked`: a person asked for the reboot. `warned_s`: when the users were warned. `well_since_s`: since when
    the machine lacks nothing, while it holds a lock of an earlier boot. `gone_since_s`: since when holders of
    the lock seem to be gone, where stale locks are freed.
    """

    asked: bool = False
    away_since_s: float | None = None
    drain_began_s: float | None = None
    drained: bool = False
    warned_s: float | None = None
    well_since_s: float | None = None
    reboot_sent_s: float | None = None
    gone_since_s: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Observed:
    """All that a decision rests on.

    `now` is the local time, `up_s` the clock of this boot. `wanted` says why a reboot is wanted; it is empty
    if none is. `locks` is None if etcd does not answer, and `etcd_problem` then says why; `member` is
    systemd's word for etcd's unit. `users` are the names of those at a terminal.
    """

    now: datetime
    up_s: float
    machine_id: str
    boot_id: str
    settings: Settings | None
    settings_problem: str = ""
    wanted: str = ""
    going_down: bool = False
    locks: Locks | None = None
    etcd_problem: str = ""
    cluster: Cluster = field(default_factory=Cluster)
    member: str = "inactive"
    back: Back = field(default_factory=Back)
    users: tuple[str, ...] = ()
    postponed_until_s: float | None = None
    memory: Memory = field(default_factory=Memory)

    @property
    def now_s(self) -> int:
        """Seconds since 1970."""
        return int(self.now.timestamp())


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before `again_s` are over, or something happens."""

    again_s: float | None = None


@dataclass(frozen=True, slots=True)
class Lock:
    """Take a lock of `group`."""

    group: str


@dataclass(frozen=True, slots=True)
class Unlock:
    """Give back `holder`'s lock of `group`; ours, or one whose machine is gone."""

    group: str
    holder: str


@dataclass(frozen=True, slots=True)
class Drain:
    """Have this machine's units run elsewhere; `last` if no more time is given to that."""

    last: bool = False


@dataclass(frozen=True, slots=True)
class Warn:
    """Tell those at a terminal; the reboot comes in `in_s`."""

    in_s: float


@dataclass(frozen=True, slots=True)
class Reboot:
    """Reboot now."""


Action = Wait | Lock | Unlock | Drain | Warn | Reboot


@dataclass(frozen=True, slots=True)
class Decision:
    """One action, why, what a person may do about it, and the word for the state file.

    `under_way`: nothing but what this machine itself prepares comes before its reboot; else all that was
    prepared is undone.
    """

    action: Action
    reason: str
    state: State = State.RUNNING
    hint: str = ""
    under_way: bool = False

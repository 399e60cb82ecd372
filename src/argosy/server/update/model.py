"""What the update service knows and decides. Times are seconds since 1970 (UTC).

Policies, windows, states and stops are those of the REST interface (`argosy.formats.updateapi`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

from argosy.base.errors import ArgosyError
from argosy.formats.updateapi import Key, Policy, State, Stop
from argosy.server.update.words import machine_name


class NotFoundError(ArgosyError):
    """There is no application, channel, group, package or machine of that name."""


class ConflictError(ArgosyError):
    """The change does not fit what is there now."""


class FullError(ArgosyError):
    """A limit of the service is reached, or its disk is full."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What clients may use up."""

    payload_bytes: int = 2 << 30
    machines: int = 1_000_000
    """Machines that are kept; requests of further ones are answered, but not remembered."""
    forget_after_s: float = 180 * 86400
    """Machines that have not been seen for so long are forgotten."""
    present_for_s: float = 86400
    """Machines that have not been seen for so long do not count in a group's waves: nobody waits for them."""
    groups: int = 1000
    channels: int = 1000
    events_per_machine: int = 100
    """The newest are kept."""
    events_kept: int = 10_000
    """Of what operators did."""
    pending: int = 20_000
    """Reports that wait to be written; when there are more, requests wait too."""
    write_every_s: float = 1.0
    """How long a report that changes nothing (`seen`) may wait; that much is lost by a power cut."""


@dataclass(frozen=True, slots=True)
class Package:
    """A payload. `sha256` is hexadecimal and names it; `sha1` is base64, for stock clients.

    `ours` tells our payloads from those of CoreOS and Flatcar, whose signatures only their machines check.
    `urls` are further codebases, tried after our own. `arch` as in `os`'s `sp`; empty: any.
    """

    app: str
    version: str
    sha256: str
    sha1: str
    size_bytes: int
    name: str
    published_s: float
    kernel: str = ""
    floor: str = ""
    keys: tuple[Key, ...] = ()
    ours: bool = True
    arch: str = ""
    urls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Turn:
    """When a channel took a package; `action` is publish, promote or rollback."""

    at_s: float
    sha256: str
    version: str
    action: str


@dataclass(frozen=True, slots=True)
class Channel:
    """What its machines get: `package`. They get nothing below `floor`.

    `milestones` are versions not to be skipped, oldest first. `withdrawn` are versions that the channel was
    rolled back from: machines that run one of them go back.
    """

    app: str
    name: str
    package: Package | None = None
    floor: str = "0.0.0"
    milestones: tuple[Package, ...] = ()
    withdrawn: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Group:
    """Machines under one policy.

    `stopped`, by version: what failed on a machine of the group; nobody of the group is given it any more.
    `proven`: versions that a machine of the group has reported to run.
    """

    app: str
    name: str
    channel: Channel
    policy: Policy = field(default_factory=Policy)
    stopped: Mapping[str, Stop] = field(default_factory=dict)
    proven: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Grant:
    """An update that a machine was told to take and has not ended: how far it is, and when it last spoke.

    `boot_id` is that of the boot in which it was installed, `host` what the machine calls itself.
    """

    app: str
    group: str
    machine: str
    version: str
    state: State
    granted_s: float
    heard_s: float
    boot_id: str = ""
    host: str = ""

    @property
    def name(self) -> str:
        """What people call the machine."""
        return machine_name(self.machine, self.host)


@dataclass(frozen=True, slots=True)
class Asker:
    """The machine that asks.

    `ours`: it reads our payloads, not those of CoreOS. `prefix`: it wants only versions that begin so.
    `grant` is its own that is open. `bad`, by version: why what it tried did not work on it.
    """

    id: str
    version: str
    ours: bool = True
    arch: str = ""
    prefix: str = ""
    grant: Grant | None = None
    bad: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Activity:
    """What goes on in a group: when updates began, oldest first; open grants by machine.

    `done`, by version: the machines that were granted it and have reported to run it. `machines` is how many
    the group has, as of some seconds ago.
    """

    begun_s: Sequence[float] = ()
    open: Mapping[str, Grant] = field(default_factory=dict)
    done: Mapping[str, Set[str]] = field(default_factory=dict)
    machines: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to `may this machine update now`: `package` if so, and why. `fresh`: it begins with this.

    `soon`: it only waits for other machines, and should ask again before long.
    """

    state: State
    reason: str
    package: Package | None = None
    fresh: bool = False
    soon: bool = False

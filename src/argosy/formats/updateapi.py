"""The update service's REST interface: what `/api/v1` takes and answers, as JSON.

Times are in UTC (RFC 3339). A version is text, MAJOR.MINOR.PATCH. Channels and groups have names that are
unique within an application; a package is known by its payload's SHA-256, in hexadecimal.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from msgspec import UNSET, UnsetType

from argosy.base.errors import InputError

ROOT = "/api/v1"
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_CLOCK = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]")


class State(Enum):
    """How far a machine is, by its last words to the service."""

    CURRENT = "current"  # it has what its group gets
    WAITING = "waiting"  # there is an update, and a reason why not now
    OFFERED = "offered"  # it was told of an update
    DOWNLOADING = "downloading"
    DOWNLOADED = "downloaded"
    INSTALLED = "installed"  # written to the standby slot; a reboot takes it
    REBOOTING = "rebooting"
    PROBING = "probing"  # it runs the new version, on trial
    FAILED = "failed"  # an update was not written, or was refused
    FELL_BACK = "fell back"  # it booted the new version and came back to the old one


@dataclass(frozen=True, slots=True)
class Key:
    """A key that signed a payload: its id (the first 16 hex digits of its digest) and its name here."""

    id: str
    name: str
    development: bool


@dataclass(frozen=True, slots=True)
class Package:
    """A payload that the service keeps. `url_path` is where machines get it, below the server's address."""

    app: str
    version: str
    sha256: str
    size_bytes: int
    kernel: str
    floor: str
    keys: tuple[Key, ...]
    url_path: str
    published: datetime

    @property
    def development(self) -> bool:
        """It is signed by a development key."""
        return any(key.development for key in self.keys)


@dataclass(frozen=True, slots=True)
class Turn:
    """A moment when a channel took a version: `action` is publish, promote or rollback."""

    at: datetime
    version: str
    action: str


@dataclass(frozen=True, slots=True)
class Channel:
    """A named row of versions. `floor`: machines of it refuse what is older.

    `milestones` are versions that may not be skipped: a machine that is older gets the next of them first.
    `history` has the newest first.
    """

    app: str
    name: str
    package: Package | None
    floor: str
    milestones: tuple[str, ...]
    history: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """A time of the week when updates may begin: `days` of `DAYS`, `start` and `end` as HH:MM.

    An end that is not after the start is on the next day.
    """

    days: tuple[str, ...]
    start: str
    end: str


@dataclass(frozen=True, slots=True)
class Policy:
    """When machines of a group may update.

    At most `rate_updates` begin in `rate_period_s` (0: no limit); one that was offered an update and is not
    heard of for `update_timeout_s` is late. Safe mode: the first machine alone, the others when it runs the
    new version. No windows: at any time.

    `waves` are numbers or shares of the group's machines (`formats.shares`), for example 1, 10%, 50%: so many
    take a version, and all of them must run it before the next wave begins; after the last, the rest.
    `at_once`: so many update at the same time at most (empty: no limit). With either, a machine that is late
    holds the others back. `poll_s`: how often machines are told to ask (0: as they like).
    """

    updates_enabled: bool = True
    rate_updates: int = 0
    rate_period_s: int = 3600
    update_timeout_s: int = 3600
    windows: tuple[Window, ...] = ()
    timezone: str = "UTC"
    safe_mode: bool = False
    waves: tuple[str, ...] = ()
    at_once: str = ""
    poll_s: int = 0


CAREFUL = Policy(waves=("1", "10%", "50%"))
"""The policy of a new group."""


@dataclass(frozen=True, slots=True)
class Stop:
    """A version that the group's machines are not given any more.

    One failed with it: `machine`, which calls itself `host`. Or a person withdrew it: then that is empty.
    """

    version: str
    at: datetime
    machine: str
    reason: str
    host: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Machines that follow one channel under one policy; its name is what machines call GROUP.

    `counts` says how many machines are in each state (the values of `State`).
    """

    app: str
    name: str
    channel: str
    policy: Policy
    stopped: tuple[Stop, ...]
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine as the service last heard of it. `reason` says in words why it is in that state.

    `offered` is the version that it was told to take, `bad` those which it tried in vain.
    """

    app: str
    id: str
    group: str
    version: str
    state: State
    reason: str
    seen: datetime
    alias: str = ""
    address: str = ""
    oem: str = ""
    offered: str | None = None
    bad: tuple[str, ...] = ()
    percent: int | None = None


class RolloutState(Enum):
    """How a group gets on with the version that its channel has."""

    IDLE = "idle"  # there is nothing to roll out, or nobody to take it
    ROLLING = "rolling"
    PAUSED = "paused"  # by a person
    STOPPED = "stopped"  # a machine fell back, or is late
    ABORTED = "aborted"  # by a person
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Wave:
    """Wave `number` of `of`: `limit` machines of the group take the version before the next begins."""

    number: int
    of: int
    limit: int


@dataclass(frozen=True, slots=True)
class Rollout:
    """A group on its way to `version` (None: its channel has none). `reason` says in words how it stands.

    `machines_total` were seen within a day; of them `machines_done` run the version, and `machines_taking`
    were told to take it. `culprit` is the machine that stopped it, called `culprit_name`. `machines` has some
    of them, those first that need a look or are under way.
    """

    app: str
    group: str
    channel: str
    version: str | None
    state: RolloutState
    reason: str
    now: datetime
    machines_total: int
    machines_done: int
    machines_taking: int
    wave: Wave | None = None
    culprit: str = ""
    culprit_name: str = ""
    machines: tuple[Machine, ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """What a machine or an operator did, in words; `type`, `result` and `code` are Omaha's, if any."""

    at: datetime
    text: str
    machine: str | None = None
    group: str | None = None
    version: str | None = None
    type: int | None = None
    result: int | None = None
    code: int | None = None


@dataclass(frozen=True, slots=True)
class Machines:
    """Some machines by their id. `after` asks for the next of them; None: these were the last."""

    machines: tuple[Machine, ...]
    after: str | None


@dataclass(frozen=True, slots=True)
class MachineDetail:
    """One machine and its last events, the newest first."""

    machine: Machine
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Access:
    """What the request's token allows."""

    read: bool
    write: bool


@dataclass(frozen=True, slots=True)
class Overview:
    """All that the page shows."""

    now: datetime
    channels: tuple[Channel, ...]
    groups: tuple[Group, ...]
    machines: tuple[Machine, ...]
    machines_total: int
    events: tuple[Event, ...]
    rollouts: tuple[Rollout, ...] = ()


# What a client sends. What is left out stays as it is.


@dataclass(frozen=True, slots=True)
class Release:
    """Give a channel a package: one that was uploaded (`sha256`), or that another channel has (`promote`)."""

    sha256: str | None = None
    promote: str | None = None


@dataclass(frozen=True, slots=True)
class Rollback:
    """Give a channel the version again that it had before, or another older one."""

    version: str | None = None


@dataclass(frozen=True, slots=True)
class ChannelChange:
    """Make a channel, or change it."""

    floor: str | UnsetType = UNSET
    milestones: tuple[str, ...] | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class GroupChange:
    """Make a group (then `channel` is needed), or change it.

    `abort` withdraws that version from all machines of the group that do not run it; `retry` takes that, or
    the stop after a failure, back.
    """

    channel: str | UnsetType = UNSET
    updates_enabled: bool | UnsetType = UNSET
    rate_updates: int | UnsetType = UNSET
    rate_period_s: int | UnsetType = UNSET
    update_timeout_s: int | UnsetType = UNSET
    windows: tuple[Window, ...] | UnsetType = UNSET
    timezone: str | UnsetType = UNSET
    safe_mode: bool | UnsetType = UNSET
    waves: tuple[str, ...] | UnsetType = UNSET
    at_once: str | UnsetType = UNSET
    poll_s: int | UnsetType = UNSET
    retry: str | UnsetType = UNSET
    abort: str | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class MachineChange:
    """Name a machine as people know it; an empty name takes it away."""

    alias: str | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class Failure:
    """Any answer that is not 2xx: a word for programs, a sentence for people, and what to do."""

    code: str
    message: str
    hint: str | None = None


def is_name(text: str) -> bool:
    """It can name a channel or a group."""
    return _NAME.fullmatch(text) is not None


def parse_window(text: str) -> Window:
    """`mon-fri 22:00-04:00`, `sat,sun 00:00-24:00` or `02:00-05:00` (every day). Raises `InputError`."""
    *days, clock = text.lower().split() or [""]
    start, dash, end = clock.partition("-")
    if end == "24:00":
        end = "00:00"
    if len(days) > 1 or not dash or not _CLOCK.fullmatch(start) or not _CLOCK.fullmatch(end):
        raise _not_a_window(text)
    return Window(_parse_days(days[0], text) if days else DAYS, start, end)


def show_window(window: Window) -> str:
    """The text that `parse_window` takes."""
    clock = f"{window.start}-{'24:00' if window.end == '00:00' else window.end}"
    return clock if window.days == DAYS else f"{_show_days(window.days)} {clock}"


def _show_days(days: tuple[str, ...]) -> str:
    """Three days or more in a row as `mon-fri`."""
    rows: list[list[str]] = []
    for day in days:
        if rows and DAYS.index(day) == DAYS.index(rows[-1][-1]) + 1:
            rows[-1].append(day)
        else:
            rows.append([day])
    return ",".join(f"{row[0]}-{row[-1]}" if len(row) > 2 else ",".join(row) for row in rows)


def _parse_days(days: str, text: str) -> tuple[str, ...]:
    chosen: set[int] = set()
    for part in days.split(","):
        first, _, last = part.partition("-")
        if first not in DAYS or (last or first) not in DAYS:
            raise _not_a_window(text)
        begin, end = DAYS.index(first), DAYS.index(last or first)
        chosen.update((begin + step) % 7 for step in range((end - begin) % 7 + 1))
    return tuple(day for number, day in enumerate(DAYS) if number in chosen)


def _not_a_window(text: str) -> InputError:
    return InputError(
        f"{text!r} is not a time of the week", hint="for example `mon-fri 22:00-04:00` or `02:00-05:00`"
    )

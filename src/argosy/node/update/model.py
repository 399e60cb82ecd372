"""What the update engine knows, is offered, and decides."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from argosy.formats.omaha.model import Progress, Withdrawn
from argosy.formats.rebootwhy import Why as RebootWhy
from argosy.formats.version import Version, parse_version
from argosy.node.slots.model import SlotsState
from argosy.node.update.problems import Problem
from argosy.node.update.progress import Told
from argosy.node.updateconf import Settings

DEFAULT_FAILURES_PER_URL = 10
RESUMES = 10
"""After so many downloads that broke off, the next one starts at the beginning."""


class Operation(StrEnum):
    """What the engine is doing: update_engine's states, as D-Bus and the client show them."""

    IDLE = "UPDATE_STATUS_IDLE"
    CHECKING = "UPDATE_STATUS_CHECKING_FOR_UPDATE"
    AVAILABLE = "UPDATE_STATUS_UPDATE_AVAILABLE"
    DOWNLOADING = "UPDATE_STATUS_DOWNLOADING"
    VERIFYING = "UPDATE_STATUS_VERIFYING"
    FINALIZING = "UPDATE_STATUS_FINALIZING"
    NEED_REBOOT = "UPDATE_STATUS_UPDATED_NEED_REBOOT"
    REPORTING_ERROR = "UPDATE_STATUS_REPORTING_ERROR_EVENT"


@dataclass(frozen=True, slots=True)
class Status:
    """What D-Bus shows. `checked_at_s` are seconds since 1970, `progress` goes from 0 to 1."""

    checked_at_s: int = 0
    progress: float = 0.0
    operation: Operation = Operation.IDLE
    version: str = "0.0.0"
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Offer:
    """An update that the service offers. `urls` are tried in order; `payload` tells payloads apart."""

    version: str
    urls: tuple[str, ...]
    size_bytes: int
    payload: str = ""
    floor: str = ""
    disable_backoff: bool = False
    failures_per_url: int = DEFAULT_FAILURES_PER_URL


@dataclass(frozen=True, slots=True)
class Machine:
    """How this machine introduces itself to the service. `first_version` is what it was installed with."""

    application: str
    version: str
    group: str
    board: str = ""
    boot_id: str = ""
    machine_id: str = ""
    oem: str = ""
    oem_version: str = ""
    first_version: str = ""
    host_name: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service said. `offer` is None without an update; `sentence` is its words or ours for it.

    `heard`: it took in what it was told. `busy`: it has too much to do, or is broken. `reads_progress`: it
    wants to know how updates get on. `withdrawn` is what is not to be taken any more.
    """

    sentence: str = ""
    offer: Offer | None = None
    poll_s: int | None = None
    retry_after_s: int | None = None
    busy: bool = False
    heard: bool = False
    problem: Problem | None = None
    reads_progress: bool = False
    withdrawn: Withdrawn | None = None


@dataclass(frozen=True, slots=True)
class Failures:
    """What happened to one payload. `not_before_s` is on the clock of the boot `boot_id`."""

    payload: str
    version: str
    problem: Problem
    bad: int = 0
    broken_off: int = 0
    boot_id: str = ""
    not_before_s: float = 0.0


@dataclass(frozen=True, slots=True)
class State:
    """What the engine remembers (/var/lib/update_engine/state.json); if it is lost, it starts anew.

    `next_check_s` is on the clock of the boot `boot_id`, None before the first check. `checked_at_s` are
    seconds since 1970, to be shown only. `version` is the release that ran last; `reported` are failed boots
    and refusals that the service was told of. `floor` is the highest that a payload taken here has set.
    `poll_s` is how often the service wants to be asked, `reads_progress` whether it wants to know more.
    """

    boot_id: str = ""
    next_check_s: float | None = None
    busy_answers: int = 0
    checked_at_s: int = 0
    answer: str = ""
    problems: tuple[Problem, ...] = ()
    offer: Offer | None = None
    failures: tuple[Failures, ...] = ()
    floor: str = "0.0.0"
    first_version: str = ""
    version: str = ""
    reported: tuple[str, ...] = ()
    poll_s: int | None = None
    reads_progress: bool = False

    def failures_of(self, payload: str) -> Failures | None:
        """What happened to this payload before."""
        return next((each for each in self.failures if each.payload == payload), None)


@dataclass(frozen=True, slots=True)
class Asked:
    """A person wants an update now. `retry`: also of what failed here before."""

    retry: bool = False


@dataclass(frozen=True, slots=True)
class Observation:
    """All that a decision rests on. `now_s` is the boot clock; `offer` is the answer of a check just made.

    `settings` or `slots` is None if it cannot be read; `settings_problem` or `slots_problem` then says why.
    Events that wait may be told from `events_due_s` on. `reboot` is what locksmithd says, `probing` which
    health probe does not pass yet, `told` what the service heard last of the progress.
    """

    now_s: float
    boot_id: str
    state: State
    settings: Settings | None = None
    settings_problem: str = ""
    slots: SlotsState | None = None
    slots_problem: str = ""
    offer: Offer | None = None
    asked: Asked | None = None
    waiting_events: int = 0
    events_due_s: float = 0.0
    reboot: RebootWhy | None = None
    probing: str = ""
    told: Told | None = None

    @property
    def floor(self) -> Version:
        """The oldest version that may run here, before what an offer says."""
        mine = parse_version(self.state.floor)
        return max(mine, self.settings.floor) if self.settings else mine


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing until `until_s` (None: until something changes)."""

    reason: str
    until_s: float | None = None
    problems: tuple[Problem, ...] = ()
    armed: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """Ask the service. `quiet`: only say that this machine is alive, and deliver the events that wait.

    `progress` is how far an update is.
    """

    reason: str
    on_demand: bool = False
    quiet: bool = False
    progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class Install:
    """Fetch and apply an update. `afresh`: do not go on with what was fetched before."""

    offer: Offer
    reason: str
    afresh: bool = False


Action = Wait | Check | Install


@dataclass(frozen=True, slots=True)
class Why:
    """The answer to "why am I not updating?": what `update_engine_client -why --json` prints.

    `next_check_in_s` is None when no check is planned.
    """

    answer: str
    operation: str
    version: str
    slot: str | None
    group: str
    server: str
    last_answer: str = ""
    offered_version: str = ""
    hint: str = ""
    next_check_in_s: float | None = None
    problems: tuple[Problem, ...] = ()
    failed_versions: dict[str, str] = field(default_factory=dict)
    pin: str = ""
    hold: str = ""
    floor: str = "0.0.0"
    waiting_events: int = 0

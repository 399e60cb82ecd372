"""What is asked and answered. Attributes that a client left out are empty strings, None or the default."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

OK = "ok"
NO_UPDATE = "noupdate"
UNKNOWN_APPLICATION = "error-unknownApplication"
INVALID_APP_ID = "error-invalidAppId"
INTERNAL_ERROR = "error-internal"

PLATFORM = "Argosy"
"""What our machines say in `os`'s `platform`. Stock ones say `CoreOS`, with the same application id as ours:
this tells whose payloads a machine can read."""

SERVER = "argosy"
"""What our servers call themselves: they read a machine's `Progress`. No other is told of it."""

SCHEDULER = "scheduler"
ON_DEMAND = "ondemandupdate"


@dataclass(frozen=True, slots=True)
class System:
    """The element `os`. `sp` ends in the processor's architecture: `1.0.0_x86_64`."""

    platform: str = ""
    version: str = ""
    sp: str = ""
    arch: str = ""


class Stage(StrEnum):
    """How far an update is, between the events that tell of its beginning and its end."""

    DOWNLOADING = "downloading"
    VERIFYING = "verifying"
    INSTALLED = "installed"
    """It waits for the reboot."""
    REBOOTING = "rebooting"
    """Nothing keeps the machine from its reboot any more."""
    PROBING = "probing"
    """The new version runs, on trial."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Ours: how far the update to `version` is; `reason` says in words what it waits for, if it waits."""

    stage: Stage
    version: str
    percent: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Ping:
    """`active`: whether the machine is in use. `a`, `r`: days since it last said so; -1 unknown."""

    active: int | None = None
    a: int | None = None
    r: int | None = None
    progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class UpdateCheck:
    """Is there an update? Only to versions that begin with `target_version_prefix`, if there is one."""

    target_version_prefix: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """What happened on the machine; the numbers are those of `EventType`, `EventResult` and `ErrorCode`.

    `previous_version` is what it ran before (with UPDATE_COMPLETE, SUCCESS_REBOOT); `next_version` the one
    that it tried to update to, and `reason` why that failed, in words: these two only our machines send.
    """

    type: int
    result: int
    error_code: int = 0
    previous_version: str = ""
    next_version: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RequestApp:
    """One application of a machine; for an operating system there is one. `track` is the machine's group.

    `alias` is what people call the machine.
    """

    app_id: str
    version: str
    track: str = ""
    from_track: str = ""
    boot_id: str = ""
    machine_id: str = ""
    oem: str = ""
    oem_version: str = ""
    aleph_version: str = ""
    lang: str = ""
    board: str = ""
    hardware_class: str = ""
    alias: str = ""
    client: str = ""
    next_version: str = ""
    delta_okay: bool = False
    ping: Ping | None = None
    update_check: UpdateCheck | None = None
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """What a machine sends. `version` and `updater_version` name its client."""

    apps: tuple[RequestApp, ...]
    system: System = System()
    protocol: str = "3.0"
    version: str = ""
    updater_version: str = ""
    install_source: str = ""
    is_machine: bool = False
    session_id: str = ""
    request_id: str = ""
    user_id: str = ""
    test_source: str = ""


@dataclass(frozen=True, slots=True)
class Package:
    """A file to download, from each codebase in order. `sha1` and `sha256` are base64."""

    name: str
    size_bytes: int
    sha1: str = ""
    sha256: str = ""
    required: bool = True


@dataclass(frozen=True, slots=True)
class Action:
    """What to do with the packages. `sha256` (base64) is of the payload; update_engine takes it from here."""

    event: str = "postinstall"
    sha256: str = ""
    display_version: str = ""
    needs_admin: bool = False
    is_delta: bool = False
    disable_payload_backoff: bool = False
    max_failure_count_per_url: int | None = None
    metadata_signature: str = ""
    metadata_size_bytes: int | None = None
    deadline: str = ""
    prompt: bool = False
    more_info: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The update. `floor` (ours) is the oldest version that the channel allows."""

    version: str
    packages: tuple[Package, ...]
    actions: tuple[Action, ...]
    floor: str = ""


@dataclass(frozen=True, slots=True)
class UpdateAnswer:
    """The answer to an `UpdateCheck`. With status OK there is a manifest; `urls` are codebases, in order.

    `reason` (ours) says in words why there is an update or none.
    """

    status: str
    urls: tuple[str, ...] = ()
    manifest: Manifest | None = None
    poll_interval_s: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """Ours: a version that the machine is not to take, though it was offered, and why."""

    version: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ResponseApp:
    """The answer about one application. `events` is how many events were received.

    `withdrawn` belongs to the answer to a ping with progress.
    """

    app_id: str
    status: str = OK
    ping: bool = False
    update: UpdateAnswer | None = None
    events: int = 0
    withdrawn: Withdrawn | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """What a server answers. `elapsed_seconds` counts from the server's midnight."""

    apps: tuple[ResponseApp, ...]
    protocol: str = "3.0"
    server: str = ""
    elapsed_seconds: int = 0

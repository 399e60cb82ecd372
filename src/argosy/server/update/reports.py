"""What an event that a machine reports means. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from argosy.formats.omaha.codes import (
    FAILED_IN_NEW_VERSION,
    EventResult,
    EventType,
    describe_error,
    error_of,
)
from argosy.formats.omaha.model import Event, Progress, RequestApp, Stage
from argosy.formats.updateapi import State
from argosy.server.update.model import Grant

_LONGEST_REASON = 500
_STAGES = {
    Stage.DOWNLOADING: (State.DOWNLOADING, "downloads {}"),
    Stage.VERIFYING: (State.DOWNLOADED, "has downloaded {}, and verifies it"),
    Stage.INSTALLED: (State.INSTALLED, "has installed {} and waits for a reboot"),
    Stage.REBOOTING: (State.REBOOTING, "reboots into {}"),
    Stage.PROBING: (State.PROBING, "runs {} on trial, until its health probes have passed"),
}


@dataclass(frozen=True, slots=True)
class Report:
    """An event in words, and the state that the machine is in with it; None: the event tells nothing of that.

    `version` is what the event is about. `ends`: the update that was granted is over, well or badly.
    """

    text: str
    version: str
    state: State | None = None
    ends: bool = False


def read_event(event: Event, app: RequestApp, grant: Grant | None) -> Report:
    """What a machine that has `grant` says with `event`."""
    version = event.next_version or (grant.version if grant else "")
    match event.type, event.result:
        case EventType.DOWNLOAD_STARTED, _:
            return Report(f"downloads {version}".strip(), version, State.DOWNLOADING)
        case EventType.DOWNLOAD_FINISHED, EventResult.SUCCESS:
            return Report(f"has downloaded {version}".strip(), version, State.DOWNLOADED)
        case EventType.UPDATE_COMPLETE, EventResult.SUCCESS:
            return Report(f"has installed {version} and waits for a reboot", version, State.INSTALLED)
        case EventType.UPDATE_COMPLETE, EventResult.SUCCESS_REBOOT:
            came = event.previous_version.strip("0.")
            text = f"runs {app.version}, up from {event.previous_version}" if came else f"runs {app.version}"
            return Report(text, app.version, State.CURRENT, ends=True)
        case EventType.UPDATE_COMPLETE, EventResult.CANCELLED:
            why = event.reason[:_LONGEST_REASON] or "it was withdrawn"
            return Report(f"has dropped {version}: {why}", version, State.WAITING, ends=True)
        case _, EventResult.UPDATE_DEFERRED:
            return Report(f"has put off {version or 'the update'}", version)
        case _, EventResult.ERROR:
            return _failure(event, version)
    return Report(f"event {event.type} with result {event.result}", version)


def read_progress(progress: Progress) -> tuple[State, str]:
    """What a machine says between events: how far it is and, in its own words, what it waits for."""
    state, words = _STAGES[progress.stage]
    text = words.format(progress.version)
    reason = progress.reason[:_LONGEST_REASON]
    return state, f"{text}: {reason}" if reason else text


def came_back(app: RequestApp, grant: Grant | None, *, ours: bool) -> Report | None:
    """Whether a stock machine fell back: it does not say so, but it has rebooted into the old version.

    Ours tell by an event: with them a second reboot may only be another try.
    """
    if ours or grant is None or grant.state is not State.INSTALLED or not grant.boot_id:
        return None
    if app.boot_id in ("", grant.boot_id) or app.version == grant.version:
        return None
    text = f"after the reboot into {grant.version} it came up with {app.version}"
    return Report(text, grant.version, State.FELL_BACK, ends=True)


def _failure(event: Event, version: str) -> Report:
    why = event.reason[:_LONGEST_REASON] or describe_error(event.error_code)
    code = error_of(event.error_code)
    if code in FAILED_IN_NEW_VERSION and version:
        return Report(why, version, State.FELL_BACK, ends=True)
    return Report(why, version, State.FAILED, ends=True)

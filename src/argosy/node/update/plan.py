"""What the engine does next: pure. (what was observed) -> one action, with its reason in words.

The order of the questions is the order of what matters: can this machine update at all, does one wait for the
reboot, is the running version still on trial, what was offered, is it time to ask.
"""

from __future__ import annotations

from argosy.base.errors import InputError
from argosy.formats.omaha.model import Progress, Stage
from argosy.formats.version import parse_version
from argosy.node.slots.machine import bad_versions, next_slot
from argosy.node.slots.model import SlotsState
from argosy.node.update.model import (
    RESUMES,
    Action,
    Asked,
    Check,
    Failures,
    Install,
    Observation,
    Offer,
    Wait,
)
from argosy.node.update.preflight import Wishes, unwanted
from argosy.node.update.problems import Problem
from argosy.node.update.progress import due_s, waiting
from argosy.node.updateconf import Settings


def plan(seen: Observation) -> Action:
    """The next action."""
    if seen.slots is None:
        return Wait(f"this machine cannot update: {seen.slots_problem}")
    if seen.settings is None:
        return Wait(
            f"the settings of the updates are wrong: {seen.settings_problem}",
            hint="correct the file; the engine sees the change by itself",
        )
    if not seen.settings.server:
        return Wait(
            "no update service is set, so there are no updates",
            hint="set SERVER= in /etc/coreos/update.conf, or coreos.update.server in the user-data",
        )
    if seen.asked is None and seen.offer is None and (told := _due_progress(seen)):
        return Check("the update service hears how far the update is", quiet=True, progress=told)
    if seen.slots.in_trial:
        return Wait("this version is on trial: updates come after its health probes have passed")
    if seen.waiting_events and seen.now_s >= seen.events_due_s and seen.asked is None and seen.offer is None:
        return Check("the update service has to hear what happened", quiet=True)
    if version := armed_version(seen.slots):
        return _armed(seen, version)
    if seen.offer is not None:
        return _offered(seen, seen.settings, seen.slots, seen.offer)
    return _idle(seen, seen.settings)


def current_progress(seen: Observation) -> Progress | None:
    """How far the update is that waits for its reboot or its probes; None if none is, or nobody asks."""
    if seen.slots is None or seen.settings is None or not seen.state.reads_progress:
        return None
    if seen.slots.in_trial:
        return Progress(Stage.PROBING, seen.settings.version, reason=seen.probing)
    version = armed_version(seen.slots)
    return waiting(version, seen.settings.reboot_strategy, seen.reboot) if version else None


def progress_due_s(seen: Observation) -> float | None:
    """When the service is to be told of it next; None if it knows."""
    return due_s(current_progress(seen), seen.told, seen.now_s)


def _due_progress(seen: Observation) -> Progress | None:
    due = progress_due_s(seen)
    return current_progress(seen) if due is not None and due <= seen.now_s else None


def armed_version(slots: SlotsState) -> str | None:
    """The version that the next boot tries; None if none waits. It is 0.0.0 if nobody knows any more."""
    standby = slots.standby
    bits = slots.bits.of(standby)
    if bits.successful or not bits.tries or next_slot(slots.bits) != standby:
        return None
    return slots.records.version(standby) or "0.0.0"


def wishes(
    settings: Settings, slots: SlotsState, seen: Observation, offer: Offer, asked: Asked | None
) -> Wishes:
    """What this machine takes; the offer's floor counts for the offer."""
    floor = seen.floor
    if offer.floor:
        floor = max(floor, parse_version(offer.floor))
    return Wishes(
        floor=floor,
        pin=settings.pin,
        hold=settings.hold,
        failed=bad_versions(slots.records),
        retry=asked is not None and asked.retry,
    )


def _armed(seen: Observation, version: str) -> Action:
    """Like the original's: as long as the reboot is due, the engine only says that the machine is there."""
    if _due(seen):
        return Check(
            f"version {version} waits for a reboot; the service hears that this machine is alive", quiet=True
        )
    return Wait(
        f"version {version} is installed and waits for a reboot",
        until_s=seen.state.next_check_s,
        armed=version,
    )


def _idle(seen: Observation, settings: Settings) -> Action:
    if settings.hold:
        if seen.asked is None and _due(seen):
            return Check("updates are held; the service hears that this machine is alive", quiet=True)
        return Wait(
            f"updates are held: {settings.hold}",
            until_s=seen.state.next_check_s,
            hint="`update_engine_client -unhold` lets them come again",
        )
    if seen.asked is not None:
        return Check("a person asks for it", on_demand=True)
    if _due(seen):
        return Check("it is time to ask")
    state = seen.state
    return Wait(
        _joined(state.problems) or state.answer or "the update service has not been asked yet",
        until_s=state.next_check_s,
        problems=state.problems,
        hint="`update_engine_client -update` asks now" if not state.problems else "",
    )


def _due(seen: Observation) -> bool:
    due_s = seen.state.next_check_s
    return due_s is not None and seen.now_s >= due_s


def _offered(seen: Observation, settings: Settings, slots: SlotsState, offer: Offer) -> Action:
    until_s = seen.state.next_check_s
    try:
        version = parse_version(offer.version)
        takes = wishes(settings, slots, seen, offer, seen.asked)
    except InputError as error:
        return Wait(f"the service offers what is no version: {error.message}", until_s=until_s)
    if offer.version == settings.version:
        return Wait(f"version {version} is offered, and runs already", until_s=until_s)
    against = tuple(unwanted(version, takes))
    if against:
        return Wait(
            f"version {version} is offered, but {_joined(against)}", until_s=until_s, problems=against
        )
    before = seen.state.failures_of(offer.payload)
    if before is not None and seen.asked is None and _backing_off(seen, before):
        return Wait(
            f"version {version} is offered, but its payload was refused {_times(before.bad)}:"
            f" {before.problem.sentence}; it is left alone for {_duration(before.not_before_s - seen.now_s)}",
            until_s=until_s,
            problems=(before.problem,),
            hint="`update_engine_client -update` tries it now",
        )
    afresh = before is not None and before.broken_off >= RESUMES
    return Install(offer, f"version {version} is offered", afresh=afresh)


def _backing_off(seen: Observation, before: Failures) -> bool:
    """A reboot ends a pause: its clock starts anew, and somebody may have mended something."""
    return before.boot_id == seen.boot_id and seen.now_s < before.not_before_s


def _joined(problems: tuple[Problem, ...]) -> str:
    return "; ".join(problem.sentence for problem in problems)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _duration(seconds: float) -> str:
    hours = max(1, round(seconds / 3600))
    return f"{hours} h" if hours < 48 else f"{round(hours / 24)} days"

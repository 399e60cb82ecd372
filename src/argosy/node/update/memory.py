"""What the engine remembers of a check, of an installation, and of a boot: pure, from state to state."""

from __future__ import annotations

from dataclasses import replace

from argosy.formats.omaha.codes import ErrorCode, EventResult, EventType
from argosy.formats.omaha.model import Event, Withdrawn
from argosy.formats.version import parse_version
from argosy.node.slots.model import Failure, FailureKind, SlotsState
from argosy.node.update.events import short
from argosy.node.update.model import Answer, Check, Failures, Install, State
from argosy.node.update.problems import Problem, withdrawn_problem
from argosy.node.update.schedule import first_check_s, next_check_s, payload_backoff_s

_KEPT_PAYLOADS = 10
_KEPT_REPORTS = 40
_CODES = {FailureKind.BOOT: ErrorCode.BOOT_FAILED, FailureKind.HEALTH: ErrorCode.HEALTH_FAILED}


def started(state: State, boot_id: str, now_s: float, chance: float, *, unfinished: bool) -> State:
    """The engine starts. In the same boot it keeps its times; an unfinished installation goes on at once."""
    if state.boot_id == boot_id and state.next_check_s is not None:
        return replace(state, next_check_s=now_s) if unfinished else state
    return replace(state, boot_id=boot_id, next_check_s=first_check_s(now_s, chance), busy_answers=0)


def checked(state: State, action: Check, answer: Answer, now_s: float, wall_s: float, chance: float) -> State:
    """After a check. One that only delivered events before its time changes nothing of the plan."""
    due = state.next_check_s is None or now_s >= state.next_check_s
    if action.quiet and not due:
        return state
    busy_answers = state.busy_answers + 1 if answer.busy else 0
    state = replace(
        state,
        busy_answers=busy_answers,
        next_check_s=next_check_s(
            now_s,
            chance,
            busy_answers=busy_answers,
            poll_s=state.poll_s if action.quiet else answer.poll_s,
            wait_s=answer.retry_after_s,
        ),
    )
    if action.quiet:
        return state
    return replace(
        state,
        checked_at_s=int(wall_s) if answer.heard else state.checked_at_s,
        answer=answer.sentence,
        problems=(answer.problem,) if answer.problem else (),
        offer=answer.offer,
        poll_s=answer.poll_s if answer.heard else state.poll_s,
        reads_progress=answer.reads_progress if answer.heard else state.reads_progress,
    )


def installed(
    state: State, action: Install, problems: tuple[Problem, ...], floor: str, now_s: float, chance: float
) -> State:
    """After an installation; without problems it succeeded, and `floor` is to be kept."""
    offer = action.offer
    others = tuple(each for each in state.failures if each.payload != offer.payload)
    if not problems:
        highest = max(parse_version(state.floor), parse_version(floor))
        return replace(state, failures=others, problems=(), floor=str(highest))
    before = state.failures_of(offer.payload)
    failures = Failures(
        offer.payload,
        offer.version,
        problems[0],
        bad=before.bad if before else 0,
        broken_off=before.broken_off if before and not action.afresh else 0,
        boot_id=state.boot_id,
    )
    if any(problem.bad_payload for problem in problems):
        failures = replace(failures, bad=failures.bad + 1)
        if not offer.disable_backoff:
            failures = replace(failures, not_before_s=now_s + payload_backoff_s(failures.bad, chance))
    else:
        failures = replace(failures, broken_off=failures.broken_off + 1)
    return replace(state, failures=(*others, failures)[-_KEPT_PAYLOADS:], problems=problems)


def refused(version: str, problems: tuple[Problem, ...]) -> Event:
    """An update ended, or did not begin, for these reasons."""
    return Event(
        EventType.UPDATE_COMPLETE,
        EventResult.ERROR,
        problems[0].number,
        next_version=version,
        reason=short("; ".join(each.sentence for each in problems)),
    )


def dropped(state: State, withdrawn: Withdrawn) -> tuple[Event, State]:
    """After an installed version was made invalid because the service had withdrawn it."""
    found = withdrawn_problem(withdrawn.version, withdrawn.reason)
    event = Event(
        EventType.UPDATE_COMPLETE,
        EventResult.CANCELLED,
        next_version=withdrawn.version,
        reason=short(withdrawn.reason),
    )
    return event, replace(state, problems=(found,), offer=None)


def news(state: State, slots: SlotsState, version: str) -> tuple[tuple[Event, ...], State]:
    """What the service has not heard yet: versions that failed, and a new one that proved itself.

    `version` is the running one. An update counts when its slot is committed, not when it was booted.
    """
    unheard = [each for each in slots.records.failures if _name(each) not in state.reported]
    events = [_failed(each) for each in unheard]
    reported = (*state.reported, *(_name(each) for each in unheard))[-_KEPT_REPORTS:]
    state = replace(state, reported=reported, first_version=state.first_version or version)
    if slots.in_trial or state.version == version:
        return tuple(events), state
    if state.version:
        events.append(
            Event(EventType.UPDATE_COMPLETE, EventResult.SUCCESS_REBOOT, previous_version=state.version)
        )
    return tuple(events), replace(state, version=version, offer=None, answer="", problems=())


def _name(failure: Failure) -> str:
    return f"{failure.version} {failure.time_s}"


def _failed(failure: Failure) -> Event:
    return Event(
        EventType.UPDATE_COMPLETE,
        EventResult.ERROR,
        _CODES[failure.kind],
        next_version=failure.version,
        reason=short(failure.reason),
    )

"""Why this machine is not updating, in one answer. Pure."""

from __future__ import annotations

from argosy.node.update.model import Check, Install, Observation, Operation, Status, Wait, Why
from argosy.node.updateconf import Settings


def answer(status: Status, seen: Observation, action: Wait | Check | Install) -> Why:
    """Why there is no update, from what the engine would do next; or what is under way."""
    settings, slots, state = seen.settings or Settings(), seen.slots, seen.state
    wait = action if isinstance(action, Wait) else Wait(action.reason)
    words = wait.reason
    if status.operation not in (Operation.IDLE, Operation.NEED_REBOOT):
        words = _working(status)
    due_s = state.next_check_s
    return Why(
        answer=words,
        operation=status.operation,
        version=settings.version,
        slot=slots.running.upper() if slots else None,
        group=settings.group,
        server=settings.server,
        last_answer=state.answer,
        offered_version=state.offer.version if state.offer else "",
        hint=wait.hint,
        next_check_in_s=None if due_s is None else max(0.0, round(due_s - seen.now_s)),
        problems=wait.problems or state.problems,
        failed_versions={each.version: each.reason for each in slots.records.failures} if slots else {},
        pin=str(settings.pin or ""),
        hold=settings.hold,
        floor=str(seen.floor),
        waiting_events=seen.waiting_events,
    )


def _working(status: Status) -> str:
    what = {
        Operation.CHECKING: "the update service is being asked",
        Operation.AVAILABLE: f"version {status.version} is about to be fetched",
        Operation.DOWNLOADING: f"version {status.version} is being fetched: {status.progress:.0%}",
        Operation.VERIFYING: f"version {status.version} is being verified",
        Operation.FINALIZING: f"version {status.version} is being armed",
        Operation.REPORTING_ERROR: "the service is being told what went wrong",
    }
    return what[status.operation]

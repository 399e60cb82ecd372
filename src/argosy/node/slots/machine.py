"""The state machine of the slots: (what was observed, what is wanted) -> what is to be written. Pure.

The attribute bits are the truth. The boot loader cannot read them: its environment is `project`ed from them
after each change, and what it did since (a try taken, a file that it could not read) is counted into the bits
before anything else. Every plan may be cut short after any of its writes: the next `reconcile` ends it.
"""

from __future__ import annotations

from dataclasses import replace

from argosy.formats.bootenv import QUEUE_LENGTH, BootEnvironment
from argosy.formats.gpt import UsrAttributes
from argosy.node.slots.model import (
    RETURNS,
    SLOTS,
    TRIES,
    Failure,
    FailureKind,
    Plan,
    Records,
    SlotBits,
    SlotsError,
    SlotsState,
    other,
)

_MAX_PRIORITY = 15
_KEPT_FAILURES = 20
_EMPTY = UsrAttributes()
_PARTS = {"kernel": "its kernel", "initrd": "its initrd", "config": "its boot configuration"}


def bootable(bits: UsrAttributes) -> bool:
    """Whether a slot with these bits may boot, as CoreOS's boot loader read them."""
    return bits.priority > 0 and (bits.successful or bits.tries > 0)


def next_slot(bits: SlotBits) -> str:
    """The bootable slot with the highest priority; of slots that are not bootable, the likeliest to boot."""
    return max(SLOTS, key=lambda slot: (bootable(bits.of(slot)), bits.of(slot).priority, slot == "a"))


def project(bits: SlotBits) -> BootEnvironment:
    """What the boot loader is to do, so that it does what the bits say."""
    first = next_slot(bits)
    if bits.of(first).successful or not bootable(bits.of(first)):
        return BootEnvironment(saved=first)
    return BootEnvironment(
        # When the tries are used up, the other slot it is, unless there is nothing in it at all.
        saved=other(first) if bits.of(other(first)).successful else first,
        queue=(first,) * min(bits.of(first).tries, QUEUE_LENGTH),
    )


def reconcile(state: SlotsState, version: str, now_s: int) -> Plan:
    """At every boot: count what the boot loader did, and judge what it says about the slot that does not run.

    `version` is what the running /usr says; `now_s` are seconds since 1970. During a trial a version keeps
    the name that it was armed by: by that the update service offers it, and must not do so again if it fails.
    """
    bits, notes = _counted(state)
    records = state.records
    if not (state.in_trial and records.version(state.running)):
        records = replace(records, versions={**records.versions, state.running: version})
    standby = state.standby
    if not any(bootable(bits.of(slot)) for slot in SLOTS) and not bits.of(state.running).priority:
        bits = bits.having(state.running, UsrAttributes(priority=1, successful=True))
        notes += (f"no slot was marked as bootable: {_name(state.running)} runs, so it is good",)
    if why := _damage(state, bits):
        bits = bits.having(standby, _EMPTY)
        notes += (f"{_name(standby)} is not bootable any more: {why}",)
    elif why := _failure(state, bits):
        bits = bits.having(standby, _EMPTY)
        records = _failed(records, Failure(records.version(standby), standby, why, now_s, FailureKind.BOOT))
        notes += (f"{_name(standby)} failed: {why}",)
    return Plan(bits, project(bits), records, notes + _about_running(state.running, bits))


def invalidate(state: SlotsState) -> Plan:
    """Before the standby slot is written: it cannot boot. Raises `SlotsError` unless the running one can."""
    _need_committed(state, "be written")
    bits, notes = _counted(state)
    bits = bits.having(state.standby, _EMPTY)
    versions = {state.running: state.records.version(state.running)}
    records = replace(state.records, versions=versions)
    return Plan(bits, project(bits), records, (*notes, f"{_name(state.standby)} is being written"))


def arm(state: SlotsState, version: str) -> Plan:
    """The standby slot holds `version`, verified: it is to be tried next. Raises `SlotsError`."""
    _need_committed(state, "be tried")
    bits, notes = _counted(state)
    bits = _first(bits, state.standby)
    priority = bits.of(state.standby).priority
    bits = bits.having(state.standby, UsrAttributes(priority, TRIES, successful=False))
    records = replace(state.records, versions={**state.records.versions, state.standby: version}, returned=0)
    return Plan(bits, project(bits), records, (*notes, f"{_name(state.standby)} is to try {version}"))


def commit(state: SlotsState) -> Plan:
    """The running slot is good. Raises `SlotsError` if it was rejected before."""
    bits, notes = _counted(state)
    running = bits.of(state.running)
    if running.priority == 0:
        raise SlotsError(
            f"{_name(state.running)} is not on trial: it is marked as not bootable",
            hint="boot the other slot, and update again",
        )
    bits = bits.having(state.running, UsrAttributes(running.priority, 0, successful=True))
    records = replace(state.records, returned=0)
    return Plan(bits, project(bits), records, (*notes, f"{_name(state.running)} is committed"))


def reject(state: SlotsState, reason: str, now_s: int) -> Plan:
    """The running slot is bad, and never to be tried again. Raises `SlotsError` if there is no way back."""
    bits, notes = _counted(state)
    if bits.of(state.running).successful:
        raise SlotsError(f"{_name(state.running)} is committed already: it is not on trial")
    if not bits.of(state.standby).successful:
        raise SlotsError(
            f"{_name(state.running)} cannot be rejected ({reason}): there is no good slot to go back to"
        )
    bits = bits.having(state.running, _EMPTY)
    version = state.records.version(state.running)
    failure = Failure(version, state.running, reason, now_s, FailureKind.HEALTH)
    records = _failed(state.records, failure)
    return Plan(bits, project(bits), records, (*notes, f"{_name(state.running)} is rejected: {reason}"))


def return_try(state: SlotsState) -> Plan:
    """An orderly reboot during a trial: it does not count as a try."""
    bits, notes = _counted(state)
    running = bits.of(state.running)
    returned = state.records.returned
    if running.priority == 0 or running.successful:
        return Plan(bits, project(bits), state.records, notes)
    if returned >= RETURNS:
        why = f"the trial of {_name(state.running)} was interrupted {returned} times: now it counts as a try"
        return Plan(bits, project(bits), state.records, (*notes, why))
    bits = bits.having(state.running, replace(running, tries=min(running.tries + 1, TRIES)))
    records = replace(state.records, returned=returned + 1)
    return Plan(
        bits, project(bits), records, (*notes, f"{_name(state.running)} gets back the try of this boot")
    )


def prioritize(state: SlotsState, slot: str) -> Plan:
    """`slot` is to boot from now on. Raises `SlotsError` if it cannot."""
    bits, notes = _counted(state)
    if not bootable(bits.of(slot)):
        raise SlotsError(f"{_name(slot)} cannot boot", hint="`argosy slots` says what is known about it")
    bits = _first(bits, slot)
    return Plan(bits, project(bits), state.records, (*notes, f"{_name(slot)} is to boot next"))


def follow(state: SlotsState) -> Plan:
    """Someone changed the bits by hand: the boot loader is to do what they say now."""
    bits, notes = _counted(state)
    return Plan(bits, project(bits), state.records, notes)


def forget(state: SlotsState, version: str) -> Plan:
    """A person wants `version` to be tried again. Raises `SlotsError` if it never failed here."""
    left = tuple(failure for failure in state.records.failures if failure.version != version)
    if left == state.records.failures:
        raise SlotsError(f"{version} has not failed on this machine")
    bits, notes = _counted(state)
    return Plan(bits, project(bits), replace(state.records, failures=left), notes)


def bad_versions(records: Records) -> frozenset[str]:
    """Versions that failed on this machine and are not to be tried again."""
    return frozenset(failure.version for failure in records.failures if failure.version)


def _counted(state: SlotsState) -> tuple[SlotBits, tuple[str, ...]]:
    """The bits after what the boot loader did: a slot that it tried has the tries left that its queue has.

    Taking the rest, not a difference, gives the same result when a cut makes it happen twice.
    """
    bits, environment = state.bits, state.environment
    if environment is None:
        return bits, ("the boot loader's environment is missing or damaged, and is written anew",)
    notes = []
    for slot in sorted(set(environment.tried)):
        before = bits.of(slot)
        left = min(before.tries, environment.queue.count(slot))
        if not before.successful and left < before.tries:
            bits = bits.having(slot, replace(before, tries=left))
            notes.append(f"the boot loader tried {_name(slot)}: {_tries(left)} left")
    return bits, tuple(notes)


def _damage(state: SlotsState, bits: SlotBits) -> str:
    """Why the committed standby slot cannot boot, if the boot loader said so; no fault of its version."""
    environment = state.environment
    if environment is None or environment.failed_slot != state.standby:
        return ""
    if not bits.of(state.standby).successful or not bits.of(state.running).successful:
        return ""
    return _unreadable(environment)


def _failure(state: SlotsState, bits: SlotBits) -> str:
    """Why the standby slot's trial has failed; empty if it has not, or there was none."""
    standby = bits.of(state.standby)
    if standby.successful or standby.priority == 0:
        return ""
    environment = state.environment or BootEnvironment()
    if environment.failed_slot == state.standby:
        return _unreadable(environment)
    if standby.tries > 0:
        return ""
    silent = environment.tried.count(state.standby)
    if silent >= TRIES:
        return f"it did not come up in {_tries(silent)}"
    if silent:
        return f"it came up, but was not committed, and did not come up in the last {_tries(silent)}"
    return "it came up, but ended before it was committed, and had no tries left"


def _unreadable(environment: BootEnvironment) -> str:
    what = _PARTS.get(environment.failed_part, environment.failed_part)
    return f"the boot loader could not read {what}"


def _failed(records: Records, failure: Failure) -> Records:
    known = [old for old in records.failures if (old.version, old.slot) != (failure.version, failure.slot)]
    return replace(records, failures=(*known, failure)[-_KEPT_FAILURES:], returned=0)


def _first(bits: SlotBits, slot: str) -> SlotBits:
    """The same with `slot` having the higher priority."""
    mine, others = bits.of(slot), bits.of(other(slot))
    if mine.priority > others.priority:
        return bits
    if others.priority == _MAX_PRIORITY:
        others = replace(others, priority=1)
        bits = bits.having(other(slot), others)
    return bits.having(slot, replace(mine, priority=others.priority + 1))


def _need_committed(state: SlotsState, what: str) -> None:
    if not state.bits.of(state.running).successful:
        raise SlotsError(
            f"{_name(state.standby)} cannot {what}: {_name(state.running)}, which runs, is not committed",
            hint="the other slot is the way back until the health probes have passed: see `argosy health`",
        )


def _about_running(running: str, bits: SlotBits) -> tuple[str, ...]:
    mine = bits.of(running)
    if next_slot(bits) != running and (not bootable(mine) or bits.of(other(running)).successful):
        if mine.priority > 0 and not mine.successful:
            return (f"{_name(running)} is on its last try",)
        return (f"{_name(running)} runs although {_name(other(running))} is due: it boots next",)
    if not mine.successful and mine.priority > 0:
        return (f"{_name(running)} is on trial: {_tries(mine.tries)} left after this one",)
    return ()


def _tries(count: int) -> str:
    return "1 try" if count == 1 else f"{count} tries"


def _name(slot: str) -> str:
    return f"slot {slot.upper()}"

"""The slots in words, for people and for scripts. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from argosy.formats.bootenv import BootEnvironment, choose
from argosy.formats.gpt import UsrAttributes
from argosy.node.slots.machine import next_slot
from argosy.node.slots.model import SLOTS, Failure, SlotsState, other


@dataclass(frozen=True, slots=True)
class SlotReport:
    """One slot. `state` is one of good, trial, armed, failed, empty; `words` say it in full."""

    slot: str
    version: str
    running: bool
    state: str
    words: str
    priority: int
    tries: int
    successful: bool


@dataclass(frozen=True, slots=True)
class SlotsReport:
    """What `argosy slots --json` prints. `why` says why `next` boots; `next_is_trial` whether as a try."""

    slots: tuple[SlotReport, ...]
    next: str
    next_is_trial: bool
    why: str
    failures: tuple[Failure, ...]


def report(state: SlotsState) -> SlotsReport:
    """What there is to say about an observed state."""
    choice = choose(state.environment or BootEnvironment())
    return SlotsReport(
        slots=tuple(_slot(state, slot) for slot in SLOTS),
        next=choice.slot,
        next_is_trial=choice.trial,
        why=_why(state, choice.slot, trial=choice.trial),
        failures=state.records.failures,
    )


def text(found: SlotsReport) -> str:
    """The report for a terminal."""
    width = max(len(slot.version or "-") for slot in found.slots)
    lines = [
        f"{slot.slot.upper()}  {slot.version or '-':<{width}}  {slot.words}{', runs now' * slot.running}"
        for slot in found.slots
    ]
    lines += ["", f"next boot: slot {found.next.upper()}, {found.why}"]
    if found.failures:
        lines += ["", "failed here, and not tried again:"]
        lines += [
            f"  {failure.version or 'an unknown version'} in slot {failure.slot.upper()}, "
            f"{_time(failure.time_s)}: {failure.reason}"
            for failure in found.failures
        ]
    return "\n".join(lines)


def _slot(state: SlotsState, slot: str) -> SlotReport:
    bits = state.bits.of(slot)
    kind, words = _describe(state, slot, bits)
    return SlotReport(
        slot,
        state.records.version(slot),
        slot == state.running,
        kind,
        words,
        bits.priority,
        bits.tries,
        bits.successful,
    )


def _describe(state: SlotsState, slot: str, bits: UsrAttributes) -> tuple[str, str]:
    if bits.successful and bits.priority:
        return "good", "good"
    if bits.priority and slot == state.running:
        return "trial", f"on trial: not committed yet, {_tries(bits.tries)} left after this one"
    if bits.priority and bits.tries:
        return "armed", f"to be tried: {_tries(bits.tries)}"
    if bits.priority:
        return "failed", "failed: no tries left"
    version = state.records.version(slot)
    for failure in reversed(state.records.failures):
        if failure.slot == slot and failure.version == version:
            return "failed", f"failed: {failure.reason}"
    return "empty", "not bootable: empty, or being written"


def _why(state: SlotsState, slot: str, *, trial: bool) -> str:
    second = other(slot)
    mine, others = state.bits.of(slot), state.bits.of(second)
    if state.environment is None:
        return "because the boot loader's environment is missing or damaged: it then takes slot A"
    if trial:
        return f"as a try: it has {_tries(len(state.environment.queue))} to come up and be committed"
    if next_slot(state.bits) != slot:
        return f"because the boot loader does not know yet that slot {second.upper()} is due"
    if others.priority and not others.successful and second == state.running:
        return f"because slot {second.upper()} is on its last try, and not committed yet"
    if not others.successful:
        return "the only one that is good"
    return "which has the higher priority" if mine.priority > others.priority else "the first of two equals"


def _tries(count: int) -> str:
    return "1 try" if count == 1 else f"{count or 'no'} tries"


def _time(time_s: int) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d %H:%M UTC")

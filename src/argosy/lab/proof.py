"""Did a rollout keep its promises? Judged from what was seen before, during and after it: pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from argosy.lab.ticks import Tally, Tick


@dataclass(frozen=True, slots=True)
class Runs:
    """What a machine runs: its version, the slot that it comes from, and the kernel's id of the boot."""

    version: str
    slot: str
    boot_id: str


@dataclass(frozen=True, slots=True)
class Change:
    """A machine's way from one version to the next, as clients of its sample service saw it.

    It is away from the last answer with the old version, `last_old`, to the first with the new one,
    `first_new` (both UTC, ISO 8601).
    """

    machine: str
    last_old: str
    first_new: str


def changes(ticks: Iterable[Tick], old: str, new: str) -> list[Change]:
    """The machines that came from version `old` to `new`, in that order.

    The sample service's answer ends with the version of the system that it runs on.
    """
    last_old: dict[str, str] = {}
    first_new: dict[str, str] = {}
    for tick in ticks:
        for machine, answer in tick.answers.items():
            version = answer.split()[-1] if answer else None
            if version == old:
                last_old[machine] = tick.at
            elif version == new:
                first_new.setdefault(machine, tick.at)
    found = [
        Change(machine, last_old[machine], at) for machine, at in first_new.items() if machine in last_old
    ]
    return sorted(found, key=lambda change: change.last_old)


def broken_by_update(
    before: Mapping[str, Runs],
    after: Mapping[str, Runs],
    new: str,
    changed: Sequence[Change],
    tally: Tally,
    quorum_lost: int,
) -> list[str]:
    """The promises that an update to version `new` has broken, in words; empty if it kept them all."""
    problems = [
        f"{name} runs {runs.version}, not {new}" for name, runs in after.items() if runs.version != new
    ]
    problems += [
        f"{name} runs from slot {runs.slot}, as before"
        for name, runs in after.items()
        if runs.slot == before[name].slot
    ]
    problems += [
        f"{name} was never seen to go from the old version to {new}"
        for name in before.keys() - {change.machine for change in changed}
    ]
    problems += [
        f"{second.machine} left before {first.machine} was back"
        for first, second in pairwise(changed)
        if second.last_old < first.first_new
    ]
    return problems + _service(tally, quorum_lost)


def broken_by_bad_version(
    before: Mapping[str, Runs], after: Mapping[str, Runs], culprit: str, tally: Tally, quorum_lost: int
) -> list[str]:
    """The promises broken where one machine, the `culprit`, fell back, and the rollout stopped."""
    problems = [
        f"{name} runs {runs.version} from slot {runs.slot}, not {was.version} from {was.slot}"
        for name, runs in after.items()
        if (runs.version, runs.slot) != ((was := before[name]).version, was.slot)
    ]
    problems += [
        f"{name} has rebooted"
        for name, runs in after.items()
        if name != culprit and runs.boot_id != before[name].boot_id
    ]
    if after[culprit].boot_id == before[culprit].boot_id:
        problems.append(f"{culprit} has not tried the version")
    return problems + _service(tally, quorum_lost)


def _service(tally: Tally, quorum_lost: int) -> list[str]:
    problems = []
    if not tally.ticks:
        problems.append("nobody was asked")
    if tally.missed:
        problems.append(f"{tally.missed} of {tally.ticks} ticks were answered by no machine")
    if quorum_lost:
        problems.append(f"etcd was without quorum in {quorum_lost} samples")
    return problems

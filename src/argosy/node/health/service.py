"""`health`: run by systemd on a trial boot. It commits the version if all probes pass; else it goes back."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from argosy.base.errors import ArgosyError, InputError, describe
from argosy.base.files import replace_file
from argosy.base.log import set_up_logging
from argosy.base.notify import notify
from argosy.base.run import run
from argosy.node.health.model import Decision, Result, Verdict
from argosy.node.health.probes import Probe, probes
from argosy.node.health.verdict import judge
from argosy.node.slots.esp import device, mounted
from argosy.node.slots.model import SlotsError
from argosy.node.slots.store import Slots, this_machine
from argosy.node.updateconf import PROBING_FILE, Settings, read_settings

log = logging.getLogger(__name__)

DECIDED = Path("/run/argosy/trial-decided")
"""Whoever decides a trial leaves this: argosy-trial.service then does not end it."""

_ESP = Path("/run/argosy/health-esp")
_PAUSE_S = 5.0


@dataclass(frozen=True, slots=True)
class Gate:
    """What the gate stands on. `up_s` are the seconds since the kernel started.

    `tell` is called with the reason for waiting when that changes.
    """

    probes: Callable[[], list[Probe]]
    deadline_s: Callable[[], float]
    up_s: Callable[[], float]
    sleep: Callable[[float], None]
    tell: Callable[[str], None] = lambda reason: None

    def verdict(self) -> Verdict:
        """Ask all probes again and again until they pass or time is over."""
        said = ""
        while True:
            verdict = judge(self._round(), self.up_s(), self.deadline_s())
            if verdict.decision is not Decision.WAIT:
                return verdict
            if verdict.reason != said:
                log.info("not healthy yet: %s", verdict.reason)
                self.tell(verdict.reason)
                said = verdict.reason
            self.sleep(_PAUSE_S)

    def _round(self) -> list[Result]:
        results = []
        for probe in self.probes():
            notify("WATCHDOG=1", f"STATUS=asking {probe.name}")
            results.append(probe.result())
        return results


def main() -> int:
    """Entry point of /usr/lib/argosy/health."""
    set_up_logging()
    notify("READY=1")
    try:
        with _slots() as slots:
            state = slots.observe()
            goes_back = slots.next_boot().slot != state.running
        if state.in_trial:
            verdict = _gate().verdict()
            log.info("%s", verdict.reason)
            with _slots() as slots:
                goes_back = decide(slots, verdict)
        elif goes_back:
            log.warning("slot %s is not on trial any more: the other slot is due", state.running.upper())
        _leave_word()
        if goes_back:
            run(["systemctl", "--no-block", "reboot"])
    except ArgosyError as error:
        log.error("%s", describe(error, "health"))
        return error.exit_code
    return 0


def decide(slots: Slots, verdict: Verdict) -> bool:
    """Commit or reject. Whether the machine is to reboot: a version without a way back stays, uncommitted."""
    if verdict.decision is Decision.COMMIT:
        slots.commit()
        return False
    try:
        slots.reject(verdict.reason)
    except SlotsError as error:
        log.error("%s", describe(error, "health"))
        return False
    return True


def deadline_s(read: Callable[[], Settings]) -> float:
    """The deadline of update.conf, or the default if that is not valid: a probe says so."""
    try:
        return read().health_deadline_s
    except InputError:
        return Settings().health_deadline_s


def _gate() -> Gate:
    return Gate(
        probes=lambda: probes(read_settings),
        deadline_s=lambda: deadline_s(read_settings),
        up_s=lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
        sleep=time.sleep,
        tell=_tell_engine,
    )


@contextlib.contextmanager
def _slots() -> Iterator[Slots]:
    """The ESP is mounted for this alone: in a boot that halts half-way there is no automount of /boot."""
    with mounted(device(), _ESP) as esp:
        yield this_machine(esp)


def _tell_engine(reason: str) -> None:
    PROBING_FILE.parent.mkdir(parents=True, exist_ok=True)
    replace_file(PROBING_FILE, reason.encode())


def _leave_word() -> None:
    DECIDED.parent.mkdir(parents=True, exist_ok=True)
    DECIDED.touch()

"""Why a machine has not rebooted: what locksmithd writes down below /run, and `locksmithctl why` prints."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

PATH = "/run/locksmith/why.json"


class State(StrEnum):
    """The words of the state file (from coreos/locksmith 0.6.2, `pkg/coordinatorconf`)."""

    STARTING = "starting"
    DISABLED = "disabled"
    RUNNING = "running"
    REBOOT_PLANNED = "reboot-planned"
    REBOOTING = "rebooting"


@dataclass(frozen=True, slots=True)
class Why:
    """The answer to "why has this machine not rebooted?".

    `at_s` are seconds since 1970: when it was so. `holds`: this machine has a lock.
    """

    answer: str
    state: State
    strategy: str
    hint: str = ""
    wanted: str = ""
    group: str = ""
    holds: bool = False
    windows: tuple[str, ...] = ()
    at_s: int = 0

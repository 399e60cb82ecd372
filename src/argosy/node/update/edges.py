"""All that the engine touches: `service.py` gives it the machine, tests what they like."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from argosy.formats.rebootwhy import Why as RebootWhy
from argosy.node.slots.store import Slots
from argosy.node.update.process import Worker
from argosy.node.update.store import Store
from argosy.node.updateconf import Settings


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this machine is, as long as it is up."""

    boot_id: str = ""
    machine_id: str = ""
    oem: str = ""
    oem_version: str = ""


@dataclass(frozen=True, slots=True)
class Edges:
    """What the engine stands on. `slots` raises `ArgosyError` where there are none; `read_settings` too.

    `read_reboot` has locksmithd's answer to why, `read_probing` which health probe does not pass yet.
    `boot_clock` is CLOCK_BOOTTIME, `wall_clock` seconds since 1970, `chance` a random number in [0, 1).
    """

    store: Store
    slots: Callable[[], Slots]
    read_settings: Callable[[], Settings]
    worker: Worker
    keys: Path
    identity: Identity = field(default_factory=Identity)
    boot_clock: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME)
    wall_clock: Callable[[], float] = time.time
    chance: Callable[[], float] = random.random
    host_name: Callable[[], str] = socket.gethostname
    read_reboot: Callable[[], RebootWhy | None] = lambda: None
    read_probing: Callable[[], str] = lambda: ""

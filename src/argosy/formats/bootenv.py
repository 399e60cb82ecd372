"""What the boot loader remembers between boots: the environment block of os/grub/grub.cfg.

`saved_slot` is the committed slot; `try_1` to `try_3` are a queue of tries; `tried` has one letter for each
try that the loader took since the system last looked; `failed` is what the loader itself saw go wrong.
All of it stands in the first sector of the block, so that one write changes it as a whole.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from argosy.formats import grubenv
from argosy.formats.gpt import SECTOR_BYTES

QUEUE_LENGTH = 3
"""The most tries that the loader can hold."""

_TRIES = tuple(f"try_{number}" for number in range(1, QUEUE_LENGTH + 1))
_SLOTS = frozenset("ab")
_FAILED = re.compile(r"([ab]):([a-z]+)")


@dataclass(frozen=True, slots=True)
class BootEnvironment:
    """Slots are `a` and `b`. `failed` is `SLOT:PART`, such as `b:kernel`, or empty."""

    saved: str = "a"
    queue: tuple[str, ...] = ()
    tried: str = ""
    failed: str = ""

    @property
    def failed_slot(self) -> str:
        """The slot of which the loader could not read a file; empty if there was none."""
        match = _FAILED.fullmatch(self.failed)
        return match[1] if match else ""

    @property
    def failed_part(self) -> str:
        """The file that it could not read: `kernel`, `initrd`, `config`; empty if there was none."""
        match = _FAILED.fullmatch(self.failed)
        return match[2] if match else ""


@dataclass(frozen=True, slots=True)
class Choice:
    """What boots: the slot, whether as a try, and the block as the loader saves it before."""

    slot: str
    trial: bool
    environment: BootEnvironment


def encode(environment: BootEnvironment) -> bytes:
    """The block. Raises `GrubEnvError` if its variables do not fit into the first sector."""
    tries = environment.queue + ("",) * (QUEUE_LENGTH - len(environment.queue))
    block = grubenv.encode(
        {
            "saved_slot": environment.saved,
            **dict(zip(_TRIES, tries, strict=True)),
            "tried": environment.tried,
            "failed": environment.failed,
        }
    )
    if block[SECTOR_BYTES:].strip(b"#"):
        raise grubenv.GrubEnvError("the boot loader's variables need more than one sector")
    return block


def decode(block: bytes) -> BootEnvironment:
    """What a block says, as the loader understands it. Raises `GrubEnvError` unless it is a block, whole."""
    variables = grubenv.decode(block)
    queue = []
    for name in _TRIES:
        if not variables.get(name):
            break
        queue.append(_slot(variables[name]))
    return BootEnvironment(
        saved=_slot(variables.get("saved_slot", "")),
        queue=tuple(queue),
        tried="".join(letter for letter in variables.get("tried", "") if letter in _SLOTS),
        failed=variables.get("failed", ""),
    )


def choose(environment: BootEnvironment) -> Choice:
    """What the loader does at its start: it takes the first try of the queue, or else the committed slot."""
    if not environment.queue:
        return Choice(environment.saved, False, environment)
    slot, *rest = environment.queue
    left = replace(environment, queue=tuple(rest), tried=environment.tried + slot)
    return Choice(slot, True, left)


def could_not_load(environment: BootEnvironment, slot: str, part: str) -> BootEnvironment:
    """What the loader saves when a slot's file is missing or unreadable, before it turns to another slot."""
    return replace(environment, queue=(), failed=f"{slot}:{part}")


def _slot(value: str) -> str:
    """The loader takes whatever is not `b` for `a`."""
    return "b" if value == "b" else "a"

"""A payload's way into the standby slot: as a stream, in constant memory, resumable between two operations.

The order is what makes it safe: the slot is marked as not bootable before its first byte changes, and armed
only after every part was read back from the disk and found right. Whatever ends this in between (power, a
server, a full disk), the slot stays invalid, and the next call goes on or begins anew.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from argosy.formats import payload
from argosy.formats.payload import USR, Header, Manifest, Operation, Part, PayloadError
from argosy.formats.version import Version, parse_version
from argosy.node.slots.model import SlotsError
from argosy.node.update.journal import Journal, Progress
from argosy.node.update.problems import (
    Code,
    Problem,
    UpdateError,
    kernel_hash_problem,
    payload_problem,
    problem,
    usr_hash_problem,
)
from argosy.node.update.target import Target

_FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
# What is worth going on from: nothing that was written is in doubt.
_RESUMABLE = frozenset(
    (Code.UNREACHABLE, Code.STALLED, Code.BROKEN_OFF, Code.HTTP_STATUS, Code.REDIRECTS, Code.ESP_FULL)
)


class Source(Protocol):
    """A payload's bytes, wherever they come from."""

    size_bytes: int

    def seek(self, position: int) -> None:
        """Go on reading at another place."""

    def read(self, count: int) -> bytearray:
        """The next `count` bytes, all of them. Raises `UpdateError`."""

    def finish(self) -> None:
        """All has been read. Raises `UpdateError` if there is more."""

    def distrust(self, problem: Problem) -> None:
        """What was read is wrong: take another server. Raises `UpdateError` without one."""


class Slots(Protocol):
    """What applying an update needs of the slots. Both raise `SlotsError`."""

    def invalidate(self) -> object:
        """The standby slot cannot boot."""

    def arm(self, version: str) -> object:
        """The standby slot is to be tried next."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the payload has to be. `keys` maps the ids of trusted keys to the keys; `verify` is Ed25519's."""

    application: str
    version: str
    keys: Mapping[str, bytes]
    verify: Callable[[bytes, bytes, bytes], bool]


@dataclass(frozen=True, slots=True)
class Opened:
    """A payload that is trusted. `signed_sha256` names it."""

    header: Header
    manifest: Manifest
    signed_sha256: str


@dataclass(frozen=True, slots=True)
class Steps:
    """Whom to tell when all is written, and when all is verified."""

    written: Callable[[], None] = lambda: None
    verified: Callable[[], None] = lambda: None


def open_payload(source: Source, wanted: Wanted) -> Opened:
    """Read and check all that comes before the data. Raises `UpdateError`."""
    while True:
        try:
            return _open(source, wanted)
        except PayloadError as error:
            source.distrust(payload_problem(error))


def apply(
    opened: Opened,
    source: Source,
    target: Target,
    journal: Journal,
    slots: Slots,
    *,
    afresh: bool,
    steps: Steps,
) -> None:
    """Put the payload into the standby slot and arm it. Raises `UpdateError`; the slot is then invalid.

    `afresh` begins at the first operation, whatever was done before.
    """
    done = 0 if afresh else _done_before(opened, target, journal)
    with _refused_by_slots():
        slots.invalidate()
    try:
        _write(opened, source, target, journal, done)
        source.finish()
        steps.written()
        _verify(opened.manifest, target)
        steps.verified()
    except UpdateError as error:
        _tidy_up(target, journal, resumable={each.code for each in error.problems} <= _RESUMABLE)
        raise
    with _refused_by_slots():
        slots.arm(opened.manifest.version)
    journal.remove()


def _tidy_up(target: Target, journal: Journal, *, resumable: bool) -> None:
    """If a disk refuses even that, the journal stays, and the next start of the engine tries it again."""
    with contextlib.suppress(OSError):
        target.remove_partial()
        if not resumable:
            journal.remove()


def _open(source: Source, wanted: Wanted) -> Opened:
    source.seek(0)
    head = payload.read_head(
        lambda count: bytes(source.read(count)), source.size_bytes, wanted.keys, wanted.verify
    )
    _check_wanted(head.manifest, wanted)
    return Opened(head.header, head.manifest, hashlib.sha256(head.signed).hexdigest())


def _check_wanted(manifest: Manifest, wanted: Wanted) -> None:
    """The floor is a matter of the pre-flight check, which names all reasons at once."""
    payload.check_wanted(
        manifest, application=wanted.application, floor=Version(0), version=parse_version(wanted.version)
    )


def _done_before(opened: Opened, target: Target, journal: Journal) -> int:
    before = journal.read()
    if before is None or (before.signed_sha256, before.slot) != (opened.signed_sha256, target.slot):
        return 0
    return before.operations_done


def _write(opened: Opened, source: Source, target: Target, journal: Journal, done: int) -> None:
    def remember(count: int) -> None:
        with _state_is_full():
            journal.write(Progress(opened.signed_sha256, target.slot, count))

    remember(done)
    with _not_written(USR):
        target.remove_partial()
        if not done:
            target.remove_files()
    first = 0
    for part in opened.manifest.parts:
        end = first + len(part.operations)
        for number in range(max(first, done), end):
            _perform(opened.header, part, part.operations[number - first], source, target)
            # A file on the ESP counts when it is whole: until then it has a name that the next start removes.
            if part.name == USR and number + 1 < end:
                remember(number + 1)
        if done < end:
            with _not_written(part.name):
                target.finish(part.name, part.size_bytes)
            remember(end)
        first = end


def _perform(header: Header, part: Part, operation: Operation, source: Source, target: Target) -> None:
    while True:
        source.seek(header.data_at + operation.data_offset)
        data = source.read(operation.data_bytes)
        try:
            with _not_written(part.name):
                target.write(part.name, operation.target_offset, payload.unpack(part, operation, data))
            return
        except PayloadError as error:
            source.distrust(payload_problem(error))


def _verify(manifest: Manifest, target: Target) -> None:
    for part in manifest.parts:
        with _not_written(part.name):
            found = target.sha256(part.name, part.size_bytes)
        if found != part.sha256:
            raise UpdateError(usr_hash_problem() if part.name == USR else kernel_hash_problem(part.name))


@contextmanager
def _not_written(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if name != USR and error.errno in _FULL:
            sentence = "the EFI system partition is full"
            raise UpdateError(problem(Code.ESP_FULL, sentence, hint="make room below /boot")) from error
        what = "the standby slot" if name == USR else f"{name} on the EFI system partition"
        raise UpdateError(problem(Code.NOT_WRITTEN, f"{what} cannot be written or read: {error}")) from error


@contextmanager
def _state_is_full() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        sentence = f"the progress of the update cannot be kept: {error}"
        raise UpdateError(
            problem(Code.STATE_FULL, sentence, hint="make room on the root file system")
        ) from error


@contextmanager
def _refused_by_slots() -> Iterator[None]:
    try:
        yield
    except (SlotsError, OSError) as error:
        hint = getattr(error, "hint", None) or ""
        raise UpdateError(problem(Code.NOT_ARMED, f"the slots refuse it: {error}", hint=hint)) from error

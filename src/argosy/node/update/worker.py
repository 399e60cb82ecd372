"""The engine's worker: does one task and ends, and its memory goes with it.

`python3 -I -m argosy.node.update.worker` reads a `Task` from standard input and writes `Report`s, one a line.
It may be killed at any moment: what it does is durable step by step.
"""

from __future__ import annotations

import logging
import random
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from argosy.base import ed25519
from argosy.base.decode import decode_json, encode_json
from argosy.base.errors import ArgosyError
from argosy.base.files import locked
from argosy.base.log import set_up_logging
from argosy.formats.omaha.codes import EventResult, EventType
from argosy.formats.omaha.model import Event
from argosy.formats.version import Version, parse_version
from argosy.node.slots.store import Slots
from argosy.node.update import omaha
from argosy.node.update.apply import Opened, Steps, Wanted, apply, open_payload
from argosy.node.update.events import EventQueue
from argosy.node.update.fetch import Download, Patience
from argosy.node.update.memory import refused
from argosy.node.update.model import Operation
from argosy.node.update.preflight import Room, Wishes, no_key, preflight
from argosy.node.update.problems import Code, Problem, UpdateError, problem
from argosy.node.update.store import Store
from argosy.node.update.target import SlotTarget, free_bytes, freed_bytes
from argosy.node.update.tasks import CheckTask, Installed, InstallTask, Report, Task, places_of
from argosy.node.update.teller import Teller

log = logging.getLogger(__name__)

_REPORT_EVERY_S = 1.0

Tell = Callable[[Report], None]


def main() -> int:
    """Entry point."""
    set_up_logging()
    task = decode_json(sys.stdin.buffer.read(), Task, source="task")
    try:
        if task.check is not None:
            check(task.check, _tell)
        if task.install is not None:
            with locked(Path(task.install.folder) / "lock", busy="an update is under way already"):
                install(task.install, _tell, Patience(failures=task.install.offer.failures_per_url))
    except ArgosyError as error:
        log.error("%s", error)
        return 1
    return 0


def _tell(report: Report) -> None:
    sys.stdout.buffer.write(encode_json(report) + b"\n")
    sys.stdout.buffer.flush()


def check(task: CheckTask, tell: Tell) -> None:
    """Ask the service, and tell it the events that wait."""
    events = Store(Path(task.folder)).events
    waiting = events.waiting()
    answer = omaha.ask(
        task.server,
        omaha.request(
            task.machine,
            events=waiting,
            check=not task.quiet,
            on_demand=task.on_demand,
            pin=task.pin,
            progress=task.progress,
        ),
    )
    if answer.heard:
        events.told(waiting)
    tell(Report(answer=answer))


def install(task: InstallTask, tell: Tell, patience: Patience) -> None:
    """Fetch and apply, and tell the service how it goes. What fails is told by the report `installed`."""
    store = Store(Path(task.folder))
    teller = Teller(task)
    news = _News(task, store.events, teller)
    try:
        opened = _install(task, store, tell, patience, news)
    except UpdateError as error:
        tell(Report(operation=Operation.REPORTING_ERROR))
        news.failed(error.problems)
        tell(Report(installed=Installed(task.offer.version, problems=error.problems)))
        return
    teller.end()
    news.happened(EventType.UPDATE_COMPLETE)
    tell(Report(installed=Installed(opened.manifest.version, floor=str(_floor(task, opened)))))


def _install(task: InstallTask, store: Store, tell: Tell, patience: Patience, news: _News) -> Opened:
    slots = Slots(places_of(task.slots))
    keys = _trusted_keys(Path(task.keys))
    meter = _Meter(task.offer.size_bytes, tell)

    def moved(position: int) -> None:
        meter.moved(position)
        news.teller.moved(position)

    download = Download(
        task.offer.urls,
        task.offer.size_bytes,
        patience,
        chance=random.random,
        note=lambda text: tell(Report(note=text)),
        moved=moved,
    )
    opened = open_payload(
        download, Wanted(task.machine.application, task.offer.version, keys, ed25519.verify)
    )
    try:
        paths = slots.standby_target()
        room = Room(
            slot_bytes=paths.size_bytes,
            esp_bytes=free_bytes(slots.places.esp) + freed_bytes(paths),
            state_bytes=free_bytes(store.folder),
        )
        wishes = _wishes(task, slots)
    except (OSError, ArgosyError) as error:
        raise UpdateError(problem(Code.NOT_OPENED, f"the standby slot cannot be opened: {error}")) from error
    if against := preflight(opened.manifest, wishes, room, keys=len(keys)):
        raise UpdateError(*against)
    news.happened(EventType.DOWNLOAD_STARTED)

    def written() -> None:
        tell(Report(operation=Operation.VERIFYING))
        news.teller.verifying()
        news.happened(EventType.DOWNLOAD_FINISHED)

    steps = Steps(written, lambda: tell(Report(operation=Operation.FINALIZING)))
    apply(opened, download, SlotTarget(paths), store.journal, slots, afresh=task.afresh, steps=steps)
    return opened


def _trusted_keys(folder: Path) -> dict[str, bytes]:
    """The public keys of a folder by their ids. Raises `UpdateError` if there are none."""
    keys = {}
    for path in sorted(folder.glob("*.pem")):
        pem = path.read_bytes()
        keys[ed25519.key_id(pem, source=str(path))] = pem
    if not keys:
        raise UpdateError(no_key())
    return keys


def _wishes(task: InstallTask, slots: Slots) -> Wishes:
    return Wishes(
        floor=max(parse_version(task.floor), _offered_floor(task)),
        pin=parse_version(task.pin) if task.pin else None,
        hold=task.hold,
        failed=slots.failed_versions(),
        retry=task.retry,
    )


def _offered_floor(task: InstallTask) -> Version:
    return parse_version(task.offer.floor) if task.offer.floor else Version(0)


def _floor(task: InstallTask, opened: Opened) -> Version:
    """What is to be remembered. An answer's floor is not signed: it never rises above a version that is."""
    return max(opened.manifest.parsed_floor, min(_offered_floor(task), opened.manifest.parsed_version))


class _News:
    """Tells the update service what happens, at once if it is there."""

    def __init__(self, task: InstallTask, events: EventQueue, teller: Teller) -> None:
        self._task = task
        self._events = events
        self.teller = teller

    def happened(self, kind: EventType) -> None:
        self._send(Event(kind, EventResult.SUCCESS, next_version=self._task.offer.version))

    def failed(self, problems: tuple[Problem, ...]) -> None:
        event = refused(self._task.offer.version, problems)
        if any(each.code == Code.WITHDRAWN for each in problems):
            event = replace(event, result=EventResult.CANCELLED, error_code=0)
        self.teller.end()
        self._send(event)

    def _send(self, event: Event) -> None:
        try:
            self._events.add(event)
        except OSError as error:
            log.warning("an event for the update service is lost: %s", error)
            return
        waiting = self._events.waiting()
        request = omaha.request(self._task.machine, events=waiting, ping=False)
        with self.teller.line:
            answer = omaha.ask(self._task.server, request)
        if answer.heard:
            self._events.told(waiting)


class _Meter:
    """Reports how far the download is, not more often than somebody would look."""

    def __init__(self, total_bytes: int, tell: Tell) -> None:
        self._total_bytes = total_bytes
        self._tell = tell
        self._last_s = 0.0

    def moved(self, position: int) -> None:
        now_s = time.monotonic()
        if now_s - self._last_s >= _REPORT_EVERY_S or position == self._total_bytes:
            self._last_s = now_s
            self._tell(Report(Operation.DOWNLOADING, position, self._total_bytes))


if __name__ == "__main__":
    raise SystemExit(main())

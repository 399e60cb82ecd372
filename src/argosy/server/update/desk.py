"""Where machines ask: an Omaha request to decisions, what they change, and the answer.

Decisions are made on what is in memory, so a request that changes nothing touches no disk.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy.exc import SQLAlchemyError

from argosy.base.errors import InputError
from argosy.formats.omaha import model as omaha
from argosy.formats.omaha.codes import EventResult, EventType
from argosy.formats.updateapi import State, Stop
from argosy.server.update import store
from argosy.server.update.catalogue import Application, Going
from argosy.server.update.model import Asker, Decision, Grant, Group, Limits, Package
from argosy.server.update.policy import decide, stopped_words, withdrawal
from argosy.server.update.reports import Report, came_back, read_event, read_progress
from argosy.server.update.store import Happening, Sighting
from argosy.server.update.visit import Effects, Visit
from argosy.server.update.writer import Writer

PACKAGES = "/packages"

_DAY_S = 86400
_SOON_S = 60
_LONGEST_SOON_S = 2700  # as often as machines ask by themselves
_ASKING_A_SECOND = 20
_MAX_APPS = 8
_MAX_EVENTS = 32
_LONGEST_NAME = 64
_LARGEST_NUMBER = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: its address, and the address at which it asked, without a slash at the end."""

    address: str
    base_url: str


class Desk:
    """Belongs to the event loop."""

    def __init__(
        self,
        applications: Mapping[str, Application],
        writer: Writer,
        limits: Limits,
        clock: Callable[[], float],
    ) -> None:
        self._applications = applications
        self._writer = writer
        self._limits = limits
        self._clock = clock

    async def answer(self, request: omaha.Request, caller: Caller) -> omaha.Response:
        """Answer a request. What it grants, and the events that it tells of, are on the disk by then.

        Raises `SQLAlchemyError` if they cannot be: then nothing was granted or heard, and the machine will
        ask and tell again.
        """
        await self._writer.room()
        now_s = self._clock()
        effects = Effects()
        try:
            apps = tuple(
                self._visit(app, request, caller, now_s, effects) for app in request.apps[:_MAX_APPS]
            )
            if effects.changes:
                await self._writer.write(*effects.changes)
        except (SQLAlchemyError, InputError):
            for undo in reversed(effects.undo):
                undo()
            raise
        return omaha.Response(apps, server=omaha.SERVER, elapsed_seconds=int(now_s % _DAY_S))

    def _visit(
        self,
        app: omaha.RequestApp,
        request: omaha.Request,
        caller: Caller,
        now_s: float,
        effects: Effects,
    ) -> omaha.ResponseApp:
        known = self._applications.get(app.app_id)
        if known is None:
            return omaha.ResponseApp(app.app_id[:_LONGEST_NAME], omaha.UNKNOWN_APPLICATION)
        _check_names(app)
        ours = request.system.platform == omaha.PLATFORM
        visit = Visit(known, app, ours, _architecture(request.system), now_s, effects)
        if app.machine_id:
            self._hear(visit)
        update = self._decide(visit, caller) if app.update_check else None
        if app.machine_id:
            self._writer.note(_sighting(visit, caller))
        return omaha.ResponseApp(
            app.app_id, omaha.OK, app.ping is not None, update, len(app.events), _withdrawn(visit)
        )

    def _hear(self, visit: Visit) -> None:
        """Take in what the machine tells."""
        known, app = visit.known, visit.app
        grant = known.grants.get(app.machine_id)
        fell_back = came_back(app, grant, ours=visit.ours)
        if fell_back:
            self._take(visit, fell_back)
        for event in app.events[:_MAX_EVENTS]:
            report = read_event(event, app, known.grants.get(app.machine_id))
            self._take(visit, report, event)
            if event.type == EventType.UPDATE_COMPLETE and event.result == EventResult.SUCCESS_REBOOT:
                self._prove(visit)
        if app.ping and app.ping.progress:
            self._get_on(visit, app.ping.progress)
        grant = known.grants.get(app.machine_id)
        if grant:
            known.put_grant(replace(grant, heard_s=visit.now_s))

    def _get_on(self, visit: Visit, progress: omaha.Progress) -> None:
        """The machine says how far it is: that is noted, and written at once only if it is a step."""
        state, visit.reason = read_progress(progress)
        visit.state, visit.percent = state, progress.percent
        grant = visit.known.grants.get(visit.app.machine_id)
        if grant and grant.version == progress.version and grant.state is not state:
            visit.set_grant(replace(grant, state=state, heard_s=visit.now_s))

    def _take(self, visit: Visit, report: Report, event: omaha.Event | None = None) -> None:
        app, machine = visit.known, visit.app.machine_id
        group = app.groups.get(visit.app.track)
        grant = app.grants.get(machine)
        if report.state:
            visit.state, visit.reason = report.state, report.text
        if grant and report.ends:
            done = report.state is State.CURRENT and grant.version == visit.app.version
            visit.end_grant(grant, done=done)
        elif grant and report.state:
            boot_id = visit.app.boot_id if report.state is State.INSTALLED else grant.boot_id
            visit.set_grant(replace(grant, state=report.state, heard_s=visit.now_s, boot_id=boot_id))
        self._record(visit, report, event)
        if report.state is State.FELL_BACK and group:
            self._stop(visit, group, report)

    def _record(self, visit: Visit, report: Report, event: omaha.Event | None) -> None:
        happening = Happening(
            visit.known.id,
            visit.now_s,
            report.text,
            visit.app.machine_id,
            visit.app.track,
            report.version or None,
            *((event.type, event.result, event.error_code) if event else ()),
        )
        self._remember(visit, happening)

    def _remember(self, visit: Visit, happening: Happening) -> None:
        keep = self._limits.events_per_machine
        visit.write(lambda connection: store.add_event(connection, happening, keep=keep))

    def _stop(self, visit: Visit, group: Group, report: Report) -> None:
        """The version failed on this machine: its group is given it no more."""
        known, machine, version = visit.known, visit.app.machine_id, report.version
        failures = known.failures.setdefault(machine, {})
        if version not in failures:
            failures[version] = report.text
            visit.effects.undo.append(lambda: failures.pop(version, None))
            visit.write(
                lambda connection: store.put_failure(connection, group, machine, version, report.text)
            )
        if version in known.groups[group.name].stopped:
            return
        host = _printable(visit.app.alias)
        stop = Stop(version, datetime.fromtimestamp(visit.now_s, UTC), machine, report.text, host)
        known.stop(group.name, stop)
        visit.effects.undo.append(lambda: known.retry(group.name, version, ()))
        visit.write(lambda connection: store.put_stop(connection, group, stop))
        text = stopped_words(group, stop)
        self._remember(visit, Happening(known.id, visit.now_s, text, machine, group.name, version))

    def _prove(self, visit: Visit) -> None:
        group = visit.known.groups.get(visit.app.track)
        version, machine = visit.app.version, visit.app.machine_id
        wanted = group and any(package.version == version for package in visit.known.packages.values())
        if group is None or not wanted or version in group.proven:
            return
        visit.known.prove(group.name, version)
        visit.effects.undo.append(lambda: visit.known.doubt(group.name, version))
        visit.write(lambda connection: store.put_proof(connection, group, version, visit.now_s, machine))

    def _decide(self, visit: Visit, caller: Caller) -> omaha.UpdateAnswer:
        decision = self._decision(visit)
        # What an event of this request said of the machine tells more than that it has to wait.
        if visit.state in (None, State.CURRENT) or decision.state is not State.WAITING:
            visit.state, visit.reason = decision.state, decision.reason
        if decision.state is State.CURRENT:
            self._settle(visit)
        poll_s = self._poll_s(visit, decision)
        if decision.package is None:
            return omaha.UpdateAnswer(omaha.NO_UPDATE, poll_interval_s=poll_s, reason=decision.reason)
        visit.offered = decision.package.version
        self._grant(visit, decision, decision.package)
        floor = visit.known.groups[visit.app.track].channel.floor
        return replace(_offer(decision, decision.package, floor, caller.base_url), poll_interval_s=poll_s)

    def _poll_s(self, visit: Visit, decision: Decision) -> int | None:
        """When the machine is to ask again; None: when it likes.

        Who waits for others asks soon, so that their turn is not over for long before the next one begins.
        """
        group = visit.known.groups.get(visit.app.track)
        if group is None:
            return None
        poll_s = group.policy.poll_s or None
        if decision.soon:
            machines = self._writer.sizes.get((visit.known.id, group.name), 0)
            soon_s = max(_SOON_S, machines // _ASKING_A_SECOND)
            poll_s = min(soon_s, poll_s or _LONGEST_SOON_S)
        return poll_s

    def _settle(self, visit: Visit) -> None:
        """The machine wants nothing and still has a grant: has it finished without saying so?"""
        known, app = visit.known, visit.app
        grant = known.grants.get(app.machine_id)
        if grant is None:
            return
        if grant.version == app.version:
            timeout_s = known.groups[app.track].policy.update_timeout_s
            if visit.now_s - grant.granted_s <= timeout_s:
                return  # It may be trying the version, and will say when that went well.
            self._prove(visit)
        visit.end_grant(grant, done=grant.version == app.version)

    def _decision(self, visit: Visit) -> Decision:
        app, known = visit.app, visit.known
        group = known.groups.get(app.track)
        if not app.machine_id:
            return Decision(State.WAITING, "the request does not say which machine asks")
        if group is None:
            return Decision(State.WAITING, f"there is no group {app.track!r} here")
        asker = Asker(
            app.machine_id,
            app.version,
            visit.ours,
            visit.arch,
            app.update_check.target_version_prefix if app.update_check else "",
            known.grants.get(app.machine_id),
            known.failures.get(app.machine_id, {}),
        )
        going = known.going.get(group.name)
        machines = self._writer.sizes.get((known.id, group.name), 0)
        return decide(asker, group, (going or Going()).activity(machines), visit.now_s)

    def _grant(self, visit: Visit, decision: Decision, package: Package) -> None:
        """The machine is told to take `package`: a grant begins, or the one that it has goes on."""
        app, known = visit.app, visit.known
        before = known.grants.get(app.machine_id)
        if before and not decision.fresh and before.state is State.OFFERED:
            return
        granted_s = visit.now_s if decision.fresh or before is None else before.granted_s
        grant = Grant(
            *(known.id, app.track, app.machine_id, package.version, State.OFFERED, granted_s, visit.now_s),
            host=_printable(app.alias),
        )
        visit.set_grant(grant, fresh=decision.fresh)
        if decision.fresh:
            self._record(visit, Report(decision.reason, package.version), None)


def _withdrawn(visit: Visit) -> omaha.Withdrawn | None:
    """What the machine is about to take, if its group is given it no more."""
    progress = visit.app.ping.progress if visit.app.ping else None
    group = visit.known.groups.get(visit.app.track)
    if progress is None or group is None or progress.stage is omaha.Stage.PROBING:
        return None
    reason = withdrawal(group, progress.version)
    return omaha.Withdrawn(progress.version, reason) if reason else None


def _offer(decision: Decision, package: Package, floor: str, base_url: str) -> omaha.UpdateAnswer:
    sha256 = base64.b64encode(bytes.fromhex(package.sha256)).decode()
    file = omaha.Package(package.name, package.size_bytes, package.sha1, sha256)
    action = omaha.Action(sha256=sha256, display_version=package.version, disable_payload_backoff=True)
    manifest = omaha.Manifest(package.version, (file,), (action,), floor)
    urls = (f"{base_url}{PACKAGES}/{package.sha256}/", *package.urls)
    return omaha.UpdateAnswer(omaha.OK, urls, manifest, reason=decision.reason)


def _check_names(app: omaha.RequestApp) -> None:
    """Refuse what no machine sends, and no column could hold. Raises `InputError`."""
    names = [app.machine_id, app.track, app.version, app.boot_id]
    names += [event.next_version for event in app.events]
    if app.ping and app.ping.progress:
        names.append(app.ping.progress.version)
    if max(map(len, names)) > _LONGEST_NAME:
        raise InputError(f"a name in the request has more than {_LONGEST_NAME} characters")
    for event in app.events:
        if max(abs(event.type), abs(event.result)) > _LARGEST_NUMBER:
            raise InputError("a number in the request is too large")


def _architecture(system: omaha.System) -> str:
    """`x86_64` of `1.0.0_x86_64`."""
    return system.arch or system.sp.partition("_")[2]


def _sighting(visit: Visit, caller: Caller) -> Sighting:
    app = visit.app
    return Sighting(
        visit.known.id,
        app.machine_id,
        app.track,
        app.version,
        visit.now_s,
        caller.address[:_LONGEST_NAME],
        app.oem[:128],
        visit.arch[:32],
        app.aleph_version[:_LONGEST_NAME],
        app.boot_id,
        _printable(app.alias),
        visit.state.value if visit.state else None,
        visit.reason,
        visit.percent if visit.state else None,
        visit.offered,
    )


def _printable(text: str) -> str:
    """What a machine calls itself, fit for a line of a table."""
    return "".join(letter for letter in text[:_LONGEST_NAME] if letter.isprintable())

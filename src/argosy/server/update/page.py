"""The web page: what the service's overview says, as HTML. Pure; the addresses are in `pages`.

Machines name themselves and give reasons in their own words: every text is escaped, and set apart by `bdi` so
that it cannot turn the writing around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined

from argosy.formats.payload import APPLICATION_ID
from argosy.formats.updateapi import (
    Event,
    Group,
    Machine,
    MachineDetail,
    Machines,
    Overview,
    Package,
    Rollout,
    RolloutState,
    State,
)
from argosy.server.update import words

ROOT = "/updates"

_TROUBLE = frozenset({State.FELL_BACK, State.FAILED})


@dataclass(frozen=True, slots=True)
class Notice:
    """What an operator should look at: a version that is stopped, or a machine in trouble.

    `machine` is empty if it is about none.
    """

    title: str
    machine: str
    alias: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Share:
    """How many of a group's machines are in a state."""

    state: State
    number: int


def render_overview(
    overview: Overview, packages: Sequence[Package], apps: Sequence[str], app: str = APPLICATION_ID
) -> str:
    """The page of an application; `apps` are all there are."""
    return _render(
        "overview.html",
        app=app,
        now=overview.now,
        apps=apps,
        overview=overview,
        packages=packages,
        notices=notices(overview),
        rollouts=rollouts(overview),
        gives=_gives(overview),
        aliases={machine.id: machine.alias for machine in overview.machines},
        development=any(channel.package.development for channel in overview.channels if channel.package),
    )


def render_machines(
    machines: Machines, group: str | None, state: State | None, app: str, now: datetime
) -> str:
    """A page of the list of all machines."""
    return _render("machines.html", app=app, now=now, page=machines, group=group, state=state)


def render_machine(detail: MachineDetail, app: str, now: datetime) -> str:
    """One machine and its events."""
    return _render("machine.html", app=app, now=now, machine=detail.machine, events=detail.events)


def render_failure(message: str, hint: str | None) -> str:
    """Why there is no page here."""
    return _render("failure.html", app=APPLICATION_ID, now=None, message=message, hint=hint)


def notices(overview: Overview) -> tuple[Notice, ...]:
    """Stopped versions, then machines that are in trouble without having stopped one; each newest first."""
    aliases = {machine.id: machine.alias for machine in overview.machines}
    stops = [
        Notice(
            f"{stop.version} is {'stopped' if stop.machine else 'withdrawn'} for group {group.name}",
            stop.machine,
            aliases.get(stop.machine, "") or stop.host,
            stop.reason,
            stop.at,
        )
        for group in overview.groups
        for stop in group.stopped
    ]
    told = {stop.machine for stop in stops}
    stops += [
        Notice(
            f"{found.version} waits in group {found.group}",
            found.culprit,
            aliases.get(found.culprit, "") or found.culprit_name,
            found.reason,
            overview.now,
        )
        for found in overview.rollouts
        if found.state is RolloutState.STOPPED and found.culprit not in told
    ]
    told = {stop.machine for stop in stops}
    troubled = [
        Notice(
            f"{_went_wrong(machine)} in group {machine.group}",
            machine.id,
            machine.alias,
            machine.reason,
            machine.seen,
        )
        for machine in overview.machines
        if machine.state in _TROUBLE and machine.id not in told
    ]
    return (*_newest_first(stops), *_newest_first(troubled))


def shares(group: Group) -> tuple[Share, ...]:
    """The states in which a group has machines; those to look at come first."""
    counted = [Share(state, group.counts.get(state.value, 0)) for state in words.STATES]
    return tuple(share for share in counted if share.number)


def machine_link(app: str, machine: str) -> str:
    """Where a machine's own page is."""
    return _link(app, f"/machines/{quote(machine, safe='')}")


def machines_link(app: str, **query: str | None) -> str:
    """Where machines are listed: `group`, `state`, `after`."""
    return _link(app, "/machines", **query)


def _link(app: str, path: str, **query: str | None) -> str:
    given = {name: value for name, value in query.items() if value}
    if app != APPLICATION_ID:
        given["app"] = app
    return f"{ROOT}{path}" + (f"?{urlencode(given)}" if given else "")


def rollouts(overview: Overview) -> tuple[Rollout, ...]:
    """Those of which there is something to see."""
    return tuple(found for found in overview.rollouts if found.version and found.machines_total)


def _went_wrong(machine: Machine) -> str:
    if machine.state is State.FELL_BACK:
        return f"a machine fell back to {machine.version}"
    return "an update failed"


def _newest_first(found: list[Notice]) -> list[Notice]:
    return sorted(found, key=lambda notice: notice.at, reverse=True)


def _gives(overview: Overview) -> dict[str, list[str]]:
    """The channels that give out a package, by its sha256."""
    found: dict[str, list[str]] = {}
    for channel in overview.channels:
        if channel.package:
            found.setdefault(channel.package.sha256, []).append(channel.name)
    return found


def _moment(then: datetime) -> str:
    return then.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _is_bad(event: Event) -> bool:
    """Omaha's result 0 is an error."""
    return event.type is not None and event.result == 0


def _render(template: str, **values: Any) -> str:
    return _environment().get_template(template).render(values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("argosy.server.update"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "root": ROOT,
        "home_link": lambda app: _link(app, ""),
        "machine_link": machine_link,
        "machines_link": machines_link,
        "machine_name": words.machine_name,
        "shares": shares,
        "policy_words": words.policy_words,
        "key_words": words.key_words,
        "size_words": words.size_words,
        "ago": words.ago_words,
        "moment": _moment,
        "is_bad": _is_bad,
        "states": words.STATES,
    }
    return environment

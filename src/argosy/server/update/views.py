"""What is known, as the REST interface says it; and the reading of machines and events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sql

from argosy.formats import updateapi as api
from argosy.server.database import Database
from argosy.server.update import model, tables
from argosy.server.update.words import STATES

_PACKAGES = "/packages"


def package(known: model.Package) -> api.Package:
    """A package, and where machines find it."""
    return api.Package(
        app=known.app,
        version=known.version,
        sha256=known.sha256,
        size_bytes=known.size_bytes,
        kernel=known.kernel,
        floor=known.floor,
        keys=known.keys,
        url_path=f"{_PACKAGES}/{known.sha256}/{known.name}",
        published=_time(known.published_s),
    )


def channel(known: model.Channel, turns: Iterable[model.Turn]) -> api.Channel:
    """A channel; `turns` are oldest first."""
    history = [api.Turn(_time(turn.at_s), turn.version, turn.action) for turn in turns]
    return api.Channel(
        app=known.app,
        name=known.name,
        package=package(known.package) if known.package else None,
        floor=known.floor,
        milestones=tuple(each.version for each in known.milestones),
        history=tuple(reversed(history)),
    )


def group(known: model.Group, counts: Mapping[str, int]) -> api.Group:
    """A group; `counts` are of its machines' states."""
    return api.Group(
        app=known.app,
        name=known.name,
        channel=known.channel.name,
        policy=known.policy,
        stopped=tuple(sorted(known.stopped.values(), key=lambda stop: stop.at, reverse=True)),
        counts=dict(counts),
    )


def machine(row: Any, bad: Mapping[str, str]) -> api.Machine:
    """A row of the machines; `bad` has the versions that failed on it."""
    return api.Machine(
        app=row.app,
        id=row.id,
        group=row.group,
        version=row.version,
        state=api.State(row.state) if row.state else api.State.WAITING,
        reason=row.reason or "has not asked for an update yet",
        seen=_time(row.seen_s),
        alias=row.alias or row.host_name,
        address=row.address,
        oem=row.oem,
        offered=row.offered if row.offered != row.version else None,
        bad=tuple(sorted(bad)),
        percent=row.percent,
    )


def list_machines(
    database: Database,
    app: str,
    group: str | None,
    state: api.State | None,
    after: str,
    limit: int,
    *,
    urgent: bool,
) -> Sequence[sql.Row[Any]]:
    """Rows of machines, by their id; with `urgent`, by what an operator should look at first."""
    machines = tables.machines.c
    query = sql.select(tables.machines).where(machines.app == app, machines.id > after).limit(limit)
    if group is not None:
        query = query.where(machines.group == group)
    if state is not None:
        # One that has not asked yet has no state in the table.
        query = query.where(sql.func.coalesce(machines.state, api.State.WAITING.value) == state.value)
    if urgent:
        places = {state.value: place for place, state in enumerate(STATES)}
        query = query.order_by(sql.case(places, value=machines.state, else_=len(places)))
    with database.reading() as connection:
        return connection.execute(query.order_by(machines.id)).all()


def find_machines(database: Database, app: str, name: str) -> Sequence[sql.Row[Any]]:
    """The machine of this id; else those, up to two, whose id begins so or whose name it is."""
    machines = tables.machines.c
    query = sql.select(tables.machines).where(machines.app == app)
    with database.reading() as connection:
        exact = connection.execute(query.where(machines.id == name)).all()
        like = machines.id.startswith(name, autoescape=True) | (machines.alias == name)
        like |= (machines.alias == "") & (machines.host_name == name)
        return exact or connection.execute(query.where(like).limit(2)).all()


def count_machines(database: Database) -> dict[tuple[str, str, str, api.State], int]:
    """By application, group, version and state."""
    machines = tables.machines.c
    keys = (machines.app, machines.group, machines.version, machines.state)
    counts: dict[tuple[str, str, str, api.State], int] = {}
    with database.reading() as connection:
        for app, group, version, state, number in connection.execute(
            sql.select(*keys, sql.func.count()).group_by(*keys)
        ):
            key = (app, group, version, api.State(state) if state else api.State.WAITING)
            counts[key] = counts.get(key, 0) + number
    return counts


def count_present(
    database: Database, app: str, since_s: float
) -> dict[str, dict[tuple[str, api.State], int]]:
    """The machines that were seen since then: by group, and by version and state."""
    machines = tables.machines.c
    keys = (machines.group, machines.version, machines.state)
    query = sql.select(*keys, sql.func.count()).where(machines.app == app, machines.seen_s > since_s)
    counts: dict[str, dict[tuple[str, api.State], int]] = {}
    with database.reading() as connection:
        for group, version, state, number in connection.execute(query.group_by(*keys)):
            mine = counts.setdefault(group, {})
            key = (version, api.State(state) if state else api.State.WAITING)
            mine[key] = mine.get(key, 0) + number
    return counts


def list_events(database: Database, app: str, machine: str | None, limit: int) -> tuple[api.Event, ...]:
    """The newest first."""
    events = tables.events.c
    query = sql.select(tables.events).where(events.app == app).order_by(events.id.desc()).limit(limit)
    if machine is not None:
        query = query.where(events.machine == machine)
    with database.reading() as connection:
        return tuple(
            api.Event(
                at=_time(row.at_s),
                text=row.text,
                machine=row.machine,
                group=row.group,
                version=row.version,
                type=row.type,
                result=row.result,
                code=row.code,
            )
            for row in connection.execute(query)
        )


def _time(at_s: float) -> datetime:
    return datetime.fromtimestamp(at_s, UTC)

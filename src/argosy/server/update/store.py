"""The update service in the database: reading all of it at the start, and every single change.

The functions take a connection within a transaction; which changes share one is the writer's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import sqlalchemy as sql
from sqlalchemy.dialects import postgresql, sqlite

from argosy.base.decode import decode_json, encode_json
from argosy.formats.updateapi import Key, Policy, State, Stop
from argosy.server.update import tables
from argosy.server.update.catalogue import Application, withdrawn
from argosy.server.update.model import Channel, Grant, Group, Package, Turn
from argosy.server.update.ordering import order

Change = Callable[[sql.Connection], None]

_SOURCE = "the update service's database"
_DONE = State.CURRENT.value  # of a grant that is over
_LONGEST_PERIOD_S = 31 * 86400  # of a rate; what began before is not read at the start


@dataclass(frozen=True, slots=True)
class Sighting:
    """A machine's request: what it is, and how it stands. What is None stays as it was.

    `percent` belongs to the state, and is replaced with it.
    """

    app: str
    id: str
    group: str
    version: str
    seen_s: float
    address: str
    oem: str
    arch: str
    aleph_version: str
    boot_id: str
    host_name: str
    state: str | None = None
    reason: str | None = None
    percent: int | None = None
    offered: str | None = None


@dataclass(frozen=True, slots=True)
class Happening:
    """A row of the events."""

    app: str
    at_s: float
    text: str
    machine: str | None = None
    group: str | None = None
    version: str | None = None
    type: int | None = None
    result: int | None = None
    code: int | None = None


def load(connection: sql.Connection, now_s: float) -> dict[str, Application]:
    """All applications."""
    known = {row.id: Application(row.id) for row in connection.execute(sql.select(tables.applications))}
    for row in connection.execute(sql.select(tables.packages)):
        known[row.app].packages[row.sha256] = _package(row)
    for row in connection.execute(sql.select(tables.turns).order_by(tables.turns.c.id)):
        turns = known[row.app].turns.setdefault(row.channel, [])
        turns.append(Turn(row.at_s, row.package, row.version, row.action))
    for row in connection.execute(sql.select(tables.channels)):
        known[row.app].put_channel(_channel(known[row.app], row))
    for row in connection.execute(sql.select(tables.groups)):
        app = known[row.app]
        policy = decode_json(row.policy, Policy, source=_SOURCE)
        app.put_group(Group(row.app, row.name, app.channels[row.channel], policy))
    _load_verdicts(connection, known)
    _load_grants(connection, known, now_s)
    return known


def add_application(connection: sql.Connection, app: str) -> None:
    """A new application, still empty."""
    connection.execute(sql.insert(tables.applications).values(id=app))


def add_package(connection: sql.Connection, package: Package) -> None:
    """A package whose payload is kept."""
    values = {name: getattr(package, name) for name in package.__slots__}
    values |= {"keys": _json(package.keys), "urls": _json(package.urls)}
    connection.execute(sql.insert(tables.packages).values(values))


def put_channel(connection: sql.Connection, channel: Channel) -> None:
    """A new channel, or a new state of one."""
    key = {"app": channel.app, "name": channel.name}
    values = {
        "package": channel.package.sha256 if channel.package else None,
        "floor": channel.floor,
        "milestones": _json([package.version for package in channel.milestones]),
    }
    _upsert(connection, tables.channels, key | values, keys=tuple(key))


def add_turn(connection: sql.Connection, channel: Channel, turn: Turn) -> None:
    """A channel takes a package; `channel` is its state before or after that."""
    connection.execute(
        sql.insert(tables.turns).values(
            app=channel.app,
            channel=channel.name,
            at_s=turn.at_s,
            package=turn.sha256,
            version=turn.version,
            action=turn.action,
        )
    )
    mine = (tables.channels.c.app == channel.app) & (tables.channels.c.name == channel.name)
    connection.execute(sql.update(tables.channels).where(mine).values(package=turn.sha256))


def put_group(connection: sql.Connection, group: Group) -> None:
    """A new group, or a new state of its channel and policy."""
    key = {"app": group.app, "name": group.name}
    values = {"channel": group.channel.name, "policy": _json(group.policy)}
    _upsert(connection, tables.groups, key | values, keys=tuple(key))


def put_stop(connection: sql.Connection, group: Group, stop: Stop) -> None:
    """A version is stopped for a group."""
    values = {"machine": stop.machine, "reason": stop.reason, "host": stop.host}
    _put_verdict(connection, group, stop.version, stop.at.timestamp(), values, stopped=True)


def put_proof(connection: sql.Connection, group: Group, version: str, at_s: float, machine: str) -> None:
    """A machine of the group runs a version."""
    _put_verdict(connection, group, version, at_s, {"machine": machine, "reason": ""}, stopped=False)


def retry(connection: sql.Connection, group: Group, version: str, late: Iterable[Grant]) -> None:
    """Forget that a version failed in a group, and the grants that came to nothing.

    The machines on which it failed are remembered: they are not given it again.
    """
    verdicts = tables.verdicts.c
    mine = (verdicts.app == group.app) & (verdicts.group == group.name) & (verdicts.version == version)
    connection.execute(sql.delete(tables.verdicts).where(mine, verdicts.stopped))
    for grant in late:
        end_grant(connection, grant)


def put_grant(connection: sql.Connection, grant: Grant) -> None:
    """A grant that begins or gets on."""
    values = {name: getattr(grant, name) for name in grant.__slots__}
    values |= {"state": grant.state.value, "open": True}
    _upsert(connection, tables.grants, values, keys=("app", "machine"))


def end_grant(connection: sql.Connection, grant: Grant, *, done: bool = False) -> None:
    """It is over, with `done` because the machine runs the version.

    The row stays, for the rate and the waves of its group.
    """
    mine = (tables.grants.c.app == grant.app) & (tables.grants.c.machine == grant.machine)
    state = {"state": _DONE} if done else {}
    connection.execute(sql.update(tables.grants).where(mine).values(open=False, **state))


def put_failure(connection: sql.Connection, group: Group, machine: str, version: str, reason: str) -> None:
    """A version did not work on a machine."""
    values = {
        "app": group.app,
        "machine": machine,
        "version": version,
        "group": group.name,
        "reason": reason,
    }
    _upsert(connection, tables.failures, values, keys=("app", "machine", "version"))


def add_event(connection: sql.Connection, happening: Happening, *, keep: int) -> None:
    """Remember it; of each machine only the last `keep` are kept, and as many of all that is no machine's."""
    values = {name: getattr(happening, name) for name in happening.__slots__}
    connection.execute(sql.insert(tables.events).values(values))
    events = tables.events.c
    machine = events.machine == happening.machine if happening.machine else events.machine.is_(None)
    mine = (events.app == happening.app) & machine
    oldest = sql.select(events.id).where(mine).order_by(events.id.desc()).offset(keep).limit(1)
    last_forgotten = connection.scalar(oldest)
    if last_forgotten is not None:
        connection.execute(sql.delete(tables.events).where(mine, events.id <= last_forgotten))


def count_machines(connection: sql.Connection) -> int:
    """All applications' machines."""
    return connection.scalar(sql.select(sql.func.count()).select_from(tables.machines)) or 0


def see(connection: sql.Connection, sightings: Sequence[Sighting], *, new: bool) -> None:
    """Write what machines said of themselves; those that are not known are added only if `new`.

    It is one statement over one value, a list in JSON: row by row, the thread would take the interpreter from
    those who answer requests as often as there are rows.
    """
    names = Sighting.__slots__
    values = {name: _from_json(connection, name) for name in names}
    if connection.dialect.name == "sqlite":
        rows = sql.text("json_each(:rows)")
    else:
        rows = sql.text("json_array_elements(CAST(:rows AS json))")
    table = tables.machines
    query = sql.select(*values.values(), values["seen_s"]).select_from(rows).where(sql.text("true"))
    if not new:
        mine = (table.c.app == values["app"]) & (table.c.id == values["id"])
        query = query.where(sql.exists().where(mine))
    insert = _dialect(connection).insert(table).from_select([*names, "first_seen_s"], query)
    changes = {name: insert.excluded[name] for name in names if name not in ("app", "id")}
    for name in ("state", "reason", "offered"):
        changes[name] = sql.func.coalesce(insert.excluded[name], table.c[name])
    changes["percent"] = sql.case(
        (insert.excluded.state.is_(None), table.c.percent), else_=insert.excluded.percent
    )
    statement = insert.on_conflict_do_update(index_elements=("app", "id"), set_=changes)
    connection.execute(statement, {"rows": encode_json(sightings).decode()})


def _from_json(connection: sql.Connection, name: str) -> sql.ColumnElement[Any]:
    """A member of the JSON object in the column `value`."""
    if connection.dialect.name == "sqlite":
        return sql.literal_column(f"json_extract(value, '$.{name}')")
    kind = {"seen_s": "double precision", "percent": "integer"}.get(name, "text")
    return sql.literal_column(f"CAST(value ->> '{name}' AS {kind})")


def group_sizes(connection: sql.Connection, since_s: float) -> dict[tuple[str, str], int]:
    """How many machines were seen since then, by application and group."""
    machines = tables.machines.c
    keys = (machines.app, machines.group)
    query = sql.select(*keys, sql.func.count()).where(machines.seen_s > since_s).group_by(*keys)
    return {(app, group): number for app, group, number in connection.execute(query)}


def forget_machines(connection: sql.Connection, before_s: float) -> None:
    """Forget machines that were last seen before `before_s`."""
    connection.execute(sql.delete(tables.machines).where(tables.machines.c.seen_s < before_s))


def name_machine(connection: sql.Connection, app: str, machine: str, alias: str) -> None:
    """What people call a machine."""
    mine = (tables.machines.c.app == app) & (tables.machines.c.id == machine)
    connection.execute(sql.update(tables.machines).where(mine).values(alias=alias))


def _upsert(
    connection: sql.Connection, table: sql.Table, row: Mapping[str, Any], *, keys: tuple[str, ...]
) -> None:
    """Insert a row or, where `keys` are there already, update the other columns."""
    insert = _dialect(connection).insert(table)
    changes = {name: insert.excluded[name] for name in row if name not in keys}
    connection.execute(insert.on_conflict_do_update(index_elements=keys, set_=changes), row)


def _dialect(connection: sql.Connection) -> ModuleType:
    """The module with the `insert` that knows conflicts: both databases have it, SQL's standard does not."""
    return sqlite if connection.dialect.name == "sqlite" else postgresql


def _put_verdict(
    connection: sql.Connection,
    group: Group,
    version: str,
    at_s: float,
    values: Mapping[str, str],
    *,
    stopped: bool,
) -> None:
    key = {"app": group.app, "group": group.name, "version": version, "stopped": stopped}
    _upsert(connection, tables.verdicts, key | {"at_s": at_s, **values}, keys=tuple(key))


def _load_verdicts(connection: sql.Connection, known: Mapping[str, Application]) -> None:
    for row in connection.execute(sql.select(tables.verdicts)):
        if row.stopped:
            at = datetime.fromtimestamp(row.at_s, UTC)
            known[row.app].stop(row.group, Stop(row.version, at, row.machine, row.reason, row.host))
        else:
            known[row.app].prove(row.group, row.version)
    for row in connection.execute(sql.select(tables.failures)):
        known[row.app].failures.setdefault(row.machine, {})[row.version] = row.reason


def _load_grants(connection: sql.Connection, known: Mapping[str, Application], now_s: float) -> None:
    grants = tables.grants.c
    given = {version for app in known.values() for version in _given_out(app)}
    of_a_wave = (grants.state == _DONE) & grants.version.in_(given)
    recent = grants.open | of_a_wave | (grants.granted_s > now_s - _LONGEST_PERIOD_S)
    machines = tables.machines.c
    seen = tables.grants.outerjoin(
        tables.machines, (machines.app == grants.app) & (machines.id == grants.machine)
    )
    query = sql.select(tables.grants, machines.seen_s).select_from(seen).where(recent)
    for row in connection.execute(query.order_by(grants.granted_s)):
        values = {name: getattr(row, name) for name in Grant.__slots__}
        values |= {"state": State(row.state), "heard_s": max(row.heard_s, row.seen_s or 0.0)}
        app, grant = known[row.app], Grant(**values)
        app.put_grant(grant, fresh=True)
        if not row.open:
            app.end(row.machine, done=row.state == _DONE and _of_this_turn(app, grant))


def _given_out(app: Application) -> set[str]:
    """The versions that channels have now, or do not let anybody skip."""
    channels = app.channels.values()
    packages = {channel.package.version for channel in channels if channel.package}
    return packages | {step.version for channel in channels for step in channel.milestones}


def _of_this_turn(app: Application, grant: Grant) -> bool:
    """Whether it was granted since its channel took the version; what a rollback took back does not count."""
    channel = app.groups[grant.group].channel
    turns = app.turns.get(channel.name, [])
    if grant.version not in _given_out(app):
        return False
    return not turns or turns[-1].version != grant.version or grant.granted_s >= turns[-1].at_s


def _package(row: Any) -> Package:
    values = {name: getattr(row, name) for name in Package.__slots__ if name not in ("keys", "urls")}
    keys = decode_json(row.keys, tuple[Key, ...], source=_SOURCE)
    urls = decode_json(row.urls, tuple[str, ...], source=_SOURCE)
    return Package(**values, keys=keys, urls=urls)


def _channel(app: Application, row: Any) -> Channel:
    wanted = decode_json(row.milestones, tuple[str, ...], source=_SOURCE)
    milestones = sorted(
        (package for package in app.packages.values() if package.version in wanted),
        key=lambda package: order(package.version),
    )
    package = app.packages[row.package] if row.package else None
    gone = withdrawn(app.turns.get(row.name, []))
    return Channel(row.app, row.name, package, row.floor, tuple(milestones), gone)


def _json(value: Any) -> str:
    return encode_json(value).decode()

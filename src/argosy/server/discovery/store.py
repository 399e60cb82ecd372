"""Clusters, members and events in the database. Each method is one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sql

from argosy.server.database import Database, Schema
from argosy.server.discovery import protocol
from argosy.server.discovery.model import (
    Action,
    Cluster,
    Decision,
    Delete,
    Event,
    Get,
    Limits,
    Member,
    Put,
    Wait,
)

_metadata = sql.MetaData()
_PATH = sql.String(255)

# One row: the last index used. Locking it puts writers in a line.
_store = sql.Table(
    "discovery_store",
    _metadata,
    sql.Column("id", sql.Integer, primary_key=True),
    sql.Column("last_index", sql.BigInteger, nullable=False),
)
_clusters = sql.Table(
    "discovery_cluster",
    _metadata,
    sql.Column("token", sql.String(32), primary_key=True),
    sql.Column("size", sql.Integer, nullable=False),
    sql.Column("created_index", sql.BigInteger, nullable=False),
)
_members = sql.Table(
    "discovery_member",
    _metadata,
    sql.Column("token", sql.ForeignKey(_clusters.c.token), primary_key=True),
    sql.Column("name", _PATH, primary_key=True),
    sql.Column("value", sql.Text, nullable=False),
    sql.Column("created_index", sql.BigInteger, nullable=False),
    sql.Column("modified_index", sql.BigInteger, nullable=False),
)
_events = sql.Table(
    "discovery_event",
    _metadata,
    sql.Column("index", sql.BigInteger, primary_key=True, autoincrement=False),
    sql.Column("token", sql.ForeignKey(_clusters.c.token), nullable=False),
    sql.Column("action", sql.String(32), nullable=False),
    sql.Column("path", _PATH, nullable=False),
    sql.Column("value", sql.Text),
    sql.Column("created_index", sql.BigInteger, nullable=False),
    sql.Column("previous_value", sql.Text),
    sql.Column("previous_created_index", sql.BigInteger),
    sql.Column("previous_modified_index", sql.BigInteger),
    sql.Index("discovery_event_of_cluster", "token", "index"),
)


def _first_tables(connection: sql.Connection) -> None:
    _metadata.create_all(connection)
    connection.execute(sql.insert(_store).values(id=1, last_index=0))


SCHEMA = Schema("discovery", (_first_tables,))


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look at the store saw: its index, and the cluster if the token is known."""

    index: int
    cluster: Cluster | None


class Store:
    """Where discovery is kept."""

    def __init__(self, database: Database, limits: Limits) -> None:
        self._database = database
        self._limits = limits

    def create(self, token: str, size: int) -> None:
        """Begin a cluster."""
        with self._database.writing() as connection:
            index = _index(connection, for_update=True) + 1
            connection.execute(sql.insert(_clusters).values(token=token, size=size, created_index=index))
            _record(connection, token, protocol.creation(size, index), self._limits)

    def look(self, token: str) -> Seen:
        """The store's index and the cluster, as they are together."""
        with self._database.reading() as connection:
            return Seen(_index(connection), _cluster(connection, token))

    def answer(self, token: str, request: Get | Put | Delete) -> Decision:
        """Decide on a request and keep what the decision changes."""
        if isinstance(request, Get):
            return self._decide(self.look(token), token, request)
        with self._database.writing() as connection:
            seen = Seen(_index(connection, for_update=True), _cluster(connection, token))
            decision = self._decide(seen, token, request)
            if decision.event:
                _change_member(connection, token, decision.event)
                _record(connection, token, decision.event, self._limits)
            return decision

    def look_back(self, token: str, wait: Wait) -> tuple[int, Decision | None]:
        """The store's index, and the answer to `wait` if it need not be held."""
        with self._database.reading() as connection:
            index, cluster = _index(connection), _cluster(connection, token)
            if cluster is None:
                return index, protocol.unknown_token(token, index)
            return index, protocol.look_back(cluster, index, _history(connection, token), wait)

    def count(self) -> tuple[int, int]:
        """How many clusters and members there are."""
        with self._database.reading() as connection:
            clusters = connection.scalar(sql.select(sql.func.count()).select_from(_clusters))
            members = connection.scalar(sql.select(sql.func.count()).select_from(_members))
        return clusters or 0, members or 0

    def _decide(self, seen: Seen, token: str, request: Get | Put | Delete) -> Decision:
        if seen.cluster is None:
            return protocol.unknown_token(token, seen.index)
        return protocol.decide(seen.cluster, seen.index, request, self._limits)


def _index(connection: sql.Connection, *, for_update: bool = False) -> int:
    query = sql.select(_store.c.last_index)
    return int(connection.execute(query.with_for_update() if for_update else query).scalar_one())


def _cluster(connection: sql.Connection, token: str) -> Cluster | None:
    row = connection.execute(sql.select(_clusters).where(_clusters.c.token == token)).one_or_none()
    if row is None:
        return None
    members = connection.execute(sql.select(_members).where(_members.c.token == token))
    return Cluster(
        token,
        row.size,
        row.created_index,
        tuple(Member(m.name, m.value, m.created_index, m.modified_index) for m in members),
    )


def _history(connection: sql.Connection, token: str) -> list[Event]:
    query = sql.select(_events).where(_events.c.token == token).order_by(_events.c.index)
    return [_event(row._mapping) for row in connection.execute(query)]


def _event(row: Any) -> Event:
    previous = None
    if row["previous_value"] is not None:
        previous = Member(
            row["path"],
            row["previous_value"],
            row["previous_created_index"],
            row["previous_modified_index"],
        )
    return Event(
        row["index"], Action(row["action"]), row["path"], row["value"], row["created_index"], previous
    )


def _change_member(connection: sql.Connection, token: str, event: Event) -> None:
    connection.execute(sql.delete(_members).where(_members.c.token == token, _members.c.name == event.path))
    if event.value is not None:
        connection.execute(
            sql.insert(_members).values(
                token=token,
                name=event.path,
                value=event.value,
                created_index=event.created_index,
                modified_index=event.index,
            )
        )


def _record(connection: sql.Connection, token: str, event: Event, limits: Limits) -> None:
    """Use up the event's index, keep the event for those who wait, and forget the oldest beyond the limit."""
    connection.execute(sql.update(_store).values(last_index=event.index))
    connection.execute(
        sql.insert(_events).values(
            index=event.index,
            token=token,
            action=event.action.value,
            path=event.path,
            value=event.value,
            created_index=event.created_index,
            previous_value=event.previous.value if event.previous else None,
            previous_created_index=event.previous.created_index if event.previous else None,
            previous_modified_index=event.previous.modified_index if event.previous else None,
        )
    )
    of_cluster = _events.c.token == token
    newest_forgotten = connection.scalar(
        sql.select(_events.c.index)
        .where(of_cluster)
        .order_by(_events.c.index.desc())
        .offset(limits.history)
        .limit(1)
    )
    if newest_forgotten is not None:
        connection.execute(sql.delete(_events).where(of_cluster, _events.c.index <= newest_forgotten))

"""The update service's tables."""

from __future__ import annotations

import sqlalchemy as sql

from argosy.server.database import Schema

_metadata = sql.MetaData()
_ID = sql.String(64)
_APP = sql.String(64)
_VERSION = sql.String(64)

applications = sql.Table(
    "update_application",
    _metadata,
    sql.Column("id", _APP, primary_key=True),
)
packages = sql.Table(
    "update_package",
    _metadata,
    sql.Column("sha256", sql.String(64), primary_key=True),
    sql.Column("app", sql.ForeignKey(applications.c.id), nullable=False),
    sql.Column("version", _VERSION, nullable=False),
    sql.Column("arch", sql.String(32), nullable=False),
    sql.Column("sha1", sql.String(40), nullable=False),
    sql.Column("size_bytes", sql.BigInteger, nullable=False),
    sql.Column("name", sql.String(255), nullable=False),
    sql.Column("published_s", sql.Double, nullable=False),
    sql.Column("kernel", sql.String(128), nullable=False),
    sql.Column("floor", _VERSION, nullable=False),
    sql.Column("keys", sql.Text, nullable=False),  # JSON: what signed it
    sql.Column("ours", sql.Boolean, nullable=False),
    sql.Column("urls", sql.Text, nullable=False),  # JSON: further codebases
    sql.UniqueConstraint("app", "version", "arch"),
)
channels = sql.Table(
    "update_channel",
    _metadata,
    sql.Column("app", sql.ForeignKey(applications.c.id), primary_key=True),
    sql.Column("name", _ID, primary_key=True),
    sql.Column("package", sql.ForeignKey(packages.c.sha256)),
    sql.Column("floor", _VERSION, nullable=False),
    sql.Column("milestones", sql.Text, nullable=False),  # JSON: versions, oldest first
)
turns = sql.Table(
    "update_channel_turn",
    _metadata,
    sql.Column("id", sql.Integer, primary_key=True),
    sql.Column("app", _APP, nullable=False),
    sql.Column("channel", _ID, nullable=False),
    sql.Column("at_s", sql.Double, nullable=False),
    sql.Column("package", sql.ForeignKey(packages.c.sha256), nullable=False),
    sql.Column("version", _VERSION, nullable=False),
    sql.Column("action", sql.String(16), nullable=False),
    sql.ForeignKeyConstraint(["app", "channel"], [channels.c.app, channels.c.name]),
)
groups = sql.Table(
    "update_group",
    _metadata,
    sql.Column("app", _APP, primary_key=True),
    sql.Column("name", _ID, primary_key=True),
    sql.Column("channel", _ID, nullable=False),
    sql.Column("policy", sql.Text, nullable=False),  # JSON: formats.updateapi.Policy
    sql.ForeignKeyConstraint(["app", "channel"], [channels.c.app, channels.c.name]),
)
verdicts = sql.Table(
    "update_verdict",
    _metadata,
    sql.Column("app", _APP, primary_key=True),
    sql.Column("group", _ID, primary_key=True),
    sql.Column("version", _VERSION, primary_key=True),
    sql.Column("stopped", sql.Boolean, primary_key=True),  # True: it failed; False: it is proven
    sql.Column("at_s", sql.Double, nullable=False),
    sql.Column("machine", _ID, nullable=False),
    sql.Column("reason", sql.Text, nullable=False),
    sql.Column("host", _ID, nullable=False, server_default=""),
    sql.ForeignKeyConstraint(["app", "group"], [groups.c.app, groups.c.name]),
)
machines = sql.Table(
    "update_machine",
    _metadata,
    sql.Column("app", _APP, primary_key=True),
    sql.Column("id", _ID, primary_key=True),
    sql.Column("group", _ID, nullable=False),
    sql.Column("version", _VERSION, nullable=False),
    sql.Column("state", sql.String(16)),
    sql.Column("reason", sql.Text),
    sql.Column("percent", sql.Integer),
    sql.Column("offered", _VERSION),
    sql.Column("first_seen_s", sql.Double, nullable=False),
    sql.Column("seen_s", sql.Double, nullable=False),
    sql.Column("address", sql.String(64), nullable=False),
    sql.Column("oem", sql.String(128), nullable=False),
    sql.Column("arch", sql.String(32), nullable=False),
    sql.Column("aleph_version", _VERSION, nullable=False),
    sql.Column("boot_id", _ID, nullable=False),
    sql.Column("host_name", _ID, nullable=False),
    sql.Column("alias", sql.String(128), nullable=False, server_default=""),
    sqlite_with_rowid=False,
)
grants = sql.Table(
    "update_grant",
    _metadata,
    sql.Column("app", _APP, primary_key=True),
    sql.Column("machine", _ID, primary_key=True),
    sql.Column("group", _ID, nullable=False),
    sql.Column("version", _VERSION, nullable=False),
    sql.Column("state", sql.String(16), nullable=False),
    sql.Column("granted_s", sql.Double, nullable=False),
    sql.Column("heard_s", sql.Double, nullable=False),
    sql.Column("boot_id", _ID, nullable=False),
    sql.Column("open", sql.Boolean, nullable=False),
    sql.Column("host", _ID, nullable=False, server_default=""),
)
failures = sql.Table(
    "update_failure",
    _metadata,
    sql.Column("app", _APP, primary_key=True),
    sql.Column("machine", _ID, primary_key=True),
    sql.Column("version", _VERSION, primary_key=True),
    sql.Column("group", _ID, nullable=False),
    sql.Column("reason", sql.Text, nullable=False),
)
events = sql.Table(
    "update_event",
    _metadata,
    sql.Column("id", sql.Integer, primary_key=True),
    sql.Column("app", _APP, nullable=False),
    sql.Column("at_s", sql.Double, nullable=False),
    sql.Column("text", sql.Text, nullable=False),
    sql.Column("machine", _ID),
    sql.Column("group", _ID),
    sql.Column("version", _VERSION),
    sql.Column("type", sql.Integer),
    sql.Column("result", sql.Integer),
    sql.Column("code", sql.BigInteger),
    sql.Index("update_event_of_machine", "app", "machine", "id"),
)


def _first_tables(connection: sql.Connection) -> None:
    _metadata.create_all(connection)


def _progress(connection: sql.Connection) -> None:
    """What rollouts show. A new database has it already: its tables were made as they are above."""
    inspector = sql.inspect(connection)
    for column in (machines.c.percent, grants.c.host, verdicts.c.host):
        names = {each["name"] for each in inspector.get_columns(column.table.name)}
        if column.name not in names:
            kind = column.type.compile(connection.dialect)
            default = "" if column.nullable else " NOT NULL DEFAULT ''"
            connection.execute(
                sql.text(f"ALTER TABLE {column.table.name} ADD COLUMN {column.name} {kind}{default}")
            )


SCHEMA = Schema("update", (_first_tables, _progress))
